"""What subtitle files are called.

`{video stem}.{language}.{extension}` and nothing more is what Jellyfin, Plex, Emby, Kodi, mpv, VLC
and Bazarr all read; any further marker hides the file from some of them.
"""

from __future__ import annotations

from pathlib import Path

from subgen.errors import UsageError
from subgen.languages import language_of


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
    code = language_of(language) or language.partition("-")[0].lower()
    if not (code.isascii() and code.isalpha() and 2 <= len(code) <= 3):
        raise UsageError(f"{language!r} is not a language code", "give an ISO 639 code such as en or hi")
    return "hin" if code == "hi" else code


def _below(folder: Path, root: Path) -> Path:
    for inner, outer in ((folder, root), (folder.resolve(), root.resolve())):
        if inner.is_relative_to(outer):
            return inner.relative_to(outer)
    raise UsageError(f"{folder} is not below {root}", "give a root folder that holds the video")
