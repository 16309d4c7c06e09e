/** The parameter sets of one track, by type and id: cameras use several, and change them. */
import type { NalSyntax } from "./nal-syntax.ts";
import type { PictureSize } from "./track-format.ts";

/** Parameter sets are tens of bytes; more is an attack on memory. */
const SET_BYTES_MAX = 1024;
/** Sets per type. Cameras have one or two; the standards' 256 would be repeated at every keyframe. */
const SETS_PER_TYPE_MAX = 16;

interface Kept {
  readonly type: number;
  readonly id: number;
  readonly parent: number;
  readonly nal: Uint8Array;
  /** The unit it last came in, by `ParameterSets.unit`. */
  unit: number;
}

export class ParameterSets {
  /** All sets without start code, those first that others refer to, the ones in use before others. */
  nals: readonly Uint8Array[] = [];
  /** By the set in use, or the newest; `null` until known. */
  picture: PictureSize | null = null;
  /** Counts changes of the two above. */
  changes = 0;

  readonly #syntax: NalSyntax;
  #kept: Kept[] = [];
  #unit = 0;

  constructor(syntax: NalSyntax) {
    this.#syntax = syntax;
  }

  /** A unit begins; the sets that come from now on come in it. */
  beginUnit(): void {
    this.#unit++;
  }

  /** Keeps a copy of the set in [start, end) of `b`, in place of the one of the same type and id. */
  keep(type: number, b: Uint8Array, start: number, end: number): void {
    const known = this.#kept.find((set) => set.type === type && equal(set.nal, b, start, end));
    if (known) {
      known.unit = this.#unit;
      return;
    }
    if (end - start > SET_BYTES_MAX) return;
    const { id, parent } = this.#syntax.identify(b, start, end);
    const set = { type, id, parent, nal: b.slice(start, end), unit: this.#unit };
    this.#replace(set);
    if (type === this.#syntax.sizeSetType) this.#look(set);
  }

  /** Sets from a session description: they came in no unit, and each keyframe lacks them. */
  offer(nals: readonly Uint8Array[], typeOf: (nal: Uint8Array) => number): void {
    const unit = this.#unit;
    this.#unit = -1;
    for (const nal of nals) {
      const type = typeOf(nal);
      if (this.#syntax.setTypes.includes(type)) this.keep(type, nal, 0, nal.length);
    }
    this.#unit = unit;
  }

  /** The picture parameter set of this id is in use from now on, and those that it refers to. */
  activate(pictureSet: number): void {
    const types = this.#syntax.setTypes;
    let id = pictureSet;
    for (let i = types.length - 1; i >= 0; i--) {
      const set = this.#kept.find((kept) => kept.type === types[i] && kept.id === id);
      if (!set) return;
      this.#toFront(set);
      if (set.type === this.#syntax.sizeSetType) this.#look(set);
      id = set.parent;
    }
  }

  /**
   * What must be written in front of the unit's picture so that it can be decoded alone: the sets
   * that did not come in it, and those that refer to them. Nothing as long as not one of each type
   * is known: half of them help nobody.
   */
  missing(): readonly Uint8Array[] {
    const first = this.#kept.findIndex((set) => set.unit !== this.#unit);
    if (first < 0) return [];
    const types = this.#syntax.setTypes;
    if (!types.every((type) => this.#kept.some((set) => set.type === type))) return [];
    return first === 0 ? this.nals : this.nals.slice(first);
  }

  #replace(set: Kept): void {
    this.changes++;
    const place = this.#kept.findIndex(({ type, id }) => type === set.type && id === set.id);
    // The first of a type is the one in use.
    const same = this.#kept.filter(({ type }) => type === set.type);
    const oldest = same.length < SETS_PER_TYPE_MAX ? undefined : same[1];
    const others = this.#kept.filter((other) => other !== oldest);
    this.#order(place >= 0 ? this.#kept.with(place, set) : [...others, set]);
  }

  #toFront(set: Kept): void {
    if (this.#kept.find(({ type }) => type === set.type) === set) return;
    this.#order([set, ...this.#kept.filter((other) => other !== set)]);
    this.changes++;
  }

  #order(sets: Kept[]): void {
    const types = this.#syntax.setTypes;
    this.#kept = sets.toSorted((a, b) => types.indexOf(a.type) - types.indexOf(b.type));
    this.nals = this.#kept.map(({ nal }) => nal);
  }

  #look({ nal }: Kept): void {
    const picture = this.#syntax.pictureOf(nal);
    if (picture === null) return;
    const { width, height } = picture;
    if (this.picture?.width === width && this.picture.height === height) return;
    this.picture = { width, height };
    this.changes++;
  }
}

function equal(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (a.length !== end - start) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[start + i]) return false;
  return true;
}
