"""Where to cut: a stream of samples -> chunks of 30 to 60 s, cut where it is quietest.

All silence is kept: speech at the very edge of a chunk, or without the silence around it, costs
words. A cut lies on a frame, so that the frames of all chunks are one row of 80 ms steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subgen.levels import STEP_SAMPLES, Levels, levels_db
from subgen.model import FRAME_SAMPLES, SAMPLE_RATE, Chunk, Pcm

NEAR = 2
"""Half width in 10 ms hops of the stretch around a cut that must be quiet."""
WIDE = 20
"""Half width of the stretch that had better be quiet: a pause is a better place than a gap."""


class Segmenter:
    """Chunks of at most `max_seconds`, and at least `min_seconds` unless too little is left at the end.

    Every sample is in exactly one chunk. Looks ahead by no more than both together.
    """

    def __init__(self, min_seconds: int = 30, max_seconds: int = 60) -> None:
        self._min = min_seconds * SAMPLE_RATE // FRAME_SAMPLES * FRAME_SAMPLES
        self._max = max_seconds * SAMPLE_RATE // FRAME_SAMPLES * FRAME_SAMPLES
        self._kept: list[Pcm] = []
        self._length = 0
        self._first = 0

    def feed(self, pcm: Pcm) -> list[Chunk]:
        """Take samples; return the chunks that are certain."""
        self._kept.append(pcm)
        self._length += len(pcm)
        chunks = []
        while self._length >= self._max + self._min:
            chunks.append(self._cut(self._min, self._max))
        return chunks

    def finish(self) -> list[Chunk]:
        """Return what is left, in one chunk or two."""
        chunks = []
        if self._length > self._max:
            # Both parts must be long enough; where that cannot be, they are halves.
            earliest = min(self._min, self._length // 2)
            chunks.append(self._cut(earliest, max(earliest, min(self._max, self._length - self._min))))
        if self._length:
            chunks.append(self._take(self._length))
        return chunks

    def _cut(self, earliest: int, latest: int) -> Chunk:
        pcm = self._joined()
        return self._take(quietest_cut(pcm, earliest, latest))

    def _take(self, samples: int) -> Chunk:
        pcm = self._joined()
        chunk = Chunk(self._first, pcm[:samples].copy())
        self._kept = [pcm[samples:]]
        self._first += samples
        self._length -= samples
        return chunk

    def _joined(self) -> Pcm:
        if len(self._kept) > 1:
            self._kept = [np.concatenate(self._kept)]
        return self._kept[0]


def quietest_cut(pcm: Pcm, earliest: int, latest: int) -> int:
    """The sample from `earliest` to `latest`, a multiple of FRAME_SAMPLES, where to cut `pcm`.

    The cost of a place is the mean level in dB close by plus half of that around it; of equal
    places (digital silence) the middle one of the first run wins.
    """
    levels = levels_db(pcm)
    cost = _mean(levels, NEAR) + 0.5 * _mean(levels, WIDE)
    first = -(-earliest // FRAME_SAMPLES)
    places = np.arange(first, max(first, latest // FRAME_SAMPLES) + 1) * FRAME_SAMPLES
    costs = cost[np.minimum(places // STEP_SAMPLES, len(cost) - 1)]
    best = int(np.argmin(costs))
    run = best
    while run + 1 < len(costs) and costs[run + 1] <= costs[best]:
        run += 1
    return int(places[(best + run) // 2])


def _mean(levels: Levels, half: int) -> NDArray[np.float64]:
    """The mean over `2 half` hops around the start of each hop."""
    sums = np.concatenate([[0.0], np.cumsum(levels, dtype=np.float64)])
    at = np.arange(len(levels))
    first, last = np.maximum(at - half, 0), np.minimum(at + half, len(levels))
    return np.asarray(np.round((sums[last] - sums[first]) / (last - first), 6))
