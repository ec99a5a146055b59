"""The story of one file: samples -> chunks -> timed tokens -> words -> cues -> subtitle files.

`Listening` is the first half and yields words as they come; `caption_file` is the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from subgen.captions.languages import detect
from subgen.captions.layout import layout
from subgen.captions.timing import levels_db
from subgen.captions.words import WordStream, join
from subgen.errors import FramesLost, SubgenError, SubtitleProtected
from subgen.media.audio import AudioReader, AudioReport
from subgen.media.level import Leveller
from subgen.media.probe import probe
from subgen.media.tracks import choose_track
from subgen.model import (
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLES_PER_MS,
    AudioTrack,
    Chunk,
    ChunkFrames,
    Failed,
    MediaFile,
    Outcome,
    Skipped,
    TrackChoice,
    Transcript,
    Word,
    Written,
)
from subgen.speech.engine import Engine
from subgen.speech.segment import Segmenter

ENOUGH_TO_TELL = 200
"""Characters of text after which the language is guessed, to spare the work where nothing may be written."""
UNKNOWN = "und"


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a file. `root` is the folder that `output_dir` mirrors."""

    formats: tuple[str, ...] = ("srt",)
    language: str | None = None
    audio_languages: tuple[str, ...] = ()
    track: int | None = None
    special_tracks: bool = False
    level_quiet_audio: bool = True
    chunk_seconds: tuple[int, int] = (30, 60)
    overwrite: bool = False
    output_dir: Path | None = None
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is: `heard_ms` of `duration_ms` is decoded, in several places at once."""

    media: MediaFile
    heard_ms: int
    duration_ms: int


class Shelf(Protocol):
    """Where subtitles go: knows names, protects what people wrote, writes whole or not at all."""

    def path(self, media: Path, language: str, format_name: str, request: Request) -> Path:
        """Where the subtitle of `media` in this language and format goes."""

    def check(self, path: Path, *, overwrite: bool) -> None:
        """Raise `SubtitleProtected` where `path` may not be written."""

    def render(self, format_name: str, transcript: Transcript) -> str:
        """`transcript` in the format."""

    def write(self, path: Path, text: str, *, overwrite: bool) -> Path:
        """Write `text`, whole or not at all."""


class Listening:
    """One audio track, heard from beginning to end. Iterate once; what was heard is known after that."""

    def __init__(
        self,
        media: MediaFile,
        choice: TrackChoice,
        engine: Engine,
        request: Request,
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
        self._request = request
        self._levels: deque[NDArray[np.float32]] = deque()
        self._leveller = Leveller() if request.level_quiet_audio else None

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
        segmenter = Segmenter(*self._request.chunk_seconds)
        for pcm in self._levelled():
            for chunk in segmenter.feed(pcm):
                yield self._noticed(chunk)
        for chunk in segmenter.finish():
            yield self._noticed(chunk)

    def _noticed(self, chunk: Chunk) -> Chunk:
        self._levels.append(levels_db(chunk.pcm))
        return chunk

    def _levelled(self) -> Iterator[NDArray[np.float32]]:
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


@dataclass(slots=True)
class _Targets:
    """Which formats may be written, once the language is known."""

    media: Path
    shelf: Shelf
    request: Request
    paths: dict[str, Path] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    def settle(self, language: str) -> bool:
        """Look at every file that would be written; False where none may be."""
        self.paths, self.kept = {}, []
        for name in self.request.formats:
            path = self.shelf.path(self.media, language, name, self.request)
            try:
                self.shelf.check(path, overwrite=self.request.overwrite)
                self.paths[name] = path
            except SubtitleProtected as error:
                self.kept.append(str(error))
        return bool(self.paths)


def caption_file(
    path: Path,
    engine: Callable[[], Engine],
    shelf: Shelf,
    request: Request,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Write the subtitles of one file. `engine` is called once the file is known to need one."""
    try:
        media = probe(path)
        choice = choose_track(
            media,
            languages=request.audio_languages,
            track=request.track,
            allow_special=request.special_tracks,
        )
        targets = _Targets(path, shelf, request)
        language = request.language or stated_language(choice.track)
        if language and not targets.settle(language):
            return Skipped(path, "; ".join(targets.kept))
        listening = Listening(media, choice, engine(), request, on_progress)
        guess = language
        with closing(listening.__iter__()) as coming:
            for _ in coming:
                if guess is None and _length(listening.words) >= ENOUGH_TO_TELL:
                    guess = detect(join(listening.words))
                    if guess != UNKNOWN and not targets.settle(guess):
                        return Skipped(path, "; ".join(targets.kept))
        return _write(listening.transcript(language), targets)
    except SubgenError as error:
        return Failed(path, error)


def _write(transcript: Transcript, targets: _Targets) -> Outcome:
    if not targets.settle(transcript.language):
        return Skipped(targets.media, "; ".join(targets.kept))
    texts = {path: targets.shelf.render(name, transcript) for name, path in targets.paths.items()}
    overwrite = targets.request.overwrite
    paths = tuple(targets.shelf.write(path, text, overwrite=overwrite) for path, text in texts.items())
    return Written(
        targets.media,
        paths,
        transcript.language,
        transcript.duration_ms,
        len(transcript.words),
        len(transcript.cues),
        (*transcript.notes, *targets.kept),
    )


def stated_language(track: AudioTrack) -> str | None:
    """The track's tag, unless it may only be the container's default."""
    return None if track.language_is_weak else track.language


def _length(words: Iterable[Word]) -> int:
    return sum(len(word.text) for word in words)


def _check_frames(heard: ChunkFrames, path: Path) -> None:
    if [f.index for f in heard.frames] != list(range(len(heard.frames))) or len(
        heard.frames
    ) < heard.chunk_frames:
        raise FramesLost(
            f"{path}: {len(heard.frames)} frames came back for {heard.chunk_frames} of audio",
            "nothing was written; report this, it is a defect",
        )


def _check_total(frames: Sequence[ChunkFrames], samples: int, path: Path) -> None:
    consumed, expected = sum(f.chunk_frames for f in frames), -(-samples // FRAME_SAMPLES)
    starts = np.cumsum([0, *(f.chunk_frames for f in frames)])[:-1] * FRAME_SAMPLES
    if consumed != expected or [f.first_sample for f in frames] != starts.tolist():
        raise FramesLost(
            f"{path}: {consumed} of {expected} frames of audio were decoded",
            "nothing was written; report this, it is a defect",
        )
