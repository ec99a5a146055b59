"""Speech that has no words: where it is, where to decode it again, and how to put in what came."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from subgen.captions.timing import spread
from subgen.model import FRAME_MS, Span, Timing, Word

LONGEST_HOLE_MS = 40_000
"""A longer one is cut, so that it can be decoded again with its surroundings."""

_AFTER_MS = 240  # a word may sound for a frame beyond its end, and detected speech ends 70 to 130 ms late
_BEFORE_MS = 80  # the sound before a word's start that may still be part of it
_SAME_MS = 320  # two hearings of one word end within this of each other
_AROUND_MS = 500  # how far from the detected speech its words may lie
_LEADS_MS = (12_000, 8_000, 5_000)  # a chunk's first 3 s have more errors than the rest
_FOLLOW_MS = 4_000
_RETRY_MS = (5_000, 60_000)


def holes(
    words: Sequence[Word], speech: Sequence[Span], start_ms: int, end_ms: int, longest_ms: int = 2000
) -> list[Span]:
    """The stretches between words (or the borders) with more than `longest_ms` of sure speech in them.

    Trimmed to that speech. The 0.3 s around words are not counted, as times are inexact: a hole under
    `longest_ms` is never claimed, and one of 0.4 s more is always found.
    """
    found: list[Span] = []
    for gap in _gaps(words, start_ms, end_ms):
        unsaid = _within(speech, gap)
        if sum(span.duration_ms for span in unsaid) > longest_ms:
            found += _parts(unsaid)
    return found


def _gaps(words: Sequence[Word], start_ms: int, end_ms: int) -> Iterator[Span]:
    left = start_ms
    for word in words:
        yield Span(max(start_ms, left), min(end_ms, word.start_ms - _BEFORE_MS))
        left = max(left, word.end_ms + _AFTER_MS)
    yield Span(max(start_ms, left), end_ms)


def _within(spans: Sequence[Span], gap: Span) -> list[Span]:
    cut = (Span(max(s.start_ms, gap.start_ms), min(s.end_ms, gap.end_ms)) for s in spans)
    return [span for span in cut if span.duration_ms > 0]


def _parts(speech: Sequence[Span]) -> list[Span]:
    """The stretch from the first to the last of `speech` in equal parts, each trimmed to the speech in it."""
    whole = Span(speech[0].start_ms, speech[-1].end_ms)
    count = -(-whole.duration_ms // LONGEST_HOLE_MS)
    borders = [whole.start_ms + whole.duration_ms * n // count for n in range(count + 1)]
    inside = [_within(speech, Span(*pair)) for pair in pairwise(borders)]
    return [Span(part[0].start_ms, part[-1].end_ms) for part in inside if part]


def retry_span(hole: Span, attempt: int, within: Span, tried: Collection[int] = ()) -> Span:
    """Where to decode `hole` again: some seconds before it to some after, 5 to 60 s, on whole frames.

    Each `attempt` (1 to 3) begins at another place, and never at the very start of `within`, the
    audio at hand, nor at one of `tried`, in ms. Only the end of `within` may end it in mid-frame.
    """
    first = -(-within.start_ms // FRAME_MS) * FRAME_MS + attempt * FRAME_MS
    start = max(first, (hole.start_ms - _LEADS_MS[attempt - 1]) // FRAME_MS * FRAME_MS)
    while start in tried:
        start += FRAME_MS
    shortest, longest = _RETRY_MS
    end = -(-max(hole.end_ms + _FOLLOW_MS, start + shortest) // FRAME_MS) * FRAME_MS
    return Span(start, min(end, start + longest, within.end_ms))


def patched(words: Sequence[Word], hole: Span, again: Sequence[Word]) -> list[Word]:
    """`words` with those of `again`, a second hearing of the surroundings, that belong into `hole`.

    Words that `again` has in common with the neighbours, at about the same time, are not doubled.
    """
    at = _place_of(hole, words)
    before, after = list(words[:at]), list(words[at:])
    new = _from(_until(again, after), before)
    new = [w for w in new if w.end_ms > hole.start_ms - _AROUND_MS and w.start_ms < hole.end_ms + _AROUND_MS]
    left = before[-1].end_ms if before else 0
    right = after[0].start_ms if after else max([left + len(new), *(word.end_ms for word in new)])
    return [*before, *_fitted(new, left, right), *after]


def _place_of(hole: Span, words: Sequence[Word]) -> int:
    """How many words come before it; where there are some within it, before the largest gap in it."""
    lefts = [hole.start_ms, *(max(hole.start_ms, word.end_ms) for word in words)]
    rights = [*(min(hole.end_ms, word.start_ms) for word in words), hole.end_ms]
    gaps = [right - left for left, right in zip(lefts, rights, strict=True)]
    return gaps.index(max(gaps))


def _from(again: Sequence[Word], before: Sequence[Word]) -> list[Word]:
    """What comes after the last word of `before`: after the same word, else later than its end."""
    if not before:
        return list(again)
    last = before[-1]
    same = _same(again, last)
    if same is not None:
        return list(again[same + 1 :])
    return [word for word in again if word.start_ms + word.end_ms > 2 * last.end_ms]


def _until(again: Sequence[Word], after: Sequence[Word]) -> list[Word]:
    if not after:
        return list(again)
    same = _same(again, after[0])
    if same is not None:
        return list(again[:same])
    return [word for word in again if word.start_ms + word.end_ms < 2 * after[0].start_ms]


def _same(again: Sequence[Word], word: Word) -> int | None:
    """The index of the word with the same text that ends nearest to `word`, if one ends near it."""
    distances = [
        (abs(other.end_ms - word.end_ms), index)
        for index, other in enumerate(again)
        if plain(other.text) == plain(word.text)
    ]
    distance, index = min(distances, default=(_SAME_MS + 1, -1))
    return index if distance <= _SAME_MS else None


def plain(text: str) -> str:
    """Text for comparison: without case and punctuation, unless there is nothing else."""
    return "".join(filter(str.isalnum, text.casefold())) or text


def _fitted(new: Sequence[Word], left_ms: int, right_ms: int) -> list[Word]:
    """`new` moved into left..right as little as it takes; what has no room there is left out."""
    new = new[: max(0, right_ms - left_ms)]
    ends = spread([word.end_ms for word in new], [1] * len(new), left_ms, right_ms)
    return [
        replace(
            word,
            start_ms=min(max(word.start_ms, floor), end - 1),
            end_ms=end,
            timing=word.timing if end == word.end_ms else Timing.SHARED,
        )
        for word, floor, end in zip(new, [left_ms, *ends], ends, strict=False)
    ]
