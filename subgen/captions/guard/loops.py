"""Words that the model repeats for ever: it goes round in circles, faster than anybody speaks.

People repeat themselves, too ("no, no, no, no", choruses, laughter), so a loop is only what goes on
longer and faster than that, without a pause.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from subgen.captions.guard.coverage import plain
from subgen.captions.timing import letters
from subgen.model import Timing, Word

_LONGEST_ROUND = 12  # words
_LEAST_WORDS = 24
_LEAST_ROUNDS = 6
_ENDLESS_WORDS = 60  # so many in any time
_ENDLESS_ROUNDS = 40
_PAUSE_MS = 400
_FAST_MS = 240  # a word; looping takes 160 for one of one token, and real speech 300 on average
_FAST_LETTERS = 22  # a second; fast speech has 18
_KEPT_WORDS = 4  # or one round
_WIDEST = 80  # half width characters: two lines full, so no subtitle can show it

_UNIT = re.compile(r"(.{1,8}?)\1*", re.DOTALL)
_ENDLESS = re.compile(r"(.{1,8}?)\1{9,}", re.DOTALL)


def without_loops(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """Words to keep, and those of a loop beyond its first rounds; both in order.

    A loop is a round of 1 to 12 words, 24 words and 6 rounds or more without a pause, at 240 ms a word
    or less or at 22 letters a second or more. Or it is one word that is too wide for a subtitle, as it
    repeats some characters. 60 words in 40 rounds are one at any speed.
    """
    dropped = {index for index, word in enumerate(words) if _is_endless(word.text)}
    while True:
        left = [index for index in range(len(words)) if index not in dropped]
        more = {left[place] for span in _loops([words[i] for i in left]) for place in span}
        if not more:
            return [words[i] for i in left], [words[i] for i in sorted(dropped)]
        dropped |= more


def _is_endless(text: str) -> bool:
    return any(_width(match.group()) >= _WIDEST for match in _ENDLESS.finditer(text.casefold()))


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _loops(words: Sequence[Word]) -> Iterator[range]:
    """The places of what each loop has too much."""
    for phrase in _phrases(words):
        keys = [_key(words[place].text) for place in phrase]
        at = 0
        while at < len(keys):
            size, length = _loop_at(at, keys, words[phrase.start : phrase.stop])
            if length:
                spare = length if at + length == len(keys) else length - length % size
                kept = max(size, _KEPT_WORDS // size * size)
                yield range(phrase.start + at + kept, phrase.start + at + spare)
            at += max(1, length)


def _phrases(words: Sequence[Word]) -> Iterator[range]:
    """The places of words that follow one another without a pause."""
    pauses = [n for n, (a, b) in enumerate(pairwise(words), 1) if b.start_ms - a.end_ms > _PAUSE_MS]
    yield from (range(start, end) for start, end in pairwise([0, *pauses, len(words)]))


def _loop_at(at: int, keys: Sequence[str], words: Sequence[Word]) -> tuple[int, int]:
    """The words in a round, and in the whole loop that begins there; (0, 0) if none does."""
    for size in range(1, _LONGEST_ROUND + 1):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(keys[at:], keys[at + size :], strict=False))
        length = size + sum(1 for _ in same)
        if _is_loop(words[at : at + length], length // size):
            return size, length
    return 0, 0


def _is_loop(words: Sequence[Word], rounds: int) -> bool:
    if len(words) >= _ENDLESS_WORDS and rounds >= _ENDLESS_ROUNDS:
        return True
    return len(words) >= _LEAST_WORDS and rounds >= _LEAST_ROUNDS and _is_fast(words)


def _is_fast(words: Sequence[Word]) -> bool:
    """Whether nobody speaks like that for long. Words due at one moment have no times of their own."""
    duration = words[-1].end_ms - words[0].end_ms
    size = sum(letters(word.text) for word in words[1:])
    at_once = all(word.timing is Timing.SHARED for word in words)
    return duration <= _FAST_MS * (len(words) - 1) or 1000 * size >= _FAST_LETTERS * duration or at_once


def _key(text: str) -> str:
    """What is compared: in はは and ははは the same is repeated."""
    text = plain(text)
    unit = _UNIT.fullmatch(text)
    return unit.group(1) if unit else text
