/**
 * What a worker subscribes to: `<camera>/<format>`, and more after a question mark. A subscription
 * is a request, so anything that is not understood is refused in words, never guessed at.
 * Normative description: docs/wire/frame.md.
 *
 * @module
 */
import { Fault } from "../core/fault.ts";
import type { FrameFormat } from "../stream/sinks.ts";

/** Wide enough for detectors, and a ninth of the work of 1080p. */
export const WIDTH_DEFAULT = 640;
/** A thumbnail, and the largest picture of H.264 level 6.2. */
const WIDTH_MIN = 16;
const WIDTH_MAX = 8_192;
/** A camera's name, a format and every parameter fit with room to spare. */
export const TOPIC_BYTES_MAX = 256;

/** The same names as in the configuration: they stand in URLs, topics and file names. */
const CAMERA = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const WHOLE_NUMBER = /^[1-9][0-9]{0,5}$/;

export interface FrameTopic {
  readonly camera: string;
  readonly format: FrameFormat;
}

/**
 * Reads a topic, without the NUL that ends it on the wire.
 *
 * @throws Fault `request_invalid` that says what is wrong and what would be right
 */
export function parseTopic(text: string): FrameTopic {
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const [camera = "", format, ...rest] = path.split("/");
  if (format === undefined || rest.length > 0) {
    throw refused(text, "a topic is <camera>/<format>, such as lobby/shm");
  }
  if (!CAMERA.test(camera)) {
    throw refused(text, "a camera's name has 1 to 63 letters, digits, - or _");
  }
  if (format !== "shm") throw refused(text, "the only format offered is shm");
  const parameters = mark < 0 ? new Map() : readParameters(text, text.slice(mark + 1));
  return { camera, format: { kind: "shm", width: readWidth(text, parameters) } };
}

/** The one spelling of a topic: parameters that are the default are left out. */
export function topicText({ camera, format }: FrameTopic): string {
  const path = `${camera}/${format.kind}`;
  return format.width === WIDTH_DEFAULT ? path : `${path}?width=${format.width}`;
}

/** The camera that a topic names; `null` when the topic names none. */
export function topicCamera(text: string): string | null {
  const [camera = ""] = text.split("/");
  return CAMERA.test(camera) ? camera : null;
}

function readParameters(topic: string, text: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of text.split("&")) {
    const [name = "", value, ...rest] = pair.split("=");
    if (value === undefined || rest.length > 0) {
      throw refused(topic, "parameters are name=value, joined by &");
    }
    if (name !== "width") throw refused(topic, `there is no parameter ${name}, only width`);
    if (parameters.has(name)) throw refused(topic, `${name} is given twice`);
    parameters.set(name, value);
  }
  return parameters;
}

function readWidth(topic: string, parameters: ReadonlyMap<string, string>): number {
  const text = parameters.get("width");
  if (text === undefined) return WIDTH_DEFAULT;
  const width = WHOLE_NUMBER.test(text) ? Number(text) : Number.NaN;
  if (width >= WIDTH_MIN && width <= WIDTH_MAX) return width;
  throw refused(topic, `width is a whole number from ${WIDTH_MIN} to ${WIDTH_MAX}`);
}

function refused(topic: string, why: string): Fault {
  return new Fault("request_invalid", `No frames for ${JSON.stringify(topic)}: ${why}.`);
}
