import { describe, expect, test } from "bun:test";
import { writeSenderReport } from "../rtp/rtcp.ts";
import { videoFormat } from "../rtp/track-format.ts";
import type { Unit } from "./sinks.ts";
import { Track } from "./track.ts";

const SPS = Uint8Array.fromHex("67640028acd940780227e584000003000400000300c83c60c658");
const PPS = new Uint8Array([0x68, 0xeb, 0xe3, 0xcb]);
const WALL = 1_790_000_000_000;

/** A camera of 25 fps: each frame one packet, a keyframe every `gop`. */
class Camera {
  now = 1_000;
  sequence = 100;
  timestamp = 0xffff_f000;
  readonly track: Track;
  readonly gop: number;
  #frame = 0;
  constructor(track: Track, gop = 5) {
    this.track = track;
    this.gop = gop;
  }

  packet(nal: ArrayLike<number>, marker: boolean): Uint8Array {
    const b = new Uint8Array(12 + nal.length);
    b[0] = 0x80;
    b[1] = 96 | (marker ? 0x80 : 0);
    const view = new DataView(b.buffer);
    view.setUint16(2, this.sequence++ & 0xffff);
    view.setUint32(4, this.timestamp);
    b.set(nal, 12);
    return b;
  }

  send(nal: ArrayLike<number>, marker: boolean): void {
    const b = this.packet(nal, marker);
    this.track.receive(b, 0, b.length, this.now);
  }

  frame(): void {
    if (this.#frame % this.gop === 0) {
      this.send(SPS, false);
      this.send(PPS, false);
      this.send([0x65, 0x88, this.#frame], true);
    } else this.send([0x41, 0x9a, this.#frame], true);
    this.#frame++;
    this.tick();
  }

  tick(): void {
    this.track.flush(this.now, WALL + this.now);
    this.now += 40;
    this.timestamp = (this.timestamp + 3_600) >>> 0;
  }
}

interface Seen extends Omit<Unit, "bytes"> {
  readonly annexB: string;
}

function watch(track: Track, now = 0): { units: Seen[]; detach: () => void } {
  const units: Seen[] = [];
  const detach = track.attachUnits(
    {
      unit: ({ bytes, ...facts }) =>
        units.push({ ...facts, annexB: bytes.subarray(0, facts.length).toHex() }),
      ended: () => {},
    },
    now,
  );
  return { units, detach };
}

describe("track", () => {
  test("units come whole, in Annex B, with their times", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    camera.frame();
    camera.frame();
    expect(units.map(({ annexB }) => annexB)).toEqual([
      `00000001${SPS.toHex()}00000001${PPS.toHex()}00000001658800`,
      "00000001419a01",
    ]);
    expect(units[1]).toMatchObject({
      sequence: 1,
      arrived: 1_040,
      captured: WALL + 1_040,
      capturedClock: "arrival",
      keyframe: false,
      damaged: false,
      gapBefore: false,
      replayed: false,
    });
    expect(track.picture).toMatchObject({ width: 1920, height: 1080 });
    expect(track.parameterSets).toEqual([SPS, PPS]);
    expect(track.counters).toMatchObject({ packets: 4, units: 2, keyframes: 1, malformed: 0 });
  });

  test("a late joiner gets the group of pictures so far, marked, then live units", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    for (let i = 0; i < 8; i++) camera.frame();
    const { units, detach } = watch(track, 9_000);
    expect(units.map(({ sequence, replayed }) => [sequence, replayed])).toEqual([
      [5, true],
      [6, true],
      [7, true],
    ]);
    expect(units[0]).toMatchObject({ keyframe: true, arrived: 9_000 });
    camera.frame();
    expect(units[3]).toMatchObject({ sequence: 8, replayed: false });
    detach();
    camera.frame();
    expect(units.length).toBe(4);
  });

  test("packet sinks see every packet once, and may leave while it happens", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const seen: number[][] = [];
    const others: number[] = [];
    const leave = track.attachPackets({
      packets(from, to) {
        seen.push([from, to]);
        if (seen.length === 2) leave();
      },
      ended: () => {},
    });
    track.attachPackets({ packets: (from) => others.push(from), ended: () => {} });
    for (let i = 0; i < 3; i++) camera.frame();
    expect(seen).toEqual([
      [0, 3],
      [3, 4],
    ]);
    expect(others).toEqual([0, 3, 4]);
  });

  test("a unit that comes in two reads: when it began, and when it was complete", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    camera.send([0x65, 0x88], false);
    track.flush(camera.now, WALL);
    camera.now += 250;
    camera.send([0x65, 0x40], true);
    camera.tick();
    expect(units[0]).toMatchObject({ arrived: 1_000, completed: 1_250, keyframe: true });
  });

  function report(track: Track, ssrc: number, timestamp: number, wallClock: number): void {
    const b = writeSenderReport({ ssrc, wallClock, timestamp, packets: 0, bytes: 0 }, "camera");
    track.receiveControl(b, 0, b.length);
  }

  test("sender reports bring the camera's own clock", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    report(track, 0, camera.timestamp, WALL + 400);
    camera.frame();
    expect(units[0]?.capturedClock).toBe("rtcp");
    expect(units[0]?.captured).toBeCloseTo(WALL + 400, 1);
    expect(track.clock.cameraOffsetMs).toBeCloseTo(-600, 1);
  });

