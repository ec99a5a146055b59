"""What subtitle files are called.

`{video stem}.{language}.{extension}` and nothing more is what Jellyfin, Plex, Emby, Kodi, mpv, VLC
and Bazarr all read; any further marker hides the file from some of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from subgen.errors import MediaUnreadable, UsageError

EXTENSIONS = frozenset({"ass", "mks", "sami", "smi", "srt", "ssa", "sub", "sup", "vtt"})
"""Of files that players take for subtitles, lower case, without the dot."""

FOLDERS = frozenset({"subs", "subtitles", "vobsubs", "sub", "vobsub", "subtitle"})
"""Folders beside a video in which Kodi looks too, lower case."""


def subtitle_path(
    media_path: Path,
    language: str,
    extension: str,
    *,
    output_dir: Path | None = None,
    root: Path | None = None,
) -> Path:
    """Where the subtitle of a video goes: beside it, or in `output_dir`.

    There the folders below `root` are repeated; without a root it goes right into `output_dir`.
    Raises UsageError for a language that is no ISO 639 code and for a video outside `root`.
    """
    folder = media_path.parent
    if output_dir is not None:
        folder = output_dir / _below(folder, root) if root is not None else output_dir
    return folder / f"{media_path.stem}.{_suffix(language)}.{extension}"


def _suffix(language: str) -> str:
    """`hi` would be read as "hearing impaired"; a region (`en-US`) loses the language in Jellyfin."""
    code = language.partition("-")[0].lower()
    if not (code.isascii() and code.isalpha() and 2 <= len(code) <= 3):
        raise UsageError(f"{language!r} is not a language code", "give an ISO 639 code such as en or hi")
    return "hin" if code == "hi" else code


def _below(folder: Path, root: Path) -> Path:
    for inner, outer in ((folder, root), (folder.resolve(), root.resolve())):
        if inner.is_relative_to(outer):
            return inner.relative_to(outer)
    raise UsageError(f"{folder} is not below {root}", "give a root folder that holds the video")


def sidecars(media_path: Path) -> list[Path]:
    """Subtitle files that players would show with this video, in order of name.

    Those named by the video's stem and a dot, without regard to case and Unicode form, beside it or
    in a folder such as `Subs`: `Movie.srt` and `movie.en.srt` for `Movie.mkv`, but not `Movie 2.srt`.
    Raises MediaUnreadable if a folder cannot be listed.
    """
    prefix = _folded(media_path.stem) + "."
    return sorted(path for path in _nearby(media_path.parent) if _is_subtitle(path, prefix))


def _nearby(folder: Path) -> Iterator[Path]:
    for path in _listed(folder):
        yield path
        if path.name.lower() in FOLDERS and path.is_dir():
            yield from _listed(path)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MediaUnreadable(
            f"{folder}: cannot be listed ({error.strerror})", "check that it is a folder you may read"
        ) from error


def _is_subtitle(path: Path, prefix: str) -> bool:
    known = path.suffix[1:].lower() in EXTENSIONS
    return known and _folded(path.name).startswith(prefix) and path.is_file()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
