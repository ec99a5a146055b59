"""The story of one file: probe, choose a track, listen, lay out, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from subgen.captions.languages import detect
from subgen.captions.words import join
from subgen.errors import SubgenError, SubtitleProtected
from subgen.listening import UNKNOWN, Hearing, Listening, Progress, stated_language
from subgen.media.probe import probe
from subgen.media.tracks import choose_track
from subgen.model import Failed, MediaFile, Outcome, Pace, Skipped, TrackChoice, Transcript, Word, Written
from subgen.speech.engine import Engine

ENOUGH_TO_TELL = 200
"""Characters of text after which the language is guessed, to spare the work where nothing may be written."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a file. `root` is the folder that `output_dir` mirrors."""

    formats: tuple[str, ...] = ("srt",)
    language: str | None = None
    audio_languages: tuple[str, ...] = ()
    track: int | None = None
    special_tracks: bool = False
    hearing: Hearing = field(default_factory=Hearing)
    overwrite: bool = False
    output_dir: Path | None = None
    root: Path | None = None


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
                self.kept.append(f"not written, {error}")
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
        choice = choose(media, request)
        targets = _Targets(path, shelf, request)
        language = request.language or stated_language(choice.track)
        if language and not targets.settle(language):
            return Skipped(path, "; ".join(targets.kept))
        listening = listen(media, choice, engine(), request, on_progress)
        guess = language
        with closing(listening.__iter__()) as coming:
            for _ in coming:
                if guess is None and _length(listening.words) >= ENOUGH_TO_TELL:
                    guess = detect(join(listening.words))
                    if guess != UNKNOWN and not targets.settle(guess):
                        return Skipped(path, "; ".join(targets.kept))
        return _write(listening.transcript(language), targets, listening.pace)
    except SubgenError as error:
        return Failed(path, error)


def choose(media: MediaFile, request: Request) -> TrackChoice:
    """The track that `request` asks for; raise `NoAudio` where there is none."""
    return choose_track(
        media,
        languages=request.audio_languages,
        track=request.track,
        allow_special=request.special_tracks,
    )


def listen(
    media: MediaFile,
    choice: TrackChoice,
    engine: Engine,
    request: Request,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Listening:
    """Hear a track in the way that `request` asks for."""
    return Listening(media, choice, engine, request.hearing, on_progress=on_progress)


def _write(transcript: Transcript, targets: _Targets, pace: Pace | None) -> Outcome:
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
        pace,
    )


def _length(words: Iterable[Word]) -> int:
    return sum(len(word.text) for word in words)
