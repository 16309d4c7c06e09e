"""Reads the frame number that a synthetic camera burns into its pictures.

The same as readFrameNumber in src/synthetic/pattern.ts, which describes the row of cells:
white, black | 16 bits, highest first | 4 bits of check | black, white.
"""

import numpy as np

# Where the row lies, in shares of width and height, and how sure a cell must be.
LEFT, RIGHT, TOP, BOTTOM = 1 / 32, 31 / 32, 0.86, 0.96
CONTRAST_MIN, MARGIN_MIN = 64, 0.2
CELLS, SAMPLES = 24, 5


def _positions() -> tuple[np.ndarray, np.ndarray]:
    """A grid in the middle half of each cell, as shares: across (CELLS, SAMPLES), down (SAMPLES)."""
    grid = 0.25 + 0.5 * np.arange(SAMPLES) / (SAMPLES - 1)
    across = LEFT + (RIGHT - LEFT) * (np.arange(CELLS)[:, None] + grid) / CELLS
    return across, TOP + (BOTTOM - TOP) * grid


_ACROSS, _DOWN = _positions()


def read_frame_number(picture: np.ndarray) -> int | None:
    """The frame number in `picture`, of shape (height, width) or (height, width, channels >= 3).

    8 bits per channel, BGR or RGB; any size. None when there is none to be read with certainty.
    """
    height, width = picture.shape[:2]
    if height == 0 or width == 0:
        return None
    columns = (width * _ACROSS).astype(int)
    rows = (height * _DOWN).astype(int)
    samples = picture[rows[:, None, None], columns[None]].astype(float)
    if picture.ndim == 3:
        # Green counts twice; red and blue alike, so that their order does not matter.
        samples = (samples[..., 0] + 2 * samples[..., 1] + samples[..., 2]) / 4
    cells = samples.mean(axis=(0, 2))
    white, black = min(cells[0], cells[-1]), max(cells[1], cells[-2])
    if white - black < CONTRAST_MIN:
        return None
    levels = (cells[2:-2] - black) / (white - black) - 0.5
    if np.abs(levels).min() < MARGIN_MIN:
        return None
    value = int("".join("1" if level > 0 else "0" for level in levels), 2)
    number = value >> 4
    return number if value & 15 == (number % 15) ^ 5 else None
