"""Which of a file's audio tracks to listen to. A pure function of the file and the wishes."""

from __future__ import annotations

from collections.abc import Sequence

from subgen.errors import NoAudio
from subgen.languages import language_of
from subgen.media.failures import shown
from subgen.model import AudioTrack, MediaFile, TrackChoice


def choose_track(
    media: MediaFile,
    *,
    languages: Sequence[str] = (),
    track: int | None = None,
    allow_special: bool = False,
) -> TrackChoice:
    """The audio track to transcribe and why.

    A `track` that is asked for counts the audio tracks from 1, as players do. Otherwise: a track in the
    first of the `languages` that the file has, then the one marked default, then original, then the
    first; one in which ffprobe found no sound only if there is no other. Commentary and descriptions
    for the blind stand back unless `allow_special`. Raises NoAudio.
    """
    if not media.audio:
        raise NoAudio(f"{shown(media.path)}: it has no audio track", "there is nothing to transcribe in it")
    if track is not None:
        return _asked_for(media, track)
    candidates = [t for t in media.audio if allow_special or not _is_special(t)]
    if not candidates:
        raise NoAudio(
            f"{shown(media.path)}: every audio track is commentary or a description for the blind",
            f"choose one with --track: {_listed(media)}",
        )
    chosen, reason = _best([t for t in candidates if t.channels] or candidates, languages)
    return TrackChoice(chosen, reason + _skipped(media, candidates))


def _asked_for(media: MediaFile, number: int) -> TrackChoice:
    if not 1 <= number <= len(media.audio):
        raise NoAudio(f"{shown(media.path)}: it has no audio track {number}", f"it has {_listed(media)}")
    return TrackChoice(media.audio[number - 1], "asked for")


def _best(candidates: list[AudioTrack], languages: Sequence[str]) -> tuple[AudioTrack, str]:
    for wanted in languages:
        code = language_of(wanted)
        matching = [t for t in candidates if t.language == code and code is not None]
        if matching:
            chosen = min(matching, key=lambda t: (t.language_is_weak, *_rank(t)))
            weakly = " (its tag may be no more than a default)" if chosen.language_is_weak else ""
            return chosen, f"language {code} is configured{weakly}"
    chosen = min(candidates, key=_rank)
    if len(candidates) == 1:
        return chosen, "only track"
    if chosen.is_default:
        return chosen, "default track"
    return chosen, "original track" if chosen.is_original else "first track"


def _rank(track: AudioTrack) -> tuple[bool, bool, int]:
    return (not track.is_default, not track.is_original, track.index)


def _is_special(track: AudioTrack) -> bool:
    return track.is_commentary or track.is_visual_impaired


def _skipped(media: MediaFile, candidates: list[AudioTrack]) -> str:
    rest = [t for t in media.audio if t not in candidates]
    kinds = [name for name, found in (
        ("commentary", any(t.is_commentary for t in rest)),
        ("audio description", any(t.is_visual_impaired for t in rest)),
    ) if found]  # fmt: skip
    return f"; {' and '.join(kinds)} skipped" if kinds else ""


def _listed(media: MediaFile) -> str:
    """`1 (en, "Stereo", 2 channels), 2 (...)`."""
    return ", ".join(f"{n} ({_described(t)})" for n, t in enumerate(media.audio, start=1))


def _described(track: AudioTrack) -> str:
    channels = f"{track.channels} channel{'' if track.channels == 1 else 's'}"
    return ", ".join(
        [track.language or "no language", *([f'"{track.title}"'] if track.title else []), channels]
    )
