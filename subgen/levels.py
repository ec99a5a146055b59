"""How loud audio is, every 10 ms. Where to cut and when words were said are both read off this."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subgen.model import SAMPLES_PER_MS, Pcm

STEP_MS = 10
STEP_SAMPLES = STEP_MS * SAMPLES_PER_MS
FLOOR_DB = -100.0

Levels = NDArray[np.float32]
"""dBFS RMS of each 10 ms, shape [ceil(samples / 160)]."""


def levels_db(pcm: Pcm) -> Levels:
    """Loudness of `pcm` [samples] every 10 ms in dBFS (a full-scale square is 0), never under -100."""
    starts = np.arange(0, len(pcm), STEP_SAMPLES)
    if not len(starts):
        return np.zeros(0, np.float32)
    squares = np.square(pcm, dtype=np.float64)
    counts = np.diff(np.append(starts, len(pcm)))
    power = np.add.reduceat(squares, starts) / counts
    decibels: Levels = (10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))).astype(np.float32)
    return decibels
