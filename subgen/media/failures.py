"""What ffmpeg and ffprobe say when they cannot, as errors of ours.

Both programs tell on stderr, in English, why they gave up; the words below are stable from ffmpeg 4 to 8.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from subgen.errors import (
    FfmpegMissing,
    MediaEncrypted,
    MediaError,
    MediaMissing,
    MediaUnreadable,
    NoAudio,
    NotMedia,
)

_COPY_AGAIN = "copy or download it again"
_UNPROTECTED = "subgen needs a copy without copy protection"

_OPENING = r"(?:\bfile:.*|Error (?:opening input|during demuxing).*): "
"""Before the reason why a file cannot be opened or read on; decoders give such reasons for other things."""

_SAID: tuple[tuple[str, type[MediaError], str, str], ...] = (
    (_OPENING + r"No such file or directory", MediaMissing, "no such file", "check the name"),
    (
        _OPENING + r"(?:Permission denied|Operation not permitted)",
        MediaUnreadable,
        "not allowed to read it",
        "give the user that runs subgen the right to read it",
    ),
    (
        _OPENING + r"(?:Input/output error|Stale file handle|Transport endpoint|Host is down)",
        MediaUnreadable,
        "reading fails",
        "check the disk or the network share",
    ),
    (
        r"moov atom not found",
        NotMedia,
        "cut short: the index at its end is missing",
        _COPY_AGAIN,
    ),
    (
        r"encrypted|[Dd]ecryption|\bDRM\b",
        MediaEncrypted,
        "its audio is encrypted",
        _UNPROTECTED,
    ),
    (
        r"[Dd]ecoder .*not found|[Uu]nknown decoder|no decoder",
        NoAudio,
        "this ffmpeg cannot decode the audio",
        "install an ffmpeg with more codecs or choose another track with --track",
    ),
    (
        r"matches no streams",
        NoAudio,
        "the audio track is gone",
        "the file changed meanwhile; try again",
    ),
    (
        r"(?:dimensions|sample rate) not set",
        NoAudio,
        "ffmpeg cannot make out one of its streams",
        "copy it again, or copy its sound alone into a new file",
    ),
    (
        _OPENING + r"(?:Invalid data found|End of file)",
        NotMedia,
        "not a media file",
        "is it whole, and is it a video or sound file?",
    ),
)


def shown(path: Path) -> str:
    """The path as it can be printed, also where its bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def ffmpeg_missing(program: str) -> FfmpegMissing:
    """`program` (ffmpeg or ffprobe) could not be started."""
    return FfmpegMissing(
        f"{program} is not installed or not on the PATH",
        "install it with `apt-get install ffmpeg` (Debian, Ubuntu) or `brew install ffmpeg` (macOS)",
    )


def encrypted(path: Path) -> MediaEncrypted:
    """The sound of the file is under copy protection."""
    return MediaEncrypted(f"{shown(path)}: its audio is encrypted", _UNPROTECTED)


def failure(path: Path, said: str, otherwise: MediaError) -> MediaError:
    """The error that fits what a program `said` about the file; `otherwise` where nothing is known."""
    said = said.replace(shown(path), "")  # a film may be called "Permission denied"
    for pattern, kind, what, way_out in _SAID:
        if re.search(pattern, said):
            return kind(f"{shown(path)}: {what}", way_out)
    return otherwise
