"""When words were said: loudness, onsets, and sharing time among words that have none of their own.

The stream tells where a word ends and nothing of where it starts, so the start is read off the
sound: speech begins where a quiet stretch ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from subgen.captions.cjk import is_cjk
from subgen.levels import STEP_MS, Levels

_QUIET_STEPS = 12  # 120 ms: the closure before a p, t or k is quiet for less
_SPILL_STEPS = 8  # how far beyond the announced end the word may sound: the frame it ended in
_SHORTEST_MS = 60
_REACH_MS = 200  # how far before the earliest start a quiet stretch may begin
_CONTRAST_DB = 6.0  # less between speech and background tells nothing; steady noise alone has 2
_SLOW = 1.3  # times the usual duration that a word may take
_DEPTH_DB = 50.0  # digital silence is no measure of where a voice begins
_QUIET_SHARE = 0.35  # quiet is what lies in the lower third between background and voice, in dB


def letters(text: str) -> int:
    """How much there is to pronounce, in letters of an alphabet; punctuation is silent."""
    return sum(_weight(char) for char in text if char.isalnum())


def _weight(char: str) -> int:
    """A digit is read as a word, an ideogram, a Kana or a Hangul syllable as a syllable."""
    if char.isdecimal():
        return 4
    return 2 if is_cjk(char) or "가" <= char <= "힣" else 1


def start_of(levels: Levels, previous_end_ms: int, end_ms: int, size: int) -> int:
    """Where the speech of `size` letters that ends at `end_ms` begins; ms count from levels[0].

    The sound's last return after 120 ms or more of quiet, if that leaves the time to say it; else
    the end of what was said before, if there is a clear voice ever since or that is no longer ago
    than a slow speaker takes. Otherwise there may be a pause that noise hides: the usual duration.
    """
    longest, usual = 350 + 120 * size, 100 + 75 * size
    earliest = max(previous_end_ms, end_ms - longest)
    latest = max(earliest, end_ms - min(300, max(60, 30 * size)))
    first = max(0, earliest - _REACH_MS) // STEP_MS
    last = -(-end_ms // STEP_MS)
    if _comes_late(levels, earliest // STEP_MS, last):
        return max(previous_end_ms, end_ms - _SHORTEST_MS)
    threshold = _threshold(levels, earliest // STEP_MS, last)
    quiet = levels[first:last] < threshold
    onsets = ((first + step) * STEP_MS for step in _returns(quiet))
    hushed = np.count_nonzero(quiet[earliest // STEP_MS - first : latest // STEP_MS - first])
    voiced = np.isfinite(threshold) and hushed < _QUIET_STEPS
    slowest = longest if voiced else _SLOW * usual
    otherwise = previous_end_ms if end_ms - previous_end_ms <= slowest else end_ms - usual
    return max((onset for onset in onsets if earliest < onset <= latest), default=otherwise)


def _comes_late(levels: Levels, first: int, last: int) -> bool:
    """Whether nothing sounds from levels[first] on until right before levels[last], and then it does.

    That is a short word, announced a little early. Its sound is all of the voice there is.
    """
    before, after = levels[first : max(0, last - 2)], levels[max(0, last - 2) : last + _SPILL_STEPS]
    threshold = _threshold(levels, max(0, last - 2), last + _SPILL_STEPS)
    if len(before) < _QUIET_STEPS or not len(after):
        return False
    return bool((before < threshold).all() and (after >= threshold).any())


def _threshold(levels: Levels, first: int, last: int) -> float:
    """What is quiet around levels[first:last], in dBFS; nothing is where voice and background are alike."""
    voice = levels[first:last]
    if not len(voice):
        return -np.inf
    loud = float(np.percentile(voice, 95))
    background = float(np.percentile(levels[max(0, last - 400) : last + 100], 5))
    if loud - background < _CONTRAST_DB:
        return -np.inf
    background = max(background, loud - _DEPTH_DB)
    return background + _QUIET_SHARE * (loud - background)


def _returns(quiet: NDArray[np.bool_]) -> list[int]:
    """The steps at which a stretch of at least 12 quiet ones is over; one that goes on does not count."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    return [
        int(after)
        for start, after in zip(edges[::2], edges[1::2], strict=True)
        if after - start >= _QUIET_STEPS and after < len(quiet)
    ]


def share(start_ms: int, end_ms: int, sizes: Sequence[int]) -> list[int]:
    """Divide start_ms..end_ms in proportion to `sizes`: the ends, each at least 1 ms after the last.

    Needs end_ms - start_ms >= len(sizes).
    """
    spare = end_ms - start_ms - len(sizes)
    total = max(1, sum(sizes))
    ends = [start_ms + count + spare * done // total for count, done in enumerate(accumulate(sizes), 1)]
    return [*ends[:-1], end_ms]


def spread(ends_ms: Sequence[int], counts: Sequence[int], start_ms: int, limit_ms: int) -> list[int]:
    """Move ends [groups] as little as it takes for `counts[i]` words to fit before each.

    The ends come in ascending order. A word gets 40 ms, less where start_ms..limit_ms is crowded,
    and never under 1 ms, for which the last ones may have to pass the limit.
    """
    least = max(1, min(40, (limit_ms - start_ms) // max(1, sum(counts))))
    moved = list(ends_ms)
    limit = limit_ms
    for place in reversed(range(len(moved))):
        moved[place] = min(moved[place], limit)
        limit = moved[place] - least * counts[place]
    floor = start_ms
    for place, count in enumerate(counts):
        floor = moved[place] = max(moved[place], floor + least * count)
    return moved
