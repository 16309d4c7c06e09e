/**
 * The picture of a synthetic camera: a moving scene with a clock for people and a frame number for
 * machines burned in. Everything here is a share of the picture, so it reads at any scale.
 *
 * The frame number is one row of black and white cells, from left to right:
 * white, black | 16 bits of the frame number, highest first | 4 bits of check | black, white.
 * A white cell is a 1. The check is `(number % 15) ^ 5`: neither a black nor a white row passes,
 * nor one with a single wrong bit.
 *
 * @module
 */
import { assert } from "../core/fault.ts";
import { Scene } from "./scene.ts";

/** Where the row of cells lies, in shares of width and height. test/python/pattern.py has the same. */
const FRAME_NUMBER_ROW = {
  left: 1 / 32,
  right: 31 / 32,
  top: 0.86,
  bottom: 0.96,
  /** Least distance between white and black, in steps of 8-bit brightness. */
  contrastMin: 64,
  /** A cell nearer to the middle than this share of the contrast is neither black nor white. */
  marginMin: 0.2,
} as const;

/** Frame numbers have 16 bits; a longer count starts again at 0. */
export const FRAME_NUMBERS = 65_536;

type RowLayout = { readonly [K in keyof typeof FRAME_NUMBER_ROW]: number };

/** Self-contained, since its source text also runs in browsers: it may use nothing but arguments. */
function readRow(
  pixels: ArrayLike<number>,
  [width, height, stride, channels]: readonly [number, number, number, number],
  layout: RowLayout,
): number | null {
  const cells = 24;
  const samples = 5;
  const brightness = (x: number, y: number): number => {
    const at = Math.floor(y) * stride + Math.floor(x) * channels;
    if (channels < 3) return pixels[at] ?? 0;
    // Green counts twice; red and blue alike, so that their order does not matter.
    return ((pixels[at] ?? 0) + 2 * (pixels[at + 1] ?? 0) + (pixels[at + 2] ?? 0)) / 4;
  };
  /** Mean over a grid in the middle half of the cell, away from blurred edges. */
  const cell = (index: number): number => {
    let sum = 0;
    for (let i = 0; i < samples; i++) {
      for (let j = 0; j < samples; j++) {
        const across = (index + 0.25 + (0.5 * i) / (samples - 1)) / cells;
        const down = 0.25 + (0.5 * j) / (samples - 1);
        sum += brightness(
          width * (layout.left + (layout.right - layout.left) * across),
          height * (layout.top + (layout.bottom - layout.top) * down),
        );
      }
    }
    return sum / samples ** 2;
  };
  const white = Math.min(cell(0), cell(cells - 1));
  const black = Math.max(cell(1), cell(cells - 2));
  const contrast = white - black;
  if (contrast < layout.contrastMin) return null;
  let value = 0;
  for (let index = 2; index < cells - 2; index++) {
    const level = (cell(index) - black) / contrast - 0.5;
    if (Math.abs(level) < layout.marginMin) return null;
    value = value * 2 + (level > 0 ? 1 : 0);
  }
  const number = value >> 4;
  return (value & 15) === ((number % 15) ^ 5) ? number : null;
}

/**
 * Reads the frame number out of a picture of any size, in 8-bit gray (1 channel), BGR or RGB (3),
 * or with an alpha channel (4). `null` when there is none to be read with certainty.
 *
 * @param stride bytes from one row of pixels to the next
 */
export function readFrameNumber(
  pixels: ArrayLike<number>,
  width: number,
  height: number,
  stride: number,
  channelsPerPixel: number,
): number | null {
  return readRow(pixels, [width, height, stride, channelsPerPixel], FRAME_NUMBER_ROW);
}

/** `readFrameNumber` as the text of a JavaScript expression, for a page that cannot import it. */
export const FRAME_READER_SOURCE = `((pixels, width, height, stride, channels) =>
  (${readRow.toString()})(pixels, [width, height, stride, channels], ${JSON.stringify(FRAME_NUMBER_ROW)}))`;

/** Brightness in the limited range that cameras use (ITU-R BT.709: 16 to 235). */
const BLACK = 16;
const WHITE = 235;
const PLATE = 40;
const CHROMA_NEUTRAL = 128;

/** Segments a to g of each digit, lowest bit first: top, right upper, right lower, bottom, … */
const SEGMENTS = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f] as const;

/** Height of the clock as a share of the picture. */
const CLOCK_HEIGHT = 0.16;
const CLOCK_TOP = 0.06;

/** A part of the picture, in luma samples with fractions; edges are rounded when it is filled. */
interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Draws the pictures of a clip. Holds a few pictures' worth of memory. */
export class Pattern {
  readonly width: number;
  readonly height: number;
  /** Bytes of one picture: luma, blue and red difference, one behind another, without padding. */
  readonly bytes: number;
  readonly #fps: number;
  readonly #scene: Scene;

