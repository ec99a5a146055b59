"""Where one chunk's words end and the next one's begin, if the two heard a stretch both.

A chunk may begin some seconds inside the one before. What is said there is heard twice: by the first
chunk without what follows, so that its last word may be cut off, and by the second without what came
before, so that its first words may be wrong. Somewhere in between is the place to change over.
"""

from __future__ import annotations

from collections.abc import Sequence

from subgen.model import Span, Word

NEAR_MS = 480
"""The same text is the same word if the two ends are no further apart."""
BEFORE_END_MS = 800
"""How long before its end a chunk's words are certainly not cut off."""

Split = tuple[int, int]
"""How many of the first chunk's words are kept, and how many of the second's are left out."""


def change_over(left: Sequence[Word], right: Sequence[Word], overlap: Span) -> Split:
    """Where to change over from `left`, the last words of a chunk, to `right`, those of the next.

    At a word that both heard, else at a time when neither hears a word, else in the middle of
    `overlap`. Of several such places: that where the fewest words are lost for which the other chunk
    has none, and then that which is nearest to a little before the end of the first chunk.
    """
    late = overlap.end_ms - min(BEFORE_END_MS, overlap.duration_ms // 2)
    middle = (overlap.start_ms + overlap.end_ms) // 2
    places = (
        _agreed(left, right, late) or _gaps(left, right, overlap) or {_split(left, right, middle): middle}
    )
    return min(places, key=lambda split: (_lost(left, right, split), abs(places[split] - late)))


def _agreed(left: Sequence[Word], right: Sequence[Word], late: int) -> dict[Split, int]:
    """The words that both heard, and when. The second chunk's own are late ones, which it heard out."""
    apart = {
        (i, j): abs(sooner.end_ms - later.end_ms)
        for i, sooner in enumerate(left)
        for j, later in enumerate(right)
        if _same(sooner, later)
    }
    splits = {}
    for (i, j), ms in apart.items():
        if all(ms <= other for pair, other in apart.items() if i == pair[0] or j == pair[1]):
            end = left[i].end_ms  # said twice, a word is paired with the nearest
            splits[(i + 1, j + 1) if end <= late else (i, j)] = end
    return splits


def _gaps(left: Sequence[Word], right: Sequence[Word], overlap: Span) -> dict[Split, int]:
    """Times within the overlap when neither chunk hears a word: its ends, and where words end or begin."""
    words = [*left, *right]
    times = {overlap.start_ms, overlap.end_ms, *(t for w in words for t in (w.start_ms, w.end_ms))}
    return {
        _split(left, right, at): at
        for at in sorted(times)
        if overlap.start_ms <= at <= overlap.end_ms and not any(w.start_ms < at < w.end_ms for w in words)
    }


def _split(left: Sequence[Word], right: Sequence[Word], at_ms: int) -> Split:
    return sum(w.end_ms <= at_ms for w in left), sum(w.end_ms <= at_ms for w in right)


def _lost(left: Sequence[Word], right: Sequence[Word], split: Split) -> int:
    """How many words would be left out for which there is no other."""
    keep, leave_out = split
    pairs = ((left[keep:], right[leave_out:]), (right[:leave_out], left[:keep]))
    return sum(
        not any(_same(word, other) or _meet(word, other) for other in kept)
        for dropped, kept in pairs
        for word in dropped
    )


def _same(one: Word, other: Word) -> bool:
    plain = _plain(one.text)
    return bool(plain) and plain == _plain(other.text) and abs(one.end_ms - other.end_ms) <= NEAR_MS


def _meet(one: Word, other: Word) -> bool:
    return one.start_ms < other.end_ms and other.start_ms < one.end_ms


def _plain(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
