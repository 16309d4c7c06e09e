/** A decode process: the pictures of a group of cameras, from access units to shared memory. */
import { DecodeGroup } from "../decode/decode.ts";
import { UnitIntake } from "../decode/intake.ts";
import { FramePublisher } from "../framebus/publisher.ts";
import { parseTopic } from "../framebus/topic.ts";
import { type ChildBasics, runChild } from "../process/child.ts";
import type { DecodeEvents, DecodeMethods } from "../process/protocol.ts";

export interface DecodeOptions extends ChildBasics {
  /** Where the media process delivers access units: a Unix socket. */
  readonly unitSocket: string;
  /** Where ring files go, on tmpfs. */
  readonly shmDir: string;
  /** The bus's intake, a ZeroMQ endpoint. */
  readonly intake: string;
}

if (import.meta.main) {
  await runChild<DecodeMethods, DecodeEvents, DecodeOptions>(async (options, tell, log) => {
    await using stack = new AsyncDisposableStack();
    const { intake, shmDir, unitSocket } = options;
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
          group.decode(
            camera,
            topics.map((topic) => parseTopic(topic).format),
          );
          return null;
        },
      },
      stats: (process) => tell("stats", { process, decoders: group.takeStats() }),
      close: () => resources.disposeAsync(),
    };
  });
}
