/** A transcoding process: one camera in the codecs that its viewers take. Media owns it. */

import type { ViewerCodec } from "../native/av-encoders.ts";
import { monotonicMs } from "../native/clock.ts";
import { type ChildBasics, type Part, runChild, type Tell } from "../process/child.ts";
import type { RenditionCodec, TranscodeEvents, TranscodeMethods } from "../process/protocol.ts";
import { UnitIntake } from "../stream/unit-intake.ts";
import type { Log } from "../telemetry/log.ts";
import { Outlets } from "../transcode/outlets.ts";
import { Transcoder } from "../transcode/transcoder.ts";

export interface TranscodeOptions extends ChildBasics {
  readonly camera: string;
  /** Where media delivers the camera's units: a Unix socket, listened on here. */
  readonly unitSocket: string;
  /** Where media takes the renditions: a Unix socket, listened on there. */
  readonly renditionSocket: string;
  /** Decodes and encodes on hardware where that works. */
  readonly hardware: boolean;
  /** Wider pictures are scaled down to this. */
  readonly widthMax: Readonly<Record<ViewerCodec, number>>;
}

/** Listens for units; decodes nothing until it is told to. */
export async function openTranscode(
  { camera, hardware, renditionSocket, unitSocket, widthMax }: TranscodeOptions,
  tell: Tell<TranscodeEvents>,
  log: Log,
): Promise<Part<TranscodeMethods>> {
  await using stack = new AsyncDisposableStack();
  const outlets = stack.use(new Outlets(renditionSocket, () => endUnheard(log)));
  const transcoder = stack.use(
    new Transcoder({
      camera,
      hardware,
      widthMax,
      emit: (codec, unit) => outlets.unit(codec, unit),
      fault: ({ code, message }) => log.warn(message, { camera, code }),
      now: monotonicMs,
    }),
  );
  stack.use(new UnitIntake(unitSocket, transcoder, log));
  const resources = stack.move();
  let turn = Promise.resolve();
  const want = async (codecs: readonly RenditionCodec[]): Promise<null> => {
    // One after another: a later call may not overtake the connections that an earlier one opens.
    const opened = turn.then(() => outlets.want(codecs));
    turn = opened.catch(() => {});
    await opened;
    transcoder.want(codecs);
    return null;
  };
  return {
    handlers: {
      want: ({ codecs }) => want(codecs),
      keyframe: ({ codec }) => {
        transcoder.keyframe(codec);
        return null;
      },
    },
    stats: (process) => tell("stats", { process, ...transcoder.takeStats() }),
    close: () => resources.disposeAsync(),
  };
}

/** A rendition that media does not take is lost to its viewers: a new process connects anew. */
function endUnheard(log: Log): void {
  log.warn("media takes a rendition no more, process ends");
  process.kill(process.pid, "SIGTERM");
}

if (import.meta.main) {
  await runChild<TranscodeMethods, TranscodeEvents, TranscodeOptions>(openTranscode);
}
