/** What a client answers: some cameras ask for a sign of life, or tell that the stream moved. */
import { type Field, type Request, writeResponse } from "./message.ts";

const KNOWN = ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "REDIRECT"];

/** The response to a camera's own request. */
export function answerTo({ method, headers }: Request): Uint8Array {
  const fields: Field[] = [["CSeq", headers.get("CSeq") ?? "0"]];
  if (method === "OPTIONS") fields.push(["Public", KNOWN.join(", ")]);
  return writeResponse(KNOWN.includes(method) ? 200 : 501, fields);
}

/**
 * Tells answers to the request under way from those that come twice. Some cameras count wrongly, so
 * a number means something only of a camera that repeated two of them rightly.
 */
export class AnswerCount {
  #right = 0;

  /** True when a response of this number is one to an earlier request than `asked`. */
  isStale(stated: string | null, asked: number): boolean {
    if (stated === String(asked)) this.#right++;
    else if (this.#right < 2) this.#right = 0;
    const number = Number(stated ?? Number.NaN);
    return this.#right >= 2 && number > 0 && number < asked;
  }
}
