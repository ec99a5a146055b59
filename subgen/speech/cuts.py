"""The best place to cut: in a pause, where it is quiet, not far from where the cut is wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subgen.levels import STEP_MS, Levels
from subgen.model import FRAME_MS

STEPS = FRAME_MS // STEP_MS
"""Levels in a frame."""
NEAR = 2
"""Half width in 10 ms steps of the stretch around a cut that must be quiet."""
WIDE = 20
"""Half width of the stretch that had better be quiet: a pause is a better place than a gap."""
FAR_DB = 0.5
"""What a second away from the target costs."""
ALIKE_DB = 3
"""Places that differ by less are equally good."""
QUIET_ENOUGH_DB = -70
"""Quieter is not better: a gap of digital silence is no better than a pause with some noise in it."""
CENTRED_FRAMES = 25
"""How far a pause is looked at to find its middle. Silence of about 1 s on both sides is enough."""


def best_cut(levels: Levels, speech: NDArray[np.bool_], earliest: int, latest: int, target: int) -> int:
    """The frame from `earliest` to `latest` before which to cut.

    `levels`: dBFS every 10 ms; `speech`: whether somebody speaks, per frame; both from frame 0 on.
    The cost of a place is the mean level close by plus half of that around it, and its distance from
    `target`. Places between two frames without speech come first, if there are any; of a pause, the
    middle is taken.
    """
    frames = np.arange(earliest, latest + 1)
    loudness = _loudness(levels, frames * STEPS)
    loudness[_spoken(speech, frames)] += 1000  # dB: anything else is better
    best = int(np.argmin(loudness + FAR_DB * np.abs(frames - target) * FRAME_MS / 1000))
    alike = loudness <= loudness[best] + ALIKE_DB
    first = last = best
    while first > max(0, best - CENTRED_FRAMES) and alike[first - 1]:
        first -= 1
    while last < min(len(frames) - 1, best + CENTRED_FRAMES) and alike[last + 1]:
        last += 1
    return int(frames[(first + last) // 2])


def _loudness(levels: Levels, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """dB at `places`, which count in 10 ms steps."""
    sums = np.concatenate([[0.0], np.cumsum(np.maximum(levels, QUIET_ENOUGH_DB), dtype=np.float64)])
    # Sums of floats depend on where they begin; rounded, equal places are equal.
    return np.asarray(np.round(_mean(sums, places, NEAR) + 0.5 * _mean(sums, places, WIDE), 6))


def _mean(sums: NDArray[np.float64], places: NDArray[np.int64], half: int) -> NDArray[np.float64]:
    """The mean of the `half` numbers before and the `half` after each place, as far as there are any."""
    last = len(sums) - 1
    first, end = np.clip(places - half, 0, last), np.clip(places + half, 0, last)
    return np.asarray((sums[end] - sums[first]) / np.maximum(end - first, 1))


def _spoken(speech: NDArray[np.bool_], frames: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether somebody speaks on either side of a cut before each of `frames`."""
    padded = np.concatenate([[False], speech, [False]])
    last = len(padded) - 1
    return np.asarray(padded[np.minimum(frames, last)] | padded[np.minimum(frames + 1, last)])
