"""The composition root: settings in, wired objects out.

Everything that needs a choice of class, a folder of this machine or an environment is put together
here; the rooms below are handed what they need.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from subgen.captions.formats import format_named
from subgen.captions.languages import detect
from subgen.captions.layout import layout
from subgen.captions.words import join
from subgen.errors import UsageError
from subgen.library.naming import subtitle_path
from subgen.library.provenance import Provenance
from subgen.library.writer import SubtitleWriter
from subgen.media.probe import probe
from subgen.media.tracks import choose_track
from subgen.model import Outcome, Transcript, Word
from subgen.pipeline import Listening, Progress, Request, caption_file
from subgen.settings import Settings, load_settings, state_folder
from subgen.speech.engine import Engine

EngineFactory = Callable[[Settings], Engine]


def voxtral(settings: Settings) -> Engine:
    """Load the checkpoint (downloading it if need be); seconds to minutes."""
    from subgen.speech.voxtral.checkpoint import load
    from subgen.speech.voxtral.engine import VoxtralEngine

    checkpoint = load(settings.model, settings.revision)
    return VoxtralEngine(checkpoint, delay_ms=settings.delay_ms, lanes=settings.lanes)


class FileShelf:
    """Subtitles beside the media or in the output folder (`subgen.pipeline.Shelf`)."""

    def __init__(self, writer: SubtitleWriter) -> None:
        self._writer = writer

    def path(self, media: Path, language: str, format_name: str, request: Request) -> Path:
        """`{stem}.{language}.{extension}` beside `media` or in the output folder."""
        extension = format_named(format_name).extension
        return subtitle_path(media, language, extension, output_dir=request.output_dir, root=request.root)

    def check(self, path: Path, *, overwrite: bool) -> None:
        """Raise `SubtitleProtected` where `path` may not be written."""
        self._writer.check(path, overwrite)

    def render(self, format_name: str, transcript: Transcript) -> str:
        """`transcript` in the format."""
        return format_named(format_name).render(transcript)

    def write(self, path: Path, text: str, *, overwrite: bool) -> Path:
        """Write `text`, whole or not at all."""
        return self._writer.write(path, text, overwrite=overwrite)


class App:
    """One set of settings at work. The engine is loaded when the first file needs it, and kept."""

    def __init__(self, settings: Settings, *, make_engine: EngineFactory = voxtral) -> None:
        self.settings = settings
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._shelf = FileShelf(SubtitleWriter(Provenance(state_folder(settings) / "subgen.db")))
        for name in settings.formats:
            format_named(name)

    def engine(self) -> Engine:
        """The engine, loaded now if it was not."""
        if self._engine is None:
            self._engine = self._make_engine(self.settings)
        return self._engine

    def caption(
        self,
        path: Path,
        *,
        track: int | None = None,
        root: Path | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Outcome:
        """Write the subtitles of one file."""
        return caption_file(path, self.engine, self._shelf, self.request(track, root), on_progress)

    def request(self, track: int | None = None, root: Path | None = None) -> Request:
        """The settings, as far as they concern one file."""
        settings = self.settings
        return Request(
            formats=tuple(settings.formats),
            language=settings.language,
            audio_languages=tuple(settings.audio_languages),
            track=track,
            special_tracks=settings.special_tracks,
            level_quiet_audio=settings.level_quiet_audio,
            chunk_seconds=(settings.chunk_seconds.min, settings.chunk_seconds.max),
            overwrite=settings.overwrite,
            output_dir=settings.output_dir,
            root=root,
        )


class Transcription:
    """The words of one file, as they come. After the last one the rest is known, too."""

    def __init__(self, listening: Listening, engine: Engine, language: str | None) -> None:
        self._listening = listening
        self._engine = engine
        self._stated = language
        self._coming = (word for words in listening for word in words)

    def __iter__(self) -> Iterator[Word]:
        return self._coming

    def transcript(self) -> Transcript:
        """Wait for the remaining words; return all of it, cues included."""
        for _ in self._coming:
            pass
        words = self._listening.words
        language = self._stated or detect(join(words))
        return Transcript(
            language=language,
            duration_ms=self._listening.position_ms,
            words=tuple(words),
            cues=tuple(layout(words, language)),
            engine=self._engine.info,
            frames=tuple(self._listening.frames),
            notes=self._listening.notes,
        )


def transcribe(
    path: str | os.PathLike[str],
    *,
    track: int | None = None,
    config: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> Transcription:
    """Listen to `path` and return its words as they come; nothing is written.

    `settings` are those of config/subgen.yaml, by keyword: `model`, `language`, `delay_ms` …
    Raises `SubgenError` for a file that cannot be heard or a model that cannot be loaded.
    """
    chosen = load_settings(
        Path(config) if config else None, os.environ if environ is None else environ, settings
    )
    request = App(chosen).request(track)
    media = probe(Path(path))
    choice = choose_track(
        media, languages=request.audio_languages, track=track, allow_special=request.special_tracks
    )
    engine = voxtral(chosen)
    stated = request.language or (None if choice.track.language_is_weak else choice.track.language)
    return Transcription(Listening(media, choice.track, engine, request), engine, stated)


def find_media(paths: list[Path], extensions: frozenset[str]) -> Iterator[tuple[Path, Path | None]]:
    """(file, folder it was found under) for files as given and folders searched in name order.

    Hidden files and folders are passed over; a file that was named is taken whatever it is called.
    """
    for path in paths:
        if not path.is_dir():
            yield path, None
            continue
        found = False
        for folder, names, files in os.walk(path):
            names[:] = sorted(n for n in names if not n.startswith("."))
            for name in sorted(files):
                if Path(name).suffix.lower() in extensions and not name.startswith("."):
                    found = True
                    yield Path(folder, name), path
        if not found:
            raise UsageError(f"{path}: no media in this folder", "see media_extensions in config/subgen.yaml")
