"""Words -> cues: first which words go together, then how long they are shown.

Greedy: a cue takes as many words as fit, then goes back to the best place to end. Captions are
never shown across a silence, and a text is never shortened, so reading speed is a wish and the
other limits are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

from subgen.captions import languages
from subgen.captions.languages import Limits, text_width
from subgen.captions.lines import break_class, lines_of
from subgen.captions.words import join
from subgen.model import Cue, Word

_SILENCE_MS = 1500  # no cue lasts across it
_PAUSE_MS = 300  # worth as much as a comma
_HANG_MS = 500  # how long a cue may stay after the sound
_FLASH_MS = 40  # what a cue gets where there is no time at all: one frame at 25 a second


def layout(words: Sequence[Word], language: str, *, limits: Limits | None = None) -> list[Cue]:
    """Cues of all `words`, which ascend and do not overlap, in order; ISO 639-1 `language`.

    Each has at most two lines of the language's length (a longer word is kept whole), lasts at most
    7 s, begins with its first word, and leaves a gap of 83 ms to the next. It is shorter than the
    language's minimum only where no more words fit in and the next ones come too soon.
    """
    limits = limits or languages.limits(language)
    runs = [run for stretch in _stretches(words) for run in _runs(stretch, language, limits)]
    cues: list[Cue] = []
    earliest = 0
    for run, following in zip_longest(runs, runs[1:]):
        # Words that crowd within a few milliseconds leave no room: then the next cue waits.
        start = max(run[0].start_ms, earliest)
        end = _out_time(run, start, following, language, limits)
        cues.append(Cue(start, end, lines_of(run, language, limits)))
        earliest = end + limits.gap_ms
    return cues


def _stretches(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Words between long silences."""
    first = 0
    for place, (word, following) in enumerate(pairwise(words), 1):
        if following.start_ms - word.end_ms >= _SILENCE_MS:
            yield words[first:place]
            first = place
    if words:
        yield words[first:]


def _runs(words: Sequence[Word], language: str, limits: Limits) -> Iterator[Sequence[Word]]:
    """Part a stretch into the words of single cues."""
    while words:
        most = _capacity(words, language, limits)
        count = most if most == len(words) else _best_end(words, most, limits)
        yield words[:count]
        words = words[count:]


def _capacity(words: Sequence[Word], language: str, limits: Limits) -> int:
    """How many words one cue can hold; at least one."""
    count = 1
    while count < len(words):
        too_long = words[count].end_ms - words[0].start_ms > limits.max_ms
        if too_long or not lines_of(words[: count + 1], language, limits):
            break
        count += 1
    return count


def _best_end(words: Sequence[Word], most: int, limits: Limits) -> int:
    """After how many of the first `most` words to end: at a sentence, a clause, a pause; rather late.

    A cue that the next one would cut short of the minimum is the last choice: nobody could read it.
    """

    def worth(count: int) -> tuple[int, float]:
        time = words[count].start_ms - limits.gap_ms - words[0].start_ms
        pause = words[count].start_ms - words[count - 1].end_ms >= _PAUSE_MS
        place = max(break_class(words[count - 1]), int(pause))
        return min(time, limits.min_ms), place + count / most

    return max(range(1, most + 1), key=worth)


def _out_time(
    run: Sequence[Word], start: int, following: Sequence[Word] | None, language: str, limits: Limits
) -> int:
    """When to take a cue away: after its sound, later if it is short and there is silence to use."""
    sound = run[-1].end_ms
    reading = start + round(1000 * text_width(join(run), language) / limits.cps)
    wanted = max(sound, start + limits.min_ms, min(reading, sound + _HANG_MS))
    end = min(wanted, start + limits.max_ms)
    if following:
        end = min(end, following[0].start_ms - limits.gap_ms)
    return max(end, start + _FLASH_MS)
