/** Looking at processes from outside, by pid. */
import { existsSync, readdirSync, readFileSync } from "node:fs";

export function alive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  // A zombie is dead; its parent has only not asked yet.
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** The process and everything that it started, and they. */
export function family(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended between the listing and the reading.
    }
  }
  const found = [pid];
  for (const ancestor of found) {
    for (const [child, parent] of parents) if (parent === ancestor) found.push(child);
  }
  return found;
}

/** Those of the family whose command line has this in it. */
export function familyNamed(pid: number, part: string): number[] {
  return family(pid).filter((member) => alive(member) && commandOf(member).includes(part));
}

/** Empty when it has ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
