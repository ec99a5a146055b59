"""Media files made by ffmpeg, for tests: sounds at known times in every container that matters.

    wav = write_wav(folder / "clicks.wav", clicks([1.0, 2.0], seconds=10))
    film = mux(folder / "film.ts", wav, video_seconds=20, audio_start_ms=4200)

`find_clicks` gives back where the clicks are, in ms.
"""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
_CLICK_S = 0.01
_CODECS = {".mkv": "flac", ".mp4": "aac", ".m4a": "aac", ".ts": "mp2", ".mp3": "libmp3lame", ".flac": "flac"}

Samples = NDArray[np.float32]


def clicks(times_s: Iterable[float], *, seconds: float, rate: int = RATE, level: float = 0.5) -> Samples:
    """Silence with bursts of 10 ms at 3 kHz that begin at the given times, shape [samples]."""
    pcm = np.zeros(round(seconds * rate), np.float32)
    burst = level * np.cos(2 * np.pi * 3000 * np.arange(round(_CLICK_S * rate)) / rate)
    for time_s in times_s:
        at = round(time_s * rate)
        pcm[at : at + len(burst)] = burst[: len(pcm) - at]
    return pcm


def tone(*, seconds: float, hertz: float = 1000, level: float = 0.25, rate: int = RATE) -> Samples:
    """A sine, shape [samples]."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path: Path, pcm: Samples, *, rate: int = RATE) -> Path:
    """16-bit WAV; `pcm` in -1..1 of shape [samples] or [samples, channels]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if pcm.ndim == 1 else pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(pcm, -1, 1) * 32767).round().astype("<i2").tobytes())
    return path


def ffmpeg(*args: str | Path) -> None:
    """Run ffmpeg; a failure fails the test with what it said."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def mux(
    target: Path,
    wav: Path,
    *,
    video_seconds: float = 0,
    audio_start_ms: int = 0,
    codec: str | None = None,
    options: Sequence[str] = (),
) -> Path:
    """The sound in the container that `target`'s suffix names, from `audio_start_ms` on.

    With `video_seconds` a moving picture that begins at 0, with B-frames as films have them. `codec` is
    the sound's; `options` are further output options, such as metadata. Encoders that begin with some ms
    of priming make ffmpeg shift picture and sound by as much where it would come before 0: let the sound
    start at 100 ms where single milliseconds matter.
    """
    late: list[str | Path] = ["-itsoffset", f"{audio_start_ms / 1000:.3f}", "-i", wav]
    picture = ["-f", "lavfi", "-i", f"testsrc=size=64x64:rate=25:duration={video_seconds}"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p"]
    sound = ["-c:a", codec or _CODECS.get(target.suffix, "copy")]
    if video_seconds:
        ffmpeg(*picture, *late, "-map", "0:v", "-map", "1:a", *coded, *sound, *options, target)
    else:
        ffmpeg(*late, "-map", "0:a", *sound, *options, target)
    return target


def remux(target: Path, source: Path, *options: str, before: Sequence[str] = ()) -> Path:
    """All streams copied; `before` are input options (`-ss`), `options` output options (`-bsf:a`)."""
    ffmpeg(*before, "-i", source, "-map", "0", "-c", "copy", *options, target)
    return target


def without_packets(target: Path, source: Path, from_s: float, to_s: float) -> Path:
    """The same file, but the sound's packets between two times are missing."""
    return remux(target, source, "-bsf:a", f"noise=drop=between(pts*tb\\,{from_s}\\,{to_s})")


def stretched(target: Path, source: Path, factor: float) -> Path:
    """The same samples, but the sound's timestamps run `factor` times as fast: clock drift."""
    return remux(target, source, "-bsf:a", f"setts=pts=PTS*{factor}:dts=DTS*{factor}")


def joined(target: Path, *sources: Path) -> Path:
    """Transport streams one after the other, as a recorder or `cat` leaves them."""
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
    return target


def cut_off(target: Path, source: Path, share: float) -> Path:
    """The first `share` of the file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def encrypted(target: Path, source: Path) -> Path:
    """The MP4 under Common Encryption, the same bytes each time: by chance, others decode as noise."""
    key, key_id = "76a6c65c5ea762046bd749a2e632ccbb", "a7e61c373e219033c21091fa607bf3b8"
    scheme = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", key_id]
    return remux(target, source, *scheme, "-fflags", "+bitexact")


def find_clicks(pcm: Samples, *, rate: int = 16_000) -> list[float]:
    """Where the clicks begin, in ms: first samples over a third of the loudest, 200 ms or more apart."""
    loud = np.flatnonzero(np.abs(pcm) > np.abs(pcm).max() / 3)
    first = np.ones(len(loud), bool)
    first[1:] = np.diff(loud) > 0.2 * rate
    return [float(at) * 1000 / rate for at in loud[first]]
