import { describe, expect, test } from "bun:test";
import { Destination } from "../native/udp.ts";
import { kindOf, SocketEgress } from "./egress.ts";

const A = new Destination("127.0.0.1", 1);
const B = new Destination("::1", 2);

/** Sends text by a socket that does what it is told, call by call: takes some, or throws. */
function sent(answers: readonly (number | Error)[]) {
  const calls: string[][] = [];
  const egress = new SocketEgress({
    sendMany(packets) {
      calls.push(
        packets.map((part) => String(part instanceof Uint8Array ? Buffer.from(part) : part)),
      );
      const answer = answers[calls.length - 1] ?? packets.length / 3;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  for (const [text, to] of [
    ["one", A],
    ["two", B],
    ["three", A],
  ] as const) {
    egress.arena.bytes.set(Buffer.from(text), egress.reserve(text.length));
    egress.commit(text.length, to);
  }
  egress.flush();
  return { calls, egress };
}

describe("Bun's socket", () => {
  test("takes everything in one call, in order", () => {
    const { calls, egress } = sent([]);
    expect(calls).toEqual([
      ["one", "1", "127.0.0.1", "two", "2", "::1", "three", "1", "127.0.0.1"],
    ]);
    expect(egress.counters).toMatchObject({ packets: 3, bytes: 11, refused: 0, dropped: 0 });
    egress.flush();
    expect(calls).toHaveLength(1);
    expect(kindOf(egress)).toBe("bun");
  });

  test("a full buffer refuses the rest, and their destinations know", () => {
    const { egress } = sent([1]);
    expect([A.refused, B.refused]).toEqual([1, 1]);
    expect(egress.counters).toMatchObject({ packets: 1, refused: 2 });
  });

  test("an error of one peer is asked for once more, then given up", () => {
    expect(sent([new Error("ECONNREFUSED")]).egress.counters).toMatchObject({
      packets: 3,
      dropped: 0,
    });
    const { egress } = sent([new Error("ECONNREFUSED"), new Error("ECONNREFUSED")]);
    expect(egress.counters).toMatchObject({ packets: 0, refused: 0, dropped: 3 });
  });

  test("a full arena is sent before more is written", () => {
    const { calls, egress } = sent([]);
    for (let i = 0; i < 600; i++) {
      egress.reserve(1_000);
      egress.commit(1_000, A);
    }
    egress.flush();
    expect(calls.length).toBeGreaterThan(2);
    expect(egress.counters.packets).toBe(603);
  });
});
