"""Hearing one audio track: samples -> chunks -> timed tokens -> words.

listening = Listening(media, choice, engine)
for words in listening:          # of each chunk, in order
    ...
transcript = listening.transcript(language=None)
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from subgen.captions.guard import summary
from subgen.captions.languages import detect
from subgen.captions.layout import layout
from subgen.captions.words import WordStream, join
from subgen.errors import FramesLost
from subgen.guarding import Guard
from subgen.levels import levels_db
from subgen.media.audio import AudioReader, AudioReport
from subgen.media.level import Leveller
from subgen.model import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLES_PER_MS,
    Account,
    AudioTrack,
    Chunk,
    ChunkFrames,
    MediaFile,
    Pace,
    Pcm,
    Priority,
    Silence,
    Span,
    TrackChoice,
    Transcript,
    Word,
)
from subgen.speech.engine import Engine, transcribe
from subgen.speech.segment import Plan, Segmenter

SHORTEST_SECONDS = 20
"""Shorter chunks lose words."""

UNKNOWN = "und"


@dataclass(frozen=True, slots=True)
class Hearing:
    """How to listen. `chunk_seconds`: None is what suits the file and the machine; a number is the target.

    `skip_silence_seconds`: longer stretches without speech are not decoded; None: all are.
    `lead_in_seconds`: so much of the chunk before is heard again, as a run-up.
    """

    level_quiet_audio: bool = True
    chunk_seconds: int | None = None
    skip_silence_seconds: int | None = 8
    lead_in_seconds: int = 3
    priority: Priority = Priority.NEW

    def plan(self, duration_ms: int, engine: Engine) -> Plan:
        """Chunks of such a length that a short file, too, keeps all lanes busy at once."""
        target = self.chunk_seconds or balanced_seconds(duration_ms, engine.lanes, engine.chunk_seconds)
        return Plan(
            target_seconds=target,
            shortest_seconds=min(SHORTEST_SECONDS, target),
            longest_seconds=max(target, engine.chunk_seconds),
            skip_after_seconds=self.skip_silence_seconds,
            lead_in_seconds=self.lead_in_seconds,
        )


def balanced_seconds(duration_ms: int, lanes: int, longest_seconds: int) -> int:
    """The longest chunks, of 20 s to `longest_seconds`, that give each lane the same number of chunks."""
    rounds = max(1, math.ceil(duration_ms / 1000 / (lanes * longest_seconds)))
    return max(min(SHORTEST_SECONDS, longest_seconds), math.ceil(duration_ms / 1000 / (lanes * rounds)))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is: `heard_ms` of `duration_ms` is decoded, in several places at once."""

    media: MediaFile
    heard_ms: int
    duration_ms: int


