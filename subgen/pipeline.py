"""The story of one file: samples -> chunks -> timed tokens -> words -> cues -> subtitle files.

`Listening` is the first half and yields words as they come; `caption_file` is the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    FRAME_SAMPLES,
    SAMPLES_PER_MS,
    AudioTrack,
    Chunk,
    ChunkFrames,
    Failed,
    MediaFile,
    Outcome,
    Skipped,
    Transcript,
    Word,
    Written,
)
from subgen.speech.engine import Engine
from subgen.speech.segment import Segmenter

ENOUGH_TO_TELL = 200
"""Characters of text after which the language is first guessed."""


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
    """How far a file is: `position_ms` of `duration_ms` is decoded; `words` are new since the last."""

    media: MediaFile
    position_ms: int
    duration_ms: int
    words: tuple[Word, ...]


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

    def __init__(self, media: MediaFile, track: AudioTrack, engine: Engine, request: Request) -> None:
        self.media = media
        self.words: list[Word] = []
        self.frames: list[ChunkFrames] = []
        self.notes: tuple[str, ...] = ()
        self.position_ms = 0
        self._reader = AudioReader(media, track)
        self._engine = engine
        self._request = request
        self._levels: deque[NDArray[np.float32]] = deque()
        self._leveller = Leveller() if request.level_quiet_audio else None

    def __iter__(self) -> Iterator[tuple[Word, ...]]:
        """Yield the words of each chunk, in order; check at the end that no frame was lost."""
        stream = WordStream(self._engine.bias_ms)
        for heard in self._engine.transcribe(self._chunks()):
            _check_frames(heard, self.media.path)
            self.frames.append(heard)
            self.position_ms = (heard.first_sample + heard.chunk_frames * FRAME_SAMPLES) // SAMPLES_PER_MS
            yield self._keep(stream.feed(heard, self._levels.popleft()))
        yield self._keep(stream.finish())
        report = self._reader.report
        _check_total(self.frames, report.samples, self.media.path)
        self.position_ms = report.samples // SAMPLES_PER_MS
        self.notes = self._notes(report)

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
        levelled = self._leveller.report.note() if self._leveller is not None else ""
        return (*report.notes, *([levelled] if levelled else []))


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
        language = request.language or _stated_language(choice.track)
        if language and not targets.settle(language):
            return Skipped(path, "; ".join(targets.kept))
        listening = Listening(media, choice.track, engine(), request)
        for words in listening:
            on_progress(Progress(media, listening.position_ms, media.duration_ms, words))
            if language is None and _length(listening.words) >= ENOUGH_TO_TELL:
                language = detect(join(listening.words))
                if not targets.settle(language):
                    return Skipped(path, "; ".join(targets.kept))
        return _write(listening, language, engine(), targets)
    except SubgenError as error:
        return Failed(path, error)


def _write(listening: Listening, guess: str | None, engine: Engine, targets: _Targets) -> Outcome:
    request, media = targets.request, listening.media
    stated = request.language or (guess if guess and _length(listening.words) < ENOUGH_TO_TELL else None)
    language = stated or guess or detect(join(listening.words))
    if not targets.settle(language):
        return Skipped(media.path, "; ".join(targets.kept))
    transcript = Transcript(
        language=language,
        duration_ms=listening.position_ms,
        words=tuple(listening.words),
        cues=tuple(layout(listening.words, language)),
        engine=engine.info,
        frames=tuple(listening.frames),
        notes=listening.notes,
    )
    texts = {path: targets.shelf.render(name, transcript) for name, path in targets.paths.items()}
    paths = tuple(
        targets.shelf.write(path, text, overwrite=request.overwrite) for path, text in texts.items()
    )
    return Written(
        media.path,
        paths,
        language,
        transcript.duration_ms,
        len(transcript.words),
        len(transcript.cues),
        (*transcript.notes, *targets.kept),
    )


def _stated_language(track: AudioTrack) -> str | None:
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
