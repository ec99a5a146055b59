"""Hearing one audio track: samples -> chunks -> timed tokens -> words.

listening = Listening(media, choice, engine)
for words in listening:          # of each chunk, in order
    ...
transcript = listening.transcript(language=None)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from subgen.captions.languages import detect
from subgen.captions.layout import layout
from subgen.captions.words import WordStream, join
from subgen.errors import FramesLost
from subgen.levels import Levels, levels_db
from subgen.media.audio import AudioReader, AudioReport
from subgen.media.level import Leveller
from subgen.model import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLES_PER_MS,
    AudioTrack,
    Chunk,
    ChunkFrames,
    MediaFile,
    Pcm,
    TrackChoice,
    Transcript,
    Word,
)
from subgen.speech.engine import Engine
from subgen.speech.segment import Segmenter

UNKNOWN = "und"


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
        *,
        level_quiet_audio: bool = True,
        chunk_seconds: tuple[int, int] = (30, 60),
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.media = media
        self.choice = choice
        self.words: list[Word] = []
        self.frames: list[ChunkFrames] = []
        self.notes: tuple[str, ...] = ()
        self.duration_ms = 0  # of the sound; known at the end
        self._complete = False
        self._heard_frames = 0
        self._on_progress = on_progress
        self._reader = AudioReader(media, choice.track)
        self._engine = engine
        self._chunk_seconds = chunk_seconds
        self._levels: deque[Levels] = deque()
        self._leveller = Leveller() if level_quiet_audio else None

    def __iter__(self) -> Generator[tuple[Word, ...], None, None]:
        """Yield the words of each chunk, in order; check at the end that no frame was lost."""
        stream = WordStream(self._engine.bias_ms)
        self._progressed(0)
        with self._reader:  # whoever stops listening stops ffmpeg
            for heard in self._engine.transcribe(self._chunks(), self._progressed):
                _check_frames(heard, self.media.path)
                self.frames.append(heard)
                yield self._keep(stream.feed(heard, self._levels.popleft()))
            yield self._keep(stream.finish())
        report = self._reader.report
        _check_total(self.frames, report.samples, self.media.path)
        self.notes = self._notes(report)
        self.duration_ms = report.samples // SAMPLES_PER_MS
        self._complete = True

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
        )

    def _progressed(self, frames: int) -> None:
        self._heard_frames += frames
        self._on_progress(Progress(self.media, self._heard_frames * FRAME_MS, self.media.duration_ms))

    def _keep(self, words: Sequence[Word]) -> tuple[Word, ...]:
        self.words += words
        return tuple(words)

    def _chunks(self) -> Iterator[Chunk]:
        segmenter = Segmenter(*self._chunk_seconds)
        for pcm in self._levelled():
            for chunk in segmenter.feed(pcm):
                yield self._noticed(chunk)
        for chunk in segmenter.finish():
            yield self._noticed(chunk)

    def _noticed(self, chunk: Chunk) -> Chunk:
        self._levels.append(levels_db(chunk.pcm))
        return chunk

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
        return tuple(notes)


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


def _check_total(frames: Sequence[ChunkFrames], samples: int, path: Path) -> None:
    expected, consumed, in_order = -(-samples // FRAME_SAMPLES), 0, True
    for heard in frames:
        in_order = in_order and heard.first_sample == consumed * FRAME_SAMPLES
        consumed += heard.chunk_frames
    if consumed != expected or not in_order:
        raise FramesLost(
            f"{path}: {consumed} of {expected} frames of audio were decoded",
            "nothing was written; report this, it is a defect",
        )