class Listening:
    """One audio track, heard from beginning to end. Iterate once; what was heard is known after that."""

    def __init__(
        self,
        media: MediaFile,
        choice: TrackChoice,
        engine: Engine,
        hearing: Hearing | None = None,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.media = media
        self.choice = choice
        self.words: list[Word] = []
        self.frames: list[ChunkFrames] = []
        self.account = Account()
        self.pace: Pace | None = None
        self.notes: tuple[str, ...] = ()
        self.duration_ms = 0  # of the sound; known at the end
        self._complete = False
        self._done_frames = 0
        self._on_progress = on_progress
        self._clock = clock
        self._reader = AudioReader(media, choice.track)
        self._engine = engine
        self._hearing = hearing = hearing or Hearing()
        self._segmenter = Segmenter(hearing.plan(media.duration_ms, engine))
        self._guard = Guard(engine, hearing.priority)
        self._under_way: deque[Chunk] = deque()
        self._skipped: list[Silence] = []
        self._leveller = Leveller() if hearing.level_quiet_audio else None

    def __iter__(self) -> Generator[tuple[Word, ...], None, None]:
        """Yield the words of each chunk, in order; check at the end that no frame was lost.

        They come a chunk late: what follows decides on a chunk's last words.
        """
        began, busy = self._clock(), self._engine.device_seconds
        self._progressed(0)
        with self._reader:  # whoever stops listening stops ffmpeg
            yield from self._guarded()
        report = self._reader.report
        _check_total(self.frames, self._skipped, report.samples, self.media.path)
        self.duration_ms = report.samples // SAMPLES_PER_MS
        self.account = self._account()
        self.pace = self._paced(began, busy)
        self.notes = self._notes(report)
        self._complete = True

    def _guarded(self) -> Generator[tuple[Word, ...], None, None]:
        """The words that stay, up to the beginning of the newest chunk; at last all of them."""
        stream = WordStream(self._engine.bias_ms(), self._hearing.lead_in_seconds * 1000)
        waiting: list[Word] = []
        certain_ms = 0
        heard_chunks = transcribe(
            self._engine, self._chunks(), priority=self._hearing.priority, heard=self._progressed
        )
        with closing(heard_chunks):
            for heard in heard_chunks:
                chunk = self._under_way.popleft()
                _check_frames(heard, self.media.path)
                self.frames.append(heard)
                self._guard.keep(chunk)
                waiting += stream.feed(heard, levels_db(chunk.pcm))
                until_ms = (chunk.first_sample // SAMPLES_PER_MS) + chunk.lead_frames * FRAME_MS
                ready = sum(word.end_ms <= until_ms for word in waiting)
                yield self._checked(waiting[:ready], waiting[ready:], Span(certain_ms, until_ms))
                certain_ms, waiting = until_ms, waiting[ready:]
        waiting += stream.finish()
        yield self._checked(waiting, (), Span(certain_ms, self._reader.report.samples // SAMPLES_PER_MS))

    def _checked(self, words: Sequence[Word], following: Sequence[Word], span: Span) -> tuple[Word, ...]:
        checked = self._guard.checked(words, following, span, self._segmenter.probabilities)
        self.words += checked
        return tuple(checked)

    def transcript(self, language: str | None) -> Transcript:
        """All that was heard. Without a language the text tells, and at last the track's weak tag.

        Raises `FramesLost` where the end was not reached: half a film must not look like a whole one.
        """
        if not self._complete:
            raise FramesLost(f"{self.media.path}: was not heard to its end", "see the error before this one")
        if language is None:
            language = detect(join(self.words))
        if language == UNKNOWN and self.choice.track.language:
            language = self.choice.track.language
        return Transcript(
            language=language,
            duration_ms=self.duration_ms,
            words=tuple(self.words),
            cues=tuple(layout(self.words, language)),
            engine=self._engine.info,
            frames=tuple(self.frames),
            notes=self.notes,
            account=self.account,
        )

    def _progressed(self, frames: int) -> None:
        self._done_frames += frames
        self._on_progress(Progress(self.media, self._done_frames * FRAME_MS, self.media.duration_ms))

    def _chunks(self) -> Iterator[Chunk]:
        for pcm in self._levelled():
            yield from self._noted(self._segmenter.feed(pcm))
        yield from self._noted(self._segmenter.finish())

    def _noted(self, parts: Sequence[Chunk | Silence]) -> Iterator[Chunk]:
        for part in parts:
            if isinstance(part, Silence):
                self._skipped.append(part)
                self._progressed(part.frames)
            else:
                self._under_way.append(part)
                yield part

    def _levelled(self) -> Iterator[Pcm]:
        if self._leveller is None:
            yield from self._reader
            return
        for pcm in self._reader:
            yield self._leveller.feed(pcm)
        yield self._leveller.finish()

    def _notes(self, report: AudioReport) -> tuple[str, ...]:
        notes = [*report.notes]
        if len(self.media.audio) > 1:
            number = self.media.audio.index(self.choice.track) + 1
            notes.insert(
                0, f"listened to audio track {number} of {len(self.media.audio)}: {self.choice.reason}"
            )
        if self._leveller is not None and self._leveller.report.levelled_ms:
            notes.append(self._leveller.report.note())
        return (*notes, *summary(self.account, self.duration_ms))

    def _paced(self, began: float, busy: float | None) -> Pace:
        seconds, now = max(self._clock() - began, 1e-3), self._engine.device_seconds
        if busy is None or now is None:
            return Pace(seconds)
        return Pace(seconds, max(0.0, 1 - (now - busy) / seconds))

    def _account(self) -> Account:
        guard = self._guard
        return Account(
            decoded_frames=sum(heard.chunk_frames - heard.lead_frames for heard in self.frames),
            skipped=tuple(_span(silence) for silence in self._skipped),
            uncovered=tuple(guard.uncovered),
            retried=guard.retried,
            repaired=guard.repaired,
            over_silence=guard.over_silence,
            looped=guard.looped,
        )


def stated_language(track: AudioTrack) -> str | None:
    """The track's tag, unless it may only be the container's default."""
    return None if track.language_is_weak else track.language


def _check_frames(heard: ChunkFrames, path: Path) -> None:
    if [f.index for f in heard.frames] != list(range(len(heard.frames))) or len(
        heard.frames
    ) < heard.chunk_frames:
        raise FramesLost(
            f"{path}: {len(heard.frames)} frames came back for {heard.chunk_frames} of audio",
            "nothing was written; report this, it is a defect",
        )


def _check_total(frames: Sequence[ChunkFrames], skipped: Sequence[Silence], samples: int, path: Path) -> None:
    """Decoded and skipped stretches must be all of the audio, one after another."""
    decoded = [
        (heard.first_sample // FRAME_SAMPLES, heard.chunk_frames, heard.lead_frames) for heard in frames
    ]
    stretches = [(first + lead, first + count) for first, count, lead in decoded]
    stretches += [
        (s.first_sample // FRAME_SAMPLES, s.first_sample // FRAME_SAMPLES + s.frames) for s in skipped
    ]
    reached = 0
    for first, last in sorted(stretches):
        if first != reached:
            break
        reached = last
    expected = -(-samples // FRAME_SAMPLES)
    if reached != expected or sum(last - first for first, last in stretches) != expected:
        raise FramesLost(
            f"{path}: {reached} of {expected} frames of audio are accounted for",
            "nothing was written; report this, it is a defect",
        )


def _span(silence: Silence) -> Span:
    first = silence.first_sample
    return Span(first // SAMPLES_PER_MS, (first + silence.samples) // SAMPLES_PER_MS)
