import { expect, test } from "bun:test";
import { AttemptGate } from "./gate.ts";

const FOREVER = 60_000;
const never = new AbortController().signal;

/** Enters and notes it. */
async function enter(gate: AttemptGate, order: number[], id: number, signal = never) {
  const turn = await gate.enter(signal);
  order.push(id);
  return turn;
}

test("turns are given one after another, in the order they were asked for", async () => {
  const gate = new AttemptGate(2, FOREVER);
  const order: number[] = [];
  const turns = [1, 2, 3, 4].map((id) => enter(gate, order, id));
  const [first, second] = await Promise.all(turns.slice(0, 2));
  expect(order).toEqual([1, 2]);
  second?.[Symbol.dispose]();
  second?.[Symbol.dispose]();
  const third = await turns[2];
  expect(order).toEqual([1, 2, 3]);
  first?.[Symbol.dispose]();
  const fourth = await turns[3];
  expect(gate.turns).toBe(2);
  third?.[Symbol.dispose]();
  fourth?.[Symbol.dispose]();
  expect(gate.turns).toBe(0);
});

test("a turn ends by itself: what hangs holds up nobody", async () => {
  const gate = new AttemptGate(1, 5);
  const hanging = await gate.enter(never);
  const next = await gate.enter(never);
  hanging[Symbol.dispose]();
  expect(gate.turns).toBe(1);
  next[Symbol.dispose]();
  expect(gate.turns).toBe(0);
});

test("who is aborted while waiting leaves the queue", async () => {
  const gate = new AttemptGate(1, FOREVER);
  const holding = await gate.enter(never);
  const stop = new AbortController();
  const order: number[] = [];
  const gone = enter(gate, order, 1, stop.signal);
  const waiting = enter(gate, order, 2);
  stop.abort(new Error("stopped"));
  expect(gone).rejects.toThrow("stopped");
  holding[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
  expect(order).toEqual([2]);
  expect(gate.turns).toBe(0);
  expect(gate.enter(stop.signal)).rejects.toThrow("stopped");
});
