"""A file -> what is in it, by ffprobe.

- ffprobe reads a Matroska track without a language element as `eng`, the default of that format, so
  an `eng` there is weak evidence; MP4 says `und` where nothing is known.
- A cover picture is a video stream with the disposition `attached_pic`; it is no moving picture.
- Streams of a transport stream start anywhere; times here count from the start of the file, as players show.
"""

from __future__ import annotations

import os
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import ffmpeg

from subgen.errors import MediaMissing, MediaUnreadable, NotMedia
from subgen.languages import language_of
from subgen.media.boxes import all_sound_encrypted
from subgen.media.failures import encrypted, failure, ffmpeg_missing, shown
from subgen.media.tags import (
    says_commentary,
    says_description,
    says_forced,
    says_hearing_impaired,
)
from subgen.model import AudioTrack, MediaFile, SubtitleTrack

LOOK_AHEAD = {"analyzeduration": "30M", "probesize": "50M"}
"""Input options: how far ffmpeg looks (microseconds, bytes) for streams that start late."""

_TEXT_SUBTITLES = {
    "subrip", "ass", "ssa", "mov_text", "webvtt", "text", "ttml", "eia_608", "hdmv_text_subtitle",
}  # fmt: skip
_ENCRYPTED_TAGS = {"enca", "drms", "aavd"}

Json = dict[str, Any]


def probe(path: Path) -> MediaFile:
    """Everything that ffprobe says of the file that matters here.

    Raises MediaMissing, MediaUnreadable (folders and special files too), NotMedia, MediaEncrypted
    (no audio track is clear) and FfmpegMissing.
    """
    status = _readable(path)
    said = _ffprobe(path)
    streams: list[Json] = said.get("streams", [])
    container = said.get("format", {}).get("format_name", "")
    if container == "tty" or not any(s.get("codec_type") in {"audio", "video"} for s in streams):
        raise _no_media(path)  # tty: any text file, which ffmpeg would draw as a picture
    _refuse_encrypted(path, container, streams)
    origin = _ms(said["format"].get("start_time"))
    return MediaFile(
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        duration_ms=_duration_ms(said["format"], streams),
        container=container,
        audio=tuple(_audio(s, container, origin) for s in streams if s.get("codec_type") == "audio"),
        subtitles=tuple(_subtitle(s) for s in streams if s.get("codec_type") == "subtitle"),
        video_index=next((int(s["index"]) for s in streams if _is_moving_picture(s)), None),
    )


def file_url(path: Path) -> bytes:
    """The path as ffmpeg takes it: a leading dash, a colon or a percent sign means nothing special in it.

    Bytes, because ffmpeg-python hashes its arguments and fails on names that are no UTF-8.
    """
    return b"file:" + os.fsencode(path)


