/** docs/config.md, written from the schema: what the hub accepts is what the manual says. */
import * as z from "zod";
import { Config } from "./schema.ts";

interface Described {
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Described[];
  readonly items?: Described;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Described>>;
  readonly additionalProperties?: Described | boolean;
}

const INTRODUCTION = `# Configuration

*Written from the schema by \`bun docs/generate.ts\`; do not edit.*

\`./onepull start --config onepull.yaml\` reads one YAML file. Every setting has a default: an empty
file is a hub without cameras. Unknown keys are refused, with the line and what was probably meant.

\`\`\`yaml
cameras:
  lobby:
    source: "rtsp://user:p%40ss@10.0.0.9/stream1"
  gate:
    source: "rtsp://10.0.0.10/live"
    transport: udp
\`\`\`
`;

/** The manual, as Markdown. */
export function configManual(): string {
  // Input: what people write, before defaults and the hiding of secrets.
  const root = z.toJSONSchema(Config, { io: "input" }) as Described;
  return `${INTRODUCTION}\n${sections("", root).join("\n")}`;
}

function sections(path: string, schema: Described): string[] {
  const entries = Object.entries(schema.properties ?? {});
  const plain = entries.filter(([, child]) => !isSection(child));
  const rows = plain.map(([key, child]) => row(path + key, child));
  const table = ["| key | takes | default | |", "| --- | --- | --- | --- |", ...rows, ""];
  const title = path === "" ? "The hub" : `\`${path.replace(/\.$/, "")}\``;
  const own = rows.length === 0 ? [] : [`## ${title}`, "", ...table];
  const nested = entries.flatMap(([key, child]) => {
    const values = child.additionalProperties;
    if (typeof values === "object") return sections(`${path}${key}.<name>.`, values);
    return child.properties ? sections(`${path}${key}.`, child) : [];
  });
  return [...own, ...nested];
}

function isSection({ properties }: Described): boolean {
  return properties !== undefined;
}

function row(path: string, schema: Described): string {
  const fallback = schema.default === undefined ? "none" : `\`${JSON.stringify(schema.default)}\``;
  return `| \`${path}\` | ${takes(schema)} | ${fallback} | ${schema.description ?? ""} |`;
}

function takes(schema: Described): string {
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(takes))].join(" or ");
  if (schema.items) return `list of ${takes(schema.items)}`;
  if (schema.format === "ipv4" || schema.format === "ipv6") return "IP address";
  if (schema.type === "integer") return `${schema.minimum} to ${schema.maximum}`;
  return typeof schema.additionalProperties === "object" ? "map by name" : (schema.type ?? "text");
}