  test("quirk: sender reports of another SSRC on the track's channel", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    report(track, 77, camera.timestamp, WALL + 400);
    camera.frame();
    report(track, 0, camera.timestamp, WALL + 440);
    report(track, 77, camera.timestamp, WALL);
    camera.frame();
    expect(units.map(({ capturedClock }) => capturedClock)).toEqual(["arrival", "rtcp"]);
  });

  test("quirk: sender reports with the NTP time zero", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    report(track, 0, camera.timestamp, -2_208_988_800_000);
    camera.frame();
    expect(units[0]?.capturedClock).toBe("arrival");
    expect(track.clock.cameraOffsetMs).toBeNull();
  });

  test("a lost packet: the unit says so, the next one says what it follows", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    camera.frame();
    camera.packet([], false);
    camera.frame();
    camera.frame();
    expect(units.map(({ damaged, gapBefore }) => [damaged, gapBefore])).toEqual([
      [false, false],
      [false, true],
      [false, false],
    ]);
    expect(track.lost).toBe(1);
  });

  test("after a reconnect ids, sequence and timeline go on; nothing old is a start", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track, 1_000);
    const { units } = watch(track);
    camera.frame();
    camera.frame();
    expect(track.keyframe).toBe(0);
    track.restart();
    expect(track.keyframe).toBe(-1);

    const again = new Camera(track, 1_000);
    again.timestamp = 42;
    again.sequence = 7;
    again.now = camera.now + 2_000;
    again.frame();
    expect(units.length).toBe(3);
    const step = (units[2]!.timestamp - units[1]!.timestamp) >>> 0;
    expect(step).toBe(3_600 + 2_000 * 90);
    expect(units[2]).toMatchObject({ sequence: 2, gapBefore: true, keyframe: true });
  });

  test("quirk: timestamps jump within a session", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    camera.frame();
    camera.timestamp = (camera.timestamp + 0x7000_0000) >>> 0;
    camera.frame();
    expect((units[1]!.timestamp - units[0]!.timestamp) >>> 0).toBe(3_600);
  });

  test("quirk: timestamps follow the camera's wall clock, and go back when it is set", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    camera.frame();
    camera.timestamp = (camera.timestamp - 3 * 90_000) >>> 0;
    camera.frame();
    camera.frame();
    const steps = units.slice(1).map((unit, i) => (unit.timestamp - units[i]!.timestamp) >>> 0);
    expect(steps).toEqual([3_600, 3_600]);
    expect(units[2]!.captured - units[1]!.captured).toBeCloseTo(40, 5);
  });

  test("pictures sent out of order are no jump of the clock", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    const first = camera.timestamp;
    for (const picture of [0, 16, 8, 4, 12, 32]) {
      camera.timestamp = (first + picture * 3_600) >>> 0;
      camera.frame();
    }
    const places = units.map(({ timestamp }) => ((timestamp - first) | 0) / 3_600);
    expect(places).toEqual([0, 16, 8, 4, 12, 32]);
  });

  test("quirk: no marker bit: a unit ends where the next one starts", () => {
    const track = new Track(videoFormat("h264"));
    const camera = new Camera(track);
    const { units } = watch(track);
    camera.send([0x65, 0x88], false);
    camera.tick();
    expect(units.length).toBe(0);
    camera.send([0x41, 0x9a], false);
    camera.tick();
    expect(units.map(({ annexB }) => annexB)).toEqual(["000000016588"]);
  });
});