def _readable(path: Path) -> os.stat_result:
    """The file's status, after a byte of it was read."""
    try:
        status = path.stat()
        if path.is_dir():
            raise MediaUnreadable(f"{shown(path)}: a folder", "name the files in it")
        if not path.is_file():
            raise MediaUnreadable(f"{shown(path)}: not a file", "name a media file")
        with path.open("rb") as file:
            first = file.read(1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaMissing(f"{shown(path)}: no such file", "check the name") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not first:
        raise NotMedia(f"{shown(path)}: the file is empty", "copy or download it again")
    return status


def _unreadable(path: Path, error: OSError) -> MediaUnreadable:
    why = error.strerror or type(error).__name__
    ways = "give the user that runs subgen the right to read it"
    if not isinstance(error, PermissionError):
        ways = "check the disk or the network share"
    return MediaUnreadable(f"{shown(path)}: cannot be read ({why})", ways)


def _no_media(path: Path) -> NotMedia:
    return NotMedia(f"{shown(path)}: not a media file", "is it whole, and is it a video or sound file?")


def _ffprobe(path: Path) -> Json:
    try:
        said: Json = ffmpeg.probe(file_url(path), v="error", **LOOK_AHEAD)
    except (FileNotFoundError, PermissionError) as error:
        raise ffmpeg_missing("ffprobe") from error
    except ffmpeg.Error as error:
        why = error.stderr.decode("utf-8", "replace")
        raise failure(path, why, otherwise=_no_media(path)) from error
    return said


def _refuse_encrypted(path: Path, container: str, streams: list[Json]) -> None:
    sound = [s for s in streams if s.get("codec_type") == "audio"]
    if sound and all(_says_encrypted(s) for s in sound):
        raise encrypted(path)
    try:
        if sound and "mp4" in container.split(",") and all_sound_encrypted(path):
            raise encrypted(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _says_encrypted(stream: Json) -> bool:
    kinds = (str(data.get("side_data_type", "")) for data in stream.get("side_data_list", []))
    return stream.get("codec_tag_string") in _ENCRYPTED_TAGS or any("ncryption" in kind for kind in kinds)


def _is_moving_picture(stream: Json) -> bool:
    flags = stream.get("disposition", {})
    still = flags.get("attached_pic") or flags.get("still_image") or flags.get("timed_thumbnails")
    return stream.get("codec_type") == "video" and bool(stream.get("codec_name")) and not still


def _audio(stream: Json, container: str, origin_ms: int | None) -> AudioTrack:
    flags, tags = stream.get("disposition", {}), _tags(stream)
    title = tags.get("title", "")
    tag = tags.get("language", "")
    return AudioTrack(
        index=int(stream["index"]),
        codec=stream.get("codec_name", "unknown"),
        channels=0 if stream.get("sample_rate") == "0" else int(stream.get("channels", 0)),
        language=language_of(tag),
        language_is_weak=tag == "eng" and "matroska" in container,
        start_ms=_start_ms(stream, origin_ms),
        title=title,
        is_default=bool(flags.get("default")),
        is_forced=bool(flags.get("forced")),
        is_original=bool(flags.get("original")),
        is_dub=bool(flags.get("dub")),
        is_commentary=bool(flags.get("comment")) or says_commentary(title),
        is_visual_impaired=bool(flags.get("visual_impaired")) or says_description(title),
        is_hearing_impaired=bool(flags.get("hearing_impaired")),
    )


def _subtitle(stream: Json) -> SubtitleTrack:
    flags, tags = stream.get("disposition", {}), _tags(stream)
    title = tags.get("title", "")
    codec = stream.get("codec_name", "unknown")
    return SubtitleTrack(
        index=int(stream["index"]),
        codec=codec,
        language=language_of(tags.get("language", "")),
        title=title,
        is_text=codec in _TEXT_SUBTITLES,
        is_default=bool(flags.get("default")),
        is_forced=bool(flags.get("forced")) or says_forced(title),
        is_hearing_impaired=bool(flags.get("hearing_impaired")) or says_hearing_impaired(title),
        is_commentary=bool(flags.get("comment")) or says_commentary(title),
    )


def _tags(stream: Json) -> dict[str, str]:
    """The stream's tags, names in lower case; MP4 keeps a track's title as the name of its handler."""
    tags = {name.lower(): str(value) for name, value in stream.get("tags", {}).items()}
    name = tags.get("handler_name", "")
    if "title" not in tags and not name.endswith("Handler"):
        tags["title"] = name
    return tags


def _duration_ms(container: Json, streams: list[Json]) -> int:
    """The container's duration, else the longest stream's, else 0: unknown."""
    whole = _ms(container.get("duration"))
    return whole or max((_ms(s.get("duration")) or 0 for s in streams), default=0)


def _start_ms(stream: Json, origin_ms: int | None) -> int:
    start = _ms(stream.get("start_time"))
    return 0 if start is None or origin_ms is None else max(0, start - origin_ms)


def _ms(seconds: str | None) -> int | None:
    """ffprobe's seconds, a decimal string, in milliseconds, rounded up; None for `N/A` and nothing."""
    try:
        return int((Decimal(seconds or "") * 1000).to_integral_value(ROUND_CEILING))
    except (InvalidOperation, ValueError):
        return None
