/**
 * What a synthetic camera looks at: a textured world under a slowly panning camera, things that
 * pass by, and sensor noise. It costs an encoder about the bits that a real street does, and its
 * last picture is followed by its first without a jump.
 *
 * @module
 */

/** How far the pan goes to each side, as a share of the picture. */
const PAN_SHARE = 1 / 20;
/** One pan to and fro takes about this long, so that speed does not depend on the clip's length. */
const PAN_FRAMES = 250;
/** How strong the texture is, by cell size in samples: deep shadows down to fine grain. */
const LUMA = {
  /** From top to bottom: a bright sky over a darker street. */
  gradient: [165, 105],
  octaves: [
    { cell: 240, amplitude: 28 },
    { cell: 60, amplitude: 20 },
    { cell: 15, amplitude: 12 },
    { cell: 4, amplitude: 8 },
  ],
} as const satisfies Texture;
const BLUE = {
  gradient: [146, 118],
  octaves: [{ cell: 120, amplitude: 10 }],
} as const satisfies Texture;
const RED = {
  gradient: [116, 136],
  octaves: [{ cell: 120, amplitude: 10 }],
} as const satisfies Texture;
/** Sensor noise of a camera at dusk, in luma steps to each side. */
const NOISE_AMPLITUDE = 5;
/** Long enough that no repetition is seen, small enough for the L1 cache. */
const NOISE_BYTES = 1 << 14;
const PASSER_COUNT = 5;

/** mulberry32: the same scene on every machine. Uniform in [0, 1). */
function seeded(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Octave {
  readonly cell: number;
  readonly amplitude: number;
}

interface Texture {
  readonly gradient: readonly [number, number];
  readonly octaves: readonly Octave[];
}

/** One plane of the world, larger than the picture by the pan. */
interface Plane {
  readonly width: number;
  readonly height: number;
  readonly samples: Uint8Array;
}

/** Adds one octave of value noise: random heights on a lattice, bilinear in between. */
function addOctave(sums: Float32Array, width: number, octave: Octave, random: () => number): void {
  const { cell, amplitude } = octave;
  const height = sums.length / width;
  const columns = Math.ceil(width / cell) + 1;
  const rows = Math.ceil(height / cell) + 1;
  const lattice = Float32Array.from(
    { length: columns * rows },
    () => (random() * 2 - 1) * amplitude,
  );
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / cell) * columns;
    const down = (y % cell) / cell;
    for (let column = 0; column < columns - 1; column++) {
      const at = row + column;
      const left = lattice[at]! + (lattice[at + columns]! - lattice[at]!) * down;
      const right = lattice[at + 1]! + (lattice[at + columns + 1]! - lattice[at + 1]!) * down;
      const step = (right - left) / cell;
      const from = y * width + column * cell;
      const to = Math.min(from + cell, (y + 1) * width);
      for (let i = from, value = left; i < to; i++, value += step) sums[i]! += value;
    }
  }
}

function textured(width: number, height: number, texture: Texture, random: () => number): Plane {
  const [top, bottom] = texture.gradient;
  const sums = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    sums.fill(top + ((bottom - top) * y) / height, y * width, (y + 1) * width);
  }
  for (const octave of texture.octaves) addOctave(sums, width, octave, random);
  return { width, height, samples: Uint8Array.from(sums) };
}

/** Something that crosses the picture. */
interface Passer {
  readonly plane: Plane;
  readonly y: number;
  /** Crossings per loop; negative from right to left. */
  readonly crossings: number;
  readonly phase: number;
}

/** Draws the scene, frame by frame. Holds a world of a few pictures' size. */
export class Scene {
  readonly #width: number;
  readonly #height: number;
  readonly #frames: number;
  readonly #panX: number;
  readonly #panY: number;
  readonly #luma: Plane;
  readonly #blue: Plane;
  readonly #red: Plane;
  readonly #noise: Int8Array;
  readonly #passers: readonly Passer[];

