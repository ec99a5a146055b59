"""Words -> the lines of one cue."""

from __future__ import annotations

from collections.abc import Sequence

from subgen.captions.languages import Limits, text_width
from subgen.captions.words import join
from subgen.model import Word

_SENTENCE_END = frozenset(".!?…。！？؟।｡")
_CLAUSE_END = frozenset(",;:—–、，；：،؛､")
_CLOSING = "\"'”’»)]}」』）】》〉“"


def break_class(word: Word) -> int:
    """How good a place the end of `word` is for a break: 2 a sentence's end, 1 a clause's, 0 neither."""
    last = word.text.rstrip(_CLOSING)[-1:]
    if last in _SENTENCE_END:
        return 2
    return 1 if last in _CLAUSE_END else 0


def lines_of(words: Sequence[Word], language: str, limits: Limits) -> tuple[str, ...]:
    """One line if `words` fit, else two, never three; () if they fit in neither. One word always fits.

    Two lines are of like length, rather the lower longer, and preferably break after punctuation.
    """
    whole = _line(words, language, limits)
    if whole is not None:
        return (whole,)
    best: tuple[float, tuple[str, str]] | None = None
    for place in range(1, len(words) if limits.lines > 1 else 1):
        upper = _line(words[:place], language, limits)
        lower = _line(words[place:], language, limits)
        if upper is None or lower is None:
            continue
        lean = text_width(upper, language) - text_width(lower, language)
        cost = (1.5 * lean if lean > 0 else -lean) / limits.chars_per_line
        cost -= 0.25 * break_class(words[place - 1])
        if best is None or cost < best[0]:
            best = cost, (upper, lower)
    return best[1] if best else ()


def _line(words: Sequence[Word], language: str, limits: Limits) -> str | None:
    """The text of one line; None if it is too long. A word longer than a line is kept whole."""
    text = join(words)
    return text if len(words) == 1 or text_width(text, language) <= limits.chars_per_line else None
