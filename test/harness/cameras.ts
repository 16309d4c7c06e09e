/** Synthetic cameras as tests see them: their log of frames, their counts, their switch. */
import { type CameraProcess, startCameras } from "../../src/cli/camera-process.ts";

/** When a camera wrote which frame. */
export interface FrameRecord {
  readonly frame: number;
  readonly rtp_timestamp: number;
  readonly monotonic_ms: number;
  readonly unix_ms: number;
}

/** Frames in the looped clip: 10 s at 25 fps. */
export const CLIP_FRAMES = 250;

interface CameraCounts {
  readonly name: string;
  /** Open now. */
  readonly connections: number;
  /** Since the start. */
  readonly describes: number;
  readonly plays: number;
}

export interface TestCameras extends CameraProcess {
  /** Camera addresses by name, as a configuration takes them. */
  readonly sources: Readonly<Record<string, string>>;
  frames(name: string): Promise<FrameRecord[]>;
  /** The camera's log by RTP timestamp. */
  framesByTimestamp(name: string): Promise<Map<number, FrameRecord>>;
  /** What the camera counted. */
  counted(name: string): Promise<CameraCounts>;
  switch(name: string, on: boolean): Promise<void>;
}

export async function openCameras(count: number, options: string[] = []): Promise<TestCameras> {
  const running = await startCameras(count, ["--prefix", "demo-", ...options]);
  const get = async (path: string): Promise<unknown> =>
    (await fetch(`${running.control}${path}`)).json();
  const frames = async (name: string): Promise<FrameRecord[]> =>
    (await get(`/frames/${name}`)) as FrameRecord[];
  return {
    ...running,
    sources: Object.fromEntries(running.cameras.map(({ name, url }) => [name, url])),
    frames,
    framesByTimestamp: async (name) =>
      new Map((await frames(name)).map((record) => [record.rtp_timestamp, record])),
    counted: async (name) => {
      const { cameras } = (await get("/cameras")) as { cameras: CameraCounts[] };
      const found = cameras.find((camera) => camera.name === name);
      if (!found) throw new Error(`no synthetic camera ${name}`);
      return found;
    },
    switch: async (name, on) => {
      await fetch(`${running.control}/cameras/${name}/${on ? "on" : "off"}`, { method: "POST" });
    },
  };
}
