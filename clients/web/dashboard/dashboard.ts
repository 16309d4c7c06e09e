/** The page at `/`: every camera live in a grid. */
import { type Camera, fetchCameras, measureClockOffset } from "./hub.ts";
import { Tile } from "./tile.ts";

const REFRESH_MS = 1_000;
/** Clocks of browser and hub part slowly; a laptop that slept parts at once. */
const CLOCK_MS = 30_000;

const tiles = new Map<string, Tile>();
const grid = document.querySelector("#grid");
const summary = document.querySelector("#summary");
let clockOffset: number | null = null;

function show(cameras: readonly Camera[]): void {
  const gone = new Set(tiles.keys());
  for (const camera of cameras) {
    gone.delete(camera.id);
    const tile = tiles.get(camera.id) ?? add(camera.id);
    tile.latency.clockOffset = clockOffset;
    tile.update(camera);
  }
  for (const id of gone) {
    tiles.get(id)?.stop();
    tiles.get(id)?.element.remove();
    tiles.delete(id);
  }
  const live = cameras.filter(({ state }) => state === "live").length;
  say(cameras.length === 0 ? "no cameras yet" : `${live} of ${cameras.length} live`);
}

function add(id: string): Tile {
  const tile = new Tile(id);
  tiles.set(id, tile);
  grid?.append(tile.element);
  tile.start();
  return tile;
}

function say(text: string): void {
  if (summary) summary.textContent = text;
}

async function refresh(): Promise<void> {
  try {
    show(await fetchCameras());
  } catch {
    say("the hub does not answer");
  }
  setTimeout(refresh, REFRESH_MS);
}

async function keepClock(): Promise<void> {
  try {
    clockOffset = await measureClockOffset();
  } catch {
    clockOffset = null;
  }
  setTimeout(keepClock, clockOffset === null ? REFRESH_MS : CLOCK_MS);
}

void keepClock();
void refresh();
