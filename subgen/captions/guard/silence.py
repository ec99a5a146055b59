"""Words where surely nobody speaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from subgen.model import Span, Word

_AFTER_SPEECH_MS = 1000  # a word may be announced late, never as much early
_BEFORE_SPEECH_MS = 500
_LATE_MS = 4000  # how far the writer may be behind at the end of fast speech
_DIRECTLY_MS = 160  # then its words follow one another without a pause
_TOGETHER_MS = 500


def without_silent(words: Sequence[Word], silence: Sequence[Span]) -> tuple[list[Word], list[Word]]:
    """Words to keep, and those that surely nobody said; both in order.

    These lie wholly in a span of `silence`, 1 s or more from its start and 0.5 s from its end, where
    edges and times are inexact; a phrase that lies wholly in it and has such a word goes with it. What
    follows speech without a pause stays for 4 s: the model writes one token in 80 ms and may be behind.
    """
    kept: list[Word] = []
    dropped: list[Word] = []
    for phrase in _phrases(words):
        if any(_holds(span, phrase) and any(_is_deep(word, span) for word in phrase) for span in silence):
            dropped += phrase
            continue
        for word in phrase:
            deep = next((span for span in silence if _is_deep(word, span)), None)
            (dropped if deep and not _is_late(word, kept, deep) else kept).append(word)
    return kept, dropped


def _phrases(words: Sequence[Word]) -> Iterator[list[Word]]:
    phrase: list[Word] = []
    for word in words:
        if phrase and word.start_ms - phrase[-1].end_ms > _TOGETHER_MS:
            yield phrase
            phrase = []
        phrase.append(word)
    if phrase:
        yield phrase


def _holds(span: Span, phrase: Sequence[Word]) -> bool:
    return span.start_ms <= phrase[0].start_ms and phrase[-1].end_ms <= span.end_ms


def _is_deep(word: Word, span: Span) -> bool:
    first, last = span.start_ms + _AFTER_SPEECH_MS, span.end_ms - _BEFORE_SPEECH_MS
    return first <= word.start_ms and word.end_ms <= last


def _is_late(word: Word, before: Sequence[Word], span: Span) -> bool:
    """Whether an unbroken line of words leads from before `span` to `word`, early in it."""
    start = word.start_ms if word.end_ms <= span.start_ms + _LATE_MS else None
    for each in reversed(before):
        if start is None or start - each.end_ms > _DIRECTLY_MS or start < span.start_ms:
            break
        start = each.start_ms
    return start is not None and start < span.start_ms
