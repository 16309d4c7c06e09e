/** From YAML text to a checked configuration, or to a fault that names file, line and key. */
import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import type * as z from "zod";
import { Fault } from "../core/fault.ts";
import { Config } from "./schema.ts";
import { nearest } from "./suggest.ts";

/** A configuration of a thousand cameras is 100 KB; more is another file by mistake. */
const CONFIG_BYTES_MAX = 4 << 20;

type Path = readonly PropertyKey[];

/**
 * Checks the text of a configuration file.
 *
 * @param file its name, for messages
 * @throws Fault `config_invalid` with one line per problem: file, line, column, key, what to do
 */
export function parseConfig(text: string, file: string): Config {
  const lines = new LineCounter();
  if (text.length > CONFIG_BYTES_MAX) {
    throw new Fault("config_invalid", `${file}: larger than 4 MB; is this the right file?`);
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    const problems = document.errors.map((error) => `${place(error.pos[0])}: ${error.message}`);
    throw new Fault("config_invalid", problems.join("\n"));
  }
  const parsed = Config.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) =>
    problemsOf(issue, Config).map(({ path, words }) => {
      const offset = offsetOf(document, path);
      return `${place(offset)}: ${path.map(String).join(".") || "configuration"}: ${words}`;
    }),
  );
  throw new Fault("config_invalid", problems.join("\n"));
}

/**
 * A zod issue in words; an object with several unknown keys is several problems.
 *
 * @param schema that found it, for suggestions
 */
export function problemsOf(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
): { path: Path; words: string }[] {
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const meant = nearest(key, known);
      const hint = meant ? `did you mean \`${meant}\`?` : `known keys: ${known.join(", ")}`;
      return { path: [...issue.path, key], words: `unknown key; ${hint}` };
    });
  }
  if (issue.code === "invalid_key") {
    const words = issue.issues.map(({ message }) => message).join(", ");
    return [{ path: issue.path, words: `this name ${words}` }];
  }
  return [{ path: issue.path, words: issue.message }];
}

/** The keys that the schema knows at a path, looking through defaults and records. */
function keysAt(root: z.ZodType, path: Path): readonly string[] {
  let schema: unknown = root;
  for (const key of path) schema = childOf(schema, key);
  return Object.keys(shapeOf(schema) ?? {});
}

function childOf(schema: unknown, key: PropertyKey): unknown {
  const shape = shapeOf(schema);
  if (shape) return shape[String(key)];
  return inner(schema, "valueType") ?? inner(inner(schema, "innerType"), "valueType");
}

function shapeOf(schema: unknown): Record<string, unknown> | null {
  const shape = inner(schema, "shape") ?? inner(inner(schema, "innerType"), "shape");
  return typeof shape === "object" && shape !== null ? { ...shape } : null;
}

/** A field of a zod schema's definition, `undefined` where there is none. */
function inner(schema: unknown, field: string): unknown {
  if (typeof schema !== "object" || schema === null || !("def" in schema)) return undefined;
  const def: unknown = schema.def;
  return typeof def === "object" && def !== null ? Reflect.get(def, field) : undefined;
}

/** Where in the text the value at `path` stands, or its key, or the nearest thing around it. */
function offsetOf(document: Document, path: Path): number {
  let node: Node | null = document.contents as Node | null;
  let offset = node?.range?.[0] ?? 0;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key: k }) => isScalar(k) && k.value === key);
      if (!pair) return offset;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = (pair.value as Node | null) ?? null;
    } else return offset;
  }
  return offset;
}
