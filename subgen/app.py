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
from subgen.errors import EngineError, SubgenError, WriteError
from subgen.library.naming import subtitle_path
from subgen.library.provenance import Provenance
from subgen.library.writer import SubtitleWriter
from subgen.listening import Hearing, Listening, Progress, stated_language
from subgen.media.probe import probe
from subgen.model import Outcome, Transcript, Word
from subgen.pipeline import Request, caption_file, choose, listen
from subgen.settings import Settings, load_settings, speeds_file, state_folder
from subgen.speech.engine import Engine

EngineFactory = Callable[[Settings], Engine]


def voxtral(settings: Settings) -> Engine:
    """Load the checkpoint (downloading it if need be); seconds to minutes."""
    try:
        from subgen.speech.voxtral.checkpoint import load
        from subgen.speech.voxtral.engine import VoxtralEngine
        from subgen.speech.voxtral.estimate import warn_if_slow
    except ImportError as error:
        raise EngineError(f"MLX cannot be imported ({error})", "run `subgen doctor`") from error
    checkpoint = load(settings.model, settings.revision)
    warn_if_slow(checkpoint)
    return VoxtralEngine(
        checkpoint,
        delay_ms=settings.delay_ms,
        lanes=settings.lanes,
        chunk_seconds=settings.chunk_seconds,
        cache_bits=settings.cache_bits,
        speeds=speeds_file(settings),
    )


class FileShelf:
    """Subtitles beside the media or in the output folder (`subgen.pipeline.Shelf`)."""

    def __init__(self, writer: SubtitleWriter) -> None:
        self._writer = writer
        self._written: set[Path] = set()

    def path(self, media: Path, language: str, format_name: str, request: Request) -> Path:
        """`{stem}.{language}.{extension}` beside `media` or in the output folder."""
        extension = format_named(format_name).extension
        return subtitle_path(media, language, extension, output_dir=request.output_dir, root=request.root)

    def check(self, path: Path, *, overwrite: bool) -> None:
        """Raise `SubtitleProtected` where `path` may not be written, `WriteError` where it cannot be.

        film.mkv and film.mp4 have the same subtitle: the second must not replace that of the first.
        """
        if path in self._written:
            raise WriteError(f"{path}: was just written for another file", "rename one of the two videos")
        self._writer.check(path, overwrite)

    def render(self, format_name: str, transcript: Transcript) -> str:
        """`transcript` in the format."""
        return format_named(format_name).render(transcript)

    def write(self, path: Path, text: str, *, overwrite: bool) -> Path:
        """Write `text`, whole or not at all."""
        self._written.add(path)
        return self._writer.write(path, text, overwrite=overwrite)


class App:
    """One set of settings at work. The engine is loaded when the first file needs it, and kept."""

    def __init__(self, settings: Settings, *, make_engine: EngineFactory = voxtral) -> None:
        self.settings = settings
        self._make_engine = make_engine
        self._engine: Engine | SubgenError | None = None
        self._shelf = FileShelf(SubtitleWriter(Provenance(state_folder(settings) / "subgen.db")))
        for name in settings.formats:
            format_named(name)

    def engine(self) -> Engine:
        """The engine, loaded now if it was not. What failed once is not tried again for every file."""
        if self._engine is None:
            try:
                self._engine = self._make_engine(self.settings)
            except SubgenError as error:
                self._engine = error
        if isinstance(self._engine, SubgenError):
            raise self._engine
        return self._engine

    def transcribe(self, path: Path, *, track: int | None = None) -> Transcription:
        """Listen to one file and return its words as they come; nothing is written."""
        request = self.request(track)
        media = probe(path)
        choice = choose(media, request)
        language = request.language or stated_language(choice.track)
        return Transcription(listen(media, choice, self.engine(), request), language)

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
            hearing=Hearing(
                level_quiet_audio=settings.level_quiet_audio,
                chunk_seconds=settings.chunk_seconds,
                skip_silence_seconds=settings.skip_silence_seconds or None,
                lead_in_seconds=settings.lead_in_seconds,
            ),
            overwrite=settings.overwrite,
            output_dir=settings.output_dir,
            root=root,
        )


class Transcription:
    """The words of one file, as they come. After the last one the rest is known, too."""

    def __init__(self, listening: Listening, language: str | None) -> None:
        self._listening = listening
        self._stated = language
        self._coming = (word for words in listening for word in words)

    def __iter__(self) -> Iterator[Word]:
        return self._coming

    def transcript(self) -> Transcript:
        """Wait for the remaining words; return all of it, cues included."""
        for _ in self._coming:
            pass
        return self._listening.transcript(self._stated)


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
    Raises `SubgenError` for a file that cannot be heard or a model that cannot be loaded. For many files
    make an `App` and use its `transcribe`: it loads the model once.
    """
    chosen = load_settings(
        Path(config) if config else None, os.environ if environ is None else environ, settings
    )
    return App(chosen).transcribe(Path(path), track=track)


def find_media(
    path: Path, extensions: frozenset[str], unreadable: Callable[[OSError], None]
) -> Iterator[tuple[Path, Path | None]]:
    """(file, folder it was found under): `path` itself, or what is in it, in the order of names.

    Hidden files and folders are passed over; a file that was named is taken whatever it is called.
    Folders that cannot be read are told to `unreadable`: no film is missed in silence.
    """
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that cannot be
        yield path, None
        return
    for folder, names, files in os.walk(path, onerror=unreadable):
        names[:] = sorted(n for n in names if not n.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in extensions and not name.startswith("."):
                yield Path(folder, name), path
