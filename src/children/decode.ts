/** A decode process: the pictures of a group of cameras, from access units to shared memory. */
import { DecodeGroup } from "../decode/decode.ts";
import { FramePublisher } from "../framebus/publisher.ts";
import { parseTopic } from "../framebus/topic.ts";
import { type ChildBasics, type Part, runChild, type Tell } from "../process/child.ts";
import type { DecodeEvents, DecodeMethods } from "../process/protocol.ts";
import { UnitIntake } from "../stream/unit-intake.ts";
import type { Log } from "../telemetry/log.ts";

export interface DecodeOptions extends ChildBasics {
  /** Where the media process delivers access units: a Unix socket. */
  readonly unitSocket: string;
  /** Where ring files go, on tmpfs. */
  readonly shmDir: string;
  /** The bus's intake, a ZeroMQ endpoint. */
  readonly intake: string;
}

/** Listens for access units; decodes nothing until it is told to. */
export async function openDecode(
  { intake, shmDir, unitSocket }: DecodeOptions,
  tell: Tell<DecodeEvents>,
  log: Log,
): Promise<Part<DecodeMethods>> {
  await using stack = new AsyncDisposableStack();
  const publisher = stack.use(new FramePublisher({ intake, folder: shmDir }));
  const group = stack.use(
    new DecodeGroup({
      hardware: true,
      openSink: (camera, format) => publisher.openSink(camera, format),
      log,
    }),
  );
  stack.use(new UnitIntake(unitSocket, group, log));
  const resources = stack.move();
  return {
    handlers: {
      decode: ({ camera, topics }) => {
        const formats = topics.map((topic) => parseTopic(topic).format);
        group.decode(camera, formats);
        return null;
      },
    },
    stats: (process) => tell("stats", { process, decoders: group.takeStats() }),
    close: () => resources.disposeAsync(),
  };
}

if (import.meta.main) await runChild<DecodeMethods, DecodeEvents, DecodeOptions>(openDecode);
