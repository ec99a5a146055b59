"""The ffmpeg process that decodes one track: how it is called, read and ended.

The recipe, each part of which a test holds in place:

- `aresample=async=1:first_pts=0:min_hard_comp=0.01` puts every sample at its timestamp: silence for a
  late start and for missing packets, and a drift corrected whenever it reaches 10 ms.
- The picture and all other sound go, undecoded, to outputs of the same process that lead nowhere, because
  ffmpeg bases the clock of a transport stream on the streams that it reads and no others. The picture's
  is of the format `image2pipe`, which alone takes one whose size is unknown; sound of unknown shape,
  which no format takes, stays out.
- The mix to mono happens in floating point, where ffmpeg leaves the centre of 5.1 at its level (in 16
  bits it comes out 10.7 dB quieter), and before the silence is filled in, which ffmpeg does in memory.
- Two channels are halved and added (`rematrix_maxval=1`): the same sound in both is as loud as in one.
- `-ss` before `-i` makes the time sought the zero of the clock, to the millisecond.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Iterator
from typing import Any

import ffmpeg

from subgen.media.decode_log import DecodeLog
from subgen.media.failures import ffmpeg_missing
from subgen.media.probe import LOOK_AHEAD, file_url
from subgen.model import SAMPLE_RATE, AudioTrack, MediaFile

_BLOCK_BYTES = SAMPLE_RATE * 4
_PIPE_BYTES = 1 << 16


def start(media: MediaFile, track: AudioTrack, start_ms: int) -> subprocess.Popen[bytes]:
    """Decode the track from `start_ms` on; raises FfmpegMissing."""
    graph = _graph(media, track, start_ms)
    try:
        process: subprocess.Popen[bytes] = graph.run_async(pipe_stdout=True, pipe_stderr=True)
    except (FileNotFoundError, PermissionError) as error:
        raise ffmpeg_missing("ffmpeg") from error
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Whether it has ended or not; no process and no open pipe stays behind."""
    process.kill()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


def blocks(process: subprocess.Popen[bytes], log: DecodeLog) -> Iterator[bytes]:
    """Stdout in blocks of a second of f32le, mono at 16 kHz, while the log takes stderr.

    One thread serves both pipes, so that neither can fill up and block ffmpeg, and the log has seen all
    that was said before a block.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    waiting = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.get_map():
            ready = [key.fileobj for key, _ in selector.select()]
            for pipe in sorted(ready, key=lambda pipe: pipe is process.stdout):
                data = os.read(pipe.fileno(), _PIPE_BYTES)  # type: ignore[union-attr]
                if not data:
                    selector.unregister(pipe)
                elif pipe is process.stderr:
                    log.feed(data)
                else:
                    waiting += data
            while len(waiting) >= _BLOCK_BYTES:
                yield bytes(waiting[:_BLOCK_BYTES])
                del waiting[:_BLOCK_BYTES]
    if waiting:
        yield bytes(waiting)


def _graph(media: MediaFile, track: AudioTrack, start_ms: int) -> Any:  # noqa: ANN401 (untyped library)
    """The ffmpeg-python graph of the recipe above; f32le mono at 16 kHz comes out of stdout."""
    seek = {"ss": f"{start_ms / 1000:.3f}"} if start_ms else {}
    source = ffmpeg.input(file_url(media.path), **LOOK_AHEAD, **seek)
    mix = {"rematrix_maxval": 1} if track.channels == 2 else {}
    on_time = {"async": 1, "first_pts": 0, "min_hard_comp": 0.01}
    sound = (
        source[str(track.index)]
        .filter("aresample", SAMPLE_RATE, **mix)
        .filter("aformat", sample_fmts="flt", sample_rates=SAMPLE_RATE, channel_layouts="mono")
        .filter("aresample", SAMPLE_RATE, **on_time)
        .filter("asetnsamples", n=SAMPLE_RATE, p=0)
        .filter("ashowinfo")
        .output("pipe:", format="f32le", acodec="pcm_f32le")
    )
    options = ("-nostdin", "-y", "-hide_banner", "-nostats", "-loglevel", "repeat+level+debug")
    return ffmpeg.merge_outputs(sound, *_nowhere(source, media, track)).global_args(*options)


def _nowhere(source: Any, media: MediaFile, track: AudioTrack) -> list[Any]:  # noqa: ANN401 (as above)
    """Outputs for the streams that are read for their clock alone."""
    outputs = []
    if media.video_index is not None:
        picture = source[str(media.video_index)]
        outputs.append(ffmpeg.output(picture, os.devnull, format="image2pipe", c="copy"))
    heard = [t for t in media.audio if t.channels and t.codec != "unknown"]
    others = [source[str(t.index)] for t in heard if t.index != track.index]
    if others:
        outputs.append(ffmpeg.output(*others, "-", format="null", c="copy"))
    return outputs
