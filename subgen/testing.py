"""Contract suites for plugin authors, and for us.

from subgen.testing import check_engine
def test_my_engine():
    check_engine(MyEngine(), pcm)
"""

from __future__ import annotations

import numpy as np

from subgen.model import FRAME_SAMPLES, Chunk, Pcm
from subgen.speech.engine import Engine

CUTS = (1, 160, 1279, FRAME_SAMPLES, 16_000)


def check_engine(engine: Engine, pcm: Pcm) -> None:
    """Raise AssertionError where `engine` breaks the contract on `pcm` (a few seconds, float32).

    A frame for every 80 ms of audio, numbered from 0; chunks come back in order, each the same
    alone and among others; a stream's frames do not depend on how it was fed.
    """
    whole = Chunk(0, pcm)
    (alone,) = engine.transcribe([whole])
    assert [f.index for f in alone.frames] == list(range(len(alone.frames))), "frames are not numbered from 0"
    assert alone.chunk_frames == whole.frames, "the chunk has another number of frames"
    assert len(alone.frames) >= whole.frames, "frames of audio are missing"
    later = Chunk(FRAME_SAMPLES * whole.frames, pcm[: len(pcm) // 2])
    together = list(engine.transcribe([whole, later]))
    assert [f.first_sample for f in together] == [0, later.first_sample], "chunks are out of order"
    assert together[0] == alone, "a chunk's frames depend on its neighbours"
    fed = [_streamed(engine, pcm, size) for size in CUTS]
    assert all(frames == fed[-1] for frames in fed), "frames depend on how the audio was cut"


def _streamed(engine: Engine, pcm: Pcm, size: int) -> list[object]:
    stream = engine.stream()
    first = min(len(pcm), 40 * size)  # a stretch in small pieces says as much as all of it
    frames: list[object] = []
    for at in range(0, first, size):
        frames += stream.feed(np.ascontiguousarray(pcm[at : min(at + size, first)]))
    return [*frames, *stream.feed(pcm[first:]), *stream.finish()]