  /** @param frames after so many pictures the first one comes again */
  constructor(width: number, height: number, frames: number) {
    this.#width = width;
    this.#height = height;
    this.#frames = frames;
    this.#panX = Math.ceil((width * PAN_SHARE) / 2) * 2;
    this.#panY = Math.ceil((height * PAN_SHARE) / 2) * 2;
    const worldWidth = width + 2 * this.#panX;
    const worldHeight = height + 2 * this.#panY;
    const random = seeded(1);
    this.#luma = textured(worldWidth, worldHeight, LUMA, random);
    this.#blue = textured(worldWidth / 2, worldHeight / 2, BLUE, random);
    this.#red = textured(worldWidth / 2, worldHeight / 2, RED, random);
    // The sum of two uniforms is bell-shaped enough.
    this.#noise = Int8Array.from({ length: NOISE_BYTES + width }, () =>
      Math.round((random() + random() - 1) * NOISE_AMPLITUDE),
    );
    this.#passers = Array.from({ length: PASSER_COUNT }, (_, i) => this.#passer(i, random));
  }

  /** Draws picture `frame` into planar YUV 4:2:0 without padding, all of it. */
  draw(frame: number, i420: Uint8Array): void {
    const width = this.#width;
    const height = this.#height;
    const cycles = Math.max(1, Math.round(this.#frames / PAN_FRAMES));
    const angle = (2 * Math.PI * cycles * frame) / this.#frames;
    const x = Math.round((this.#panX / 2) * (1 + Math.sin(angle))) * 2;
    const y = Math.round((this.#panY / 2) * (1 + Math.cos(angle))) * 2;
    const luma = i420.subarray(0, width * height);
    const blue = i420.subarray(luma.length, luma.length * 1.25);
    const red = i420.subarray(luma.length * 1.25);
    copyWindow(this.#luma, { x, y }, luma, width);
    copyWindow(this.#blue, { x: x / 2, y: y / 2 }, blue, width / 2);
    copyWindow(this.#red, { x: x / 2, y: y / 2 }, red, width / 2);
    for (const passer of this.#passers) this.#drawPasser(passer, frame, luma);
    this.#addNoise(frame, luma);
  }

  #passer(index: number, random: () => number): Passer {
    const width = Math.round(this.#width * (0.05 + 0.06 * random()));
    const height = Math.round(this.#height * (0.1 + 0.15 * random()));
    const brightness = index % 2 === 0 ? 70 : 185;
    const coat = {
      gradient: [brightness, brightness - 20],
      octaves: LUMA.octaves.slice(1),
    } as const;
    const turns = Math.ceil((this.#frames / PAN_FRAMES) * (1 + random()));
    return {
      plane: textured(width, height, coat, random),
      y: Math.floor(random() * (this.#height - height)),
      crossings: index % 2 === 0 ? turns : -turns,
      phase: random(),
    };
  }

  #drawPasser(passer: Passer, frame: number, luma: Uint8Array): void {
    const { width, height, samples } = passer.plane;
    const turn = passer.phase + (passer.crossings * frame) / this.#frames;
    const x = Math.round((turn - Math.floor(turn)) * (this.#width + width)) - width;
    const from = Math.max(0, x);
    const to = Math.min(this.#width, x + width);
    for (let row = 0; row < height; row++) {
      const source = row * width - x;
      luma.set(samples.subarray(source + from, source + to), (passer.y + row) * this.#width + from);
    }
  }

  #addNoise(frame: number, luma: Uint8Array): void {
    const width = this.#width;
    const noise = this.#noise;
    for (let row = 0; row < this.#height; row++) {
      // Another stretch of the noise for each row and frame.
      let from = Math.imul(frame * 4099 + row + 1, 0x9e3779b1) >>> 18;
      const end = (row + 1) * width;
      for (let i = row * width; i < end; i++) luma[i]! += noise[from++]!;
    }
  }
}

function copyWindow(
  plane: Plane,
  corner: { readonly x: number; readonly y: number },
  into: Uint8Array,
  width: number,
): void {
  for (let row = 0; row * width < into.length; row++) {
    const from = (corner.y + row) * plane.width + corner.x;
    into.set(plane.samples.subarray(from, from + width), row * width);
  }
}