  /**
   * @param size even numbers
   * @param fps pictures a second; only the clock shows it
   * @param frames length of the clip; picture `frames` follows smoothly upon itself
   */
  constructor(size: { width: number; height: number }, fps: number, frames: number) {
    assert(size.width % 2 === 0 && size.height % 2 === 0, "colour has half the picture's size");
    this.width = size.width;
    this.height = size.height;
    this.bytes = (size.width * size.height * 3) / 2;
    this.#fps = fps;
    this.#scene = new Scene(size.width, size.height, frames);
  }

  /** Draws picture `frame` into `i420`, planar YUV 4:2:0 of `bytes` bytes. */
  draw(frame: number, i420: Uint8Array): void {
    this.#scene.draw(frame, i420);
    this.#drawClock(frame, i420);
    this.#drawFrameNumber(frame % FRAME_NUMBERS, i420);
  }

  /** mm:ss:ff. */
  #drawClock(frame: number, i420: Uint8Array): void {
    const height = this.height * CLOCK_HEIGHT;
    const pitch = height * 0.55;
    const top = this.height * CLOCK_TOP;
    // Six digits and two colons of half their width.
    let left = (this.width - 7 * pitch) / 2;
    this.#plate(i420, { left, top, right: left + 7 * pitch, bottom: top + height }, height / 8);
    const seconds = Math.floor(frame / this.#fps);
    const pairs = [Math.floor(seconds / 60), seconds % 60, frame % this.#fps];
    for (const [i, pair] of pairs.entries()) {
      if (i > 0) {
        this.#drawColon(i420, left, top, height);
        left += pitch / 2;
      }
      this.#drawDigit(i420, Math.floor(pair / 10) % 10, left, top);
      this.#drawDigit(i420, pair % 10, left + pitch, top);
      left += 2 * pitch;
    }
  }

  #drawColon(i420: Uint8Array, x: number, y: number, height: number): void {
    const side = height * 0.11;
    const left = x + height * 0.08;
    for (const top of [y + height * 0.25, y + height * 0.65]) {
      this.#fill(i420, { left, top, right: left + side, bottom: top + side }, WHITE);
    }
  }

  #drawDigit(i420: Uint8Array, digit: number, left: number, top: number): void {
    const lit = SEGMENTS[digit] ?? 0;
    const height = this.height * CLOCK_HEIGHT;
    for (const [i, segment] of segmentsOf(left, top, height).entries()) {
      if (((lit >> i) & 1) === 1) this.#fill(i420, segment, WHITE);
    }
  }

  #drawFrameNumber(number: number, i420: Uint8Array): void {
    const row = {
      left: this.width * FRAME_NUMBER_ROW.left,
      right: this.width * FRAME_NUMBER_ROW.right,
      top: this.height * FRAME_NUMBER_ROW.top,
      bottom: this.height * FRAME_NUMBER_ROW.bottom,
    };
    this.#plate(i420, row, this.width / 64);
    const cells = frameNumberCells(number);
    const width = (row.right - row.left) / cells.length;
    for (const [index, white] of cells.entries()) {
      const left = row.left + index * width;
      this.#fill(i420, { ...row, left, right: left + width }, white ? WHITE : BLACK);
    }
  }

  /** A dark grey ground, colours included: what lies on it must not be tinted by the scene. */
  #plate(i420: Uint8Array, around: Rectangle, rim: number): void {
    const left = Math.round((around.left - rim) / 2);
    const top = Math.round((around.top - rim) / 2);
    const right = Math.round((around.right + rim) / 2);
    const bottom = Math.round((around.bottom + rim) / 2);
    const doubled = { left: 2 * left, top: 2 * top, right: 2 * right, bottom: 2 * bottom };
    this.#fill(i420, doubled, PLATE);
    const luma = this.width * this.height;
    for (let y = top; y < bottom; y++) {
      const blue = luma + y * (this.width / 2);
      const red = blue + luma / 4;
      i420.fill(CHROMA_NEUTRAL, blue + left, blue + right);
      i420.fill(CHROMA_NEUTRAL, red + left, red + right);
    }
  }

  #fill(i420: Uint8Array, { left, top, right, bottom }: Rectangle, luma: number): void {
    for (let row = Math.round(top); row < Math.round(bottom); row++) {
      const start = row * this.width;
      i420.fill(luma, start + Math.round(left), start + Math.round(right));
    }
  }
}

/** The bars of a digit, in the order of SEGMENTS. */
function segmentsOf(left: number, top: number, height: number): Rectangle[] {
  const right = left + height * 0.44;
  const bottom = top + height;
  const thick = height * 0.1;
  const [above, below] = [top + (height - thick) / 2, top + (height + thick) / 2];
  return [
    { left, top, right, bottom: top + thick },
    { left: right - thick, top, right, bottom: below },
    { left: right - thick, top: above, right, bottom },
    { left, top: bottom - thick, right, bottom },
    { left, top: above, right: left + thick, bottom },
    { left, top, right: left + thick, bottom: below },
    { left, top: above, right, bottom: below },
  ];
}

/** The row's cells, `true` for white. */
function frameNumberCells(number: number): boolean[] {
  const value = number * 16 + ((number % 15) ^ 5);
  const bits = Array.from({ length: 20 }, (_, i) => ((value >> (19 - i)) & 1) === 1);
  return [true, false, ...bits, false, true];
}
