/** The bus process: the frame bus's stable address, whatever happens to decode processes. */
import { FrameBus } from "../framebus/bus.ts";
import { type ChildBasics, type Part, runChild, type Tell } from "../process/child.ts";
import type { BusEvents, BusMethods } from "../process/protocol.ts";
import type { Log } from "../telemetry/log.ts";

export interface BusOptions extends ChildBasics {
  /** Where workers subscribe: ZeroMQ endpoints. */
  readonly endpoints: readonly string[];
  /** Where decode processes deliver: a ZeroMQ endpoint. */
  readonly intake: string;
}

/** Listens for workers and for decode processes. */
export async function openBus(
  { endpoints, intake }: BusOptions,
  tell: Tell<BusEvents>,
  log: Log,
): Promise<Part<BusMethods>> {
  const demand = (topics: BusEvents["demand"]["topics"]): void => tell("demand", { topics });
  const bus = new FrameBus({ endpoints, intake, demand, log });
  const ended = new AbortController();
  const running = bus.run(ended.signal);
  return {
    handlers: {},
    stats: (process) => tell("stats", { process, topics: bus.topics() }),
    close: async () => {
      ended.abort();
      await running;
      bus.close();
    },
  };
}

if (import.meta.main) await runChild<BusMethods, BusEvents, BusOptions>(openBus);
