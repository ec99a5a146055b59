"""An engine without a model: replays words at given times. For tests, here and in plugins.

engine = ScriptedEngine([("so", 900), ("long", 1400)], faults=[Deaf(Span(0, 1000), cured_by="start")])
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from itertools import count, cycle, islice
from threading import Lock
from typing import TypeVar

import numpy as np

from subgen.errors import EngineError
from subgen.model import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLES_PER_MS,
    Chunk,
    ChunkFrames,
    EngineInfo,
    Frame,
    Pcm,
    Priority,
    Span,
    TokenKind,
)
from subgen.speech.engine import Heard
from subgen.speech.faults import Babble, Deaf, Ends, Fails, Fault, Loop, Short

__all__ = ["Babble", "Deaf", "Ends", "Fails", "Fault", "Loop", "ScriptedEngine", "ScriptedStream", "Short"]

EOS_ID, PAD_ID, WORD_ID, TEXT_ID = 2, 32, 33, 1000
TAIL_FRAMES = 11

_Kind = TypeVar("_Kind", bound=Fault)

Said = tuple[str, int]
"""A word and its end in ms."""


class ScriptedEngine:
    """Says `script`, (text, end in ms on the file's clock), one token a frame as the model would.

    A chunk is decoded by `submit` itself: what is submitted first is heard first.
    """

    def __init__(
        self, script: Sequence[Said], bias_ms: int = 0, *, delay_ms: int = 0, faults: Sequence[Fault] = ()
    ) -> None:
        self.script = sorted(script, key=_end)
        self.faults = tuple(faults)
        self._bias_ms = bias_ms
        self._delay_ms = delay_ms
        self._starts: dict[tuple[Fault, int], int] = {}  # first sample of the chunk that suffered first
        self._failures: Counter[Fails] = Counter()
        self._one_at_a_time = Lock()

    @property
    def info(self) -> EngineInfo:
        """Says that no model was at work."""
        return EngineInfo("scripted", "script", self._delay_ms)

    @property
    def lanes(self) -> int:
        """One."""
        return 1

    @property
    def chunk_seconds(self) -> int:
        """60."""
        return 60

    @property
    def device_seconds(self) -> float | None:
        """There is no device."""
        return None

    def bias_ms(self, delay_ms: int | None = None) -> int:
        """As given, at any delay."""
        return self._bias_ms

    def stream(self) -> ScriptedStream:
        """A stream that begins at the beginning of the file."""
        return ScriptedStream(self)

    def submit(
        self,
        chunk: Chunk,
        *,
        priority: Priority = Priority.NEW,
        delay_ms: int | None = None,
        heard: Heard = lambda _: None,
    ) -> Future[ChunkFrames]:
        """A future that is done."""
        future: Future[ChunkFrames] = Future()
        future.set_running_or_notify_cancel()
        try:
            with self._one_at_a_time:
                frames = self._frames(chunk, self._delay_ms if delay_ms is None else delay_ms)
        except EngineError as error:
            future.set_exception(error)
            return future
        heard(chunk.frames - chunk.lead_frames)
        future.set_result(ChunkFrames(chunk.first_sample, chunk.frames, frames, chunk.lead_frames))
        return future

    def close(self) -> None:
        """Nothing is under way, and there is nothing to give back."""

    def _frames(self, chunk: Chunk, delay_ms: int) -> tuple[Frame, ...]:
        here = _span(chunk)
        self._fail(here)
        looped = (
            loop
            for loop in self._having(Loop)
            if _starts(loop.from_ms, here) and self._suffers(loop, loop.from_ms, chunk, delay_ms)
        )
        ended = {end.at_ms for end in self._having(Ends) if _starts(end.at_ms, here)}
        short = [each.frames for each in self._having(Short) if _touch(each.span, here)]
        frames = _written(here.start_ms, self._said(chunk, delay_ms), next(looped, None), ended)
        return tuple(islice(frames, min([chunk.frames + TAIL_FRAMES, *short])))

    def _fail(self, here: Span) -> None:
        for fault in self._having(Fails):
            if _touch(fault.span, here) and self._failures[fault] != fault.times:
                self._failures[fault] += 1
                raise EngineError(f"{here.start_ms} ms to {here.end_ms} ms: no luck", "try again")

    def _said(self, chunk: Chunk, delay_ms: int) -> list[Said]:
        """What is due in `chunk`: the script without what is missed, and the babble."""
        here = _span(chunk)
        heard = [word for word in self.script if _ends(word, here)]
        for fault in self._having(Deaf):
            heard = [
                word
                for word in heard
                if not (_ends(word, fault.span) and self._suffers(fault, word[1], chunk, delay_ms))
            ]
        babble = [word for fault in self._having(Babble) for word in _babbled(fault) if _ends(word, here)]
        return sorted([*heard, *babble], key=_end)

    def _having(self, kind: type[_Kind]) -> list[_Kind]:
        return [fault for fault in self.faults if isinstance(fault, kind)]

    def _suffers(self, fault: Deaf | Loop, at_ms: int, chunk: Chunk, delay_ms: int) -> bool:
        """Whether `chunk`, decoded at this delay, has the fault at that place."""
        if fault.cured_by == "delay":
            return delay_ms == self._delay_ms
        if fault.cured_by == "start":
            return self._starts.setdefault((fault, at_ms), chunk.first_sample) == chunk.first_sample
        return True


def _written(
    first_ms: int, said: Sequence[Said], loop: Loop | None, ends_ms: Collection[int]
) -> Iterator[Frame]:
    """Frames without end: a token for each 80 ms; what cannot be said in time is said later."""
    due = deque(said)
    writing: deque[str] = deque()
    rounds: Iterator[str] | None = None
    for k in count():
        passed = Span(first_ms + k * FRAME_MS, first_ms + (k + 1) * FRAME_MS)
        if loop and _starts(loop.from_ms, passed):
            rounds = cycle(loop.text.split())
        if any(_starts(end, passed) for end in ends_ms):
            yield Frame(k, EOS_ID, TokenKind.CONTROL)
            continue
        if writing:
            yield Frame(k, TEXT_ID, TokenKind.TEXT, f" {writing.popleft()}".encode())
            continue
        if rounds:
            writing.append(next(rounds))
        else:
            while due and _end(due[0]) <= passed.end_ms:
                writing.append(due.popleft()[0])
        yield Frame(k, WORD_ID, TokenKind.WORD) if writing else Frame(k, PAD_ID, TokenKind.PAD)


def _babbled(fault: Babble) -> list[Said]:
    words = fault.text.split()
    step = fault.span.duration_ms / len(words)
    return [(word, fault.span.start_ms + round(step * n)) for n, word in enumerate(words, 1)]


def _span(chunk: Chunk) -> Span:
    first_ms = chunk.first_sample // SAMPLES_PER_MS
    return Span(first_ms, first_ms + chunk.frames * FRAME_MS)


def _touch(one: Span, other: Span) -> bool:
    return one.start_ms < other.end_ms and other.start_ms < one.end_ms


def _starts(at_ms: int, span: Span) -> bool:
    """Whether what begins at `at_ms` begins in `span`."""
    return span.start_ms <= at_ms < span.end_ms


def _ends(word: Said, span: Span) -> bool:
    return span.start_ms < _end(word) <= span.end_ms


def _end(word: Said) -> int:
    return word[1]


class ScriptedStream:
    """The script, as one stream."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._pcm: list[Pcm] = []
        self._given = 0

    def feed(self, pcm: Pcm) -> list[Frame]:
        """Frames of the audio so far that were not yet given."""
        self._pcm.append(pcm)
        return self._new(sum(len(p) for p in self._pcm) // FRAME_SAMPLES)

    def finish(self) -> list[Frame]:
        """All that is left."""
        return self._new(None)

    def _new(self, until: int | None) -> list[Frame]:
        pcm = np.concatenate(self._pcm) if self._pcm else np.zeros(0, np.float32)
        heard = self._engine.submit(Chunk(0, pcm)).result()
        new = list(heard.frames[self._given : until])
        self._given += len(new)
        return new
