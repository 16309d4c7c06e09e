/** docs/quirks.md: what cameras do, from the names of the tests that prove that the hub copes. */
import { join } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "..");
/** A test or table row whose name begins so tells of a camera's habit: `quirk: …`. */
const QUIRK = /["'`]quirk: ([^"'`]+)["'`]/g;

/** The list, as Markdown. */
export async function quirksManual(): Promise<string> {
  const rows: string[] = [];
  for (const path of [...new Glob("src/**/*.test.ts").scanSync(ROOT)].sort()) {
    const text = await Bun.file(join(ROOT, path)).text();
    for (const [, name = ""] of text.matchAll(QUIRK)) rows.push(`| ${name} | \`${path}\` |`);
  }
  return `# What cameras do

*Written from the names of tests by \`bun docs/generate.ts\`; do not edit.*

Habits of cameras and RTSP servers that break the letter of a standard or surprise otherwise, and
that the hub copes with. Each row is a test.

| habit | proved in |
| --- | --- |
${rows.join("\n")}
`;
}
