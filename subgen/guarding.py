"""Words checked against the sound, and speech without words heard again.

    guard = Guard(engine, Priority.NEW)
    guard.keep(chunk)                              # every chunk, in order
    words = guard.checked(words, following, span, probabilities)

Speech of which the detector is sure and that has no words is decoded again: from another start, then
at another delay too. What stays uncovered is listed. Words over silence and of loops are dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from subgen.captions.guard import holes, patched, retry_span, without_loops, without_silent
from subgen.captions.words import WordStream
from subgen.errors import EngineError
from subgen.levels import levels_db
from subgen.model import FRAME_SAMPLES, SAMPLES_PER_MS, Chunk, ChunkFrames, Priority, Span, Word
from subgen.speech.engine import Engine
from subgen.speech.vad import WINDOW_MS, Probabilities, sure_silence, sure_speech

ATTEMPTS = 2
KEPT_CHUNKS = 3
"""The one that is checked and its neighbours: what a second hearing may need."""
OTHER_DELAYS_MS = (2400, 960)
_AROUND_MS = 6_000
"""How far around the words their silence is looked for."""


class Guard:
    """The checks of one file. What they came to is in its fields."""

    def __init__(self, engine: Engine, priority: Priority) -> None:
        self.retried = 0
        self.repaired = 0
        self.over_silence = 0
        self.looped = 0
        self.uncovered: list[Span] = []
        self._engine = engine
        self._priority = priority
        self._chunks: deque[Chunk] = deque(maxlen=KEPT_CHUNKS)
        self._before: list[Word] = []  # the last word that was checked, if there is one

    def keep(self, chunk: Chunk) -> None:
        """Remember the samples of a chunk whose words come next."""
        self._chunks.append(chunk)

    def checked(
        self, words: Sequence[Word], following: Sequence[Word], span: Span, probabilities: Probabilities
    ) -> list[Word]:
        """The words of `span` as they shall stay; `following` begins with the first one after it.

        `probabilities` of speech are those of the whole file so far.
        """
        kept, looped, silent = _dropped(words, probabilities)
        self.looped += looped
        self.over_silence += silent
        after = list(following[:1])
        speech = _near(sure_speech, probabilities, span)
        found = holes([*self._before, *kept, *after], speech, span.start_ms, span.end_ms)
        left = found
        for attempt in range(1, ATTEMPTS + 1):
            for hole, again in [(hole, self._again(hole, attempt)) for hole in left]:
                if again is not None:
                    new, _, _ = _dropped(self._heard(*again, attempt), probabilities)
                    whole = patched([*self._before, *kept, *after], hole, new)
                    kept = whole[len(self._before) : len(whole) - len(after)]
            whole = [*self._before, *kept, *after]
            left = [rest for hole in left for rest in holes(whole, speech, hole.start_ms, hole.end_ms)]
        self.retried += len(found)
        self.repaired += sum(not holes(whole, speech, hole.start_ms, hole.end_ms) for hole in found)
        self.uncovered += left
        self._before = kept[-1:] or self._before
        return kept

    def _again(self, hole: Span, attempt: int) -> tuple[Chunk, Future[ChunkFrames]] | None:
        """Decode the surroundings of `hole` once more; None where its samples are gone."""
        run = self._run_with(hole)
        if not run:
            return None
        tried = {chunk.first_sample // SAMPLES_PER_MS for chunk in run}
        at_hand = Span(run[0].first_sample // SAMPLES_PER_MS, _end_ms(run[-1]))
        chunk = _cut_out(run, retry_span(hole, attempt, at_hand, tried))
        return chunk, self._engine.submit(
            chunk, priority=min(self._priority, Priority.NEW), delay_ms=self._delay_ms(attempt)
        )

    def _heard(self, chunk: Chunk, future: Future[ChunkFrames], attempt: int) -> list[Word]:
        """The words of a second hearing; none if it failed, for there was a first one."""
        try:
            frames = future.result()
        except EngineError:
            return []
        stream = WordStream(self._engine.bias_ms(self._delay_ms(attempt)))
        return [*stream.feed(frames, levels_db(chunk.pcm)), *stream.finish()]

    def _delay_ms(self, attempt: int) -> int | None:
        """The engine's own delay at first, then another."""
        others = (delay for delay in OTHER_DELAYS_MS if delay != self._engine.info.delay_ms)
        return None if attempt == 1 else next(others)

    def _run_with(self, hole: Span) -> list[Chunk]:
        """The chunks at hand that follow one another without a gap and have the start of `hole` in them."""
        run: list[Chunk] = []
        for chunk in self._chunks:
            if run and _own_first(chunk) != run[-1].first_sample + len(run[-1].pcm):
                if _end_ms(run[-1]) > hole.start_ms:
                    break
                run = []
            run.append(chunk)
        inside = run and run[0].first_sample // SAMPLES_PER_MS <= hole.start_ms < _end_ms(run[-1])
        return run if inside else []


def _dropped(words: Sequence[Word], probabilities: Probabilities) -> tuple[list[Word], int, int]:
    """The words that stay, and how many went as a loop and over silence."""
    once, looped = without_loops(words)
    said = Span(once[0].start_ms, once[-1].end_ms) if once else Span(0, 0)
    kept, silent = without_silent(once, _near(sure_silence, probabilities, said))
    return kept, len(looped), len(silent)


def _near(
    found: Callable[[Probabilities], list[Span]], probabilities: Probabilities, span: Span
) -> list[Span]:
    """What `found` makes of the probabilities in `span` and some seconds around, on the file's clock."""
    first = max(0, span.start_ms - _AROUND_MS) // WINDOW_MS
    last = -(-(span.end_ms + _AROUND_MS) // WINDOW_MS)
    offset = first * WINDOW_MS
    return [Span(s.start_ms + offset, s.end_ms + offset) for s in found(probabilities[first:last])]


def _own_first(chunk: Chunk) -> int:
    return chunk.first_sample + chunk.lead_frames * FRAME_SAMPLES


def _end_ms(chunk: Chunk) -> int:
    return (chunk.first_sample + len(chunk.pcm)) // SAMPLES_PER_MS


def _cut_out(run: Sequence[Chunk], span: Span) -> Chunk:
    """The samples of `span` out of chunks that follow one another."""
    first, *others = run
    pcm = np.concatenate([first.pcm, *(chunk.pcm[chunk.lead_frames * FRAME_SAMPLES :] for chunk in others)])
    start = span.start_ms * SAMPLES_PER_MS
    return Chunk(start, pcm[start - first.first_sample : span.end_ms * SAMPLES_PER_MS - first.first_sample])
