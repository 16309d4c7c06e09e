/** Pieces of route descriptions, and the one way to read a JSON body. */
import { z } from "@hono/zod-openapi";
import { Fault, type FaultCode, problemOf } from "../core/fault.ts";

/** A camera's description is a few hundred bytes. */
const BODY_BYTES_MAX = 64 << 10;

const Problem = z
  .object({
    type: z.string(),
    status: z.int(),
    title: z.string(),
    detail: z.string().openapi({ description: "What happened, and what to do." }),
  })
  .openapi("Problem");

interface Described {
  readonly description: string;
}

/** A JSON response. */
export function body<S extends z.ZodType>(
  schema: S,
  description: string,
): Described & { content: { "application/json": { schema: S } } } {
  return { description, content: { "application/json": { schema } } };
}

export function noContent(description: string): Described {
  return { description };
}

/** The problem responses that a route may give, by the faults behind them. */
export function problems(...codes: FaultCode[]): Record<string, Described & { content: object }> {
  const titles = new Map<string, string[]>();
  for (const code of codes) {
    const { status, title } = problemOf(new Fault(code, ""));
    titles.set(String(status), [...(titles.get(String(status)) ?? []), title]);
  }
  const content = { "application/problem+json": { schema: Problem } };
  return Object.fromEntries(
    [...titles].map(([status, words]) => [
      status,
      { description: `${words.join("; ")}.`, content },
    ]),
  );
}

/**
 * Reads a JSON body.
 *
 * @throws Fault `media_type`, `request_invalid`
 */
export async function readJson(request: Request): Promise<unknown> {
  requireType(request, "application/json");
  const text = await readText(request, BODY_BYTES_MAX);
  try {
    return JSON.parse(text);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new Fault("request_invalid", `The body is not JSON: ${words}`, { cause: error });
  }
}

/** @throws Fault `media_type` */
export function requireType(request: Request, wanted: string): void {
  const given = request.headers.get("content-type") ?? "";
  if (given.split(";")[0]?.trim().toLowerCase() === wanted) return;
  throw new Fault("media_type", `Send \`Content-Type: ${wanted}\`, not \`${given || "none"}\`.`);
}

/**
 * Reads a text body of bounded length.
 *
 * @throws Fault `request_invalid`
 */
export async function readText(request: Request, bytesMax: number): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) <= bytesMax) {
    const text = await request.text();
    if (text.length <= bytesMax) return text;
  }
  throw new Fault("request_invalid", `The body is larger than ${bytesMax} bytes.`);
}
