"""Contract suites and measures for plugin authors, and for us.

from subgen.testing import check_engine
def test_my_engine():
    check_engine(MyEngine(), pcm)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subgen.model import FRAME_SAMPLES, Chunk, Pcm
from subgen.speech.engine import Engine, transcribe

CUTS = (1, 160, 1279, FRAME_SAMPLES, 16_000)


def check_engine(engine: Engine, pcm: Pcm) -> None:
    """Raise AssertionError where `engine` breaks the contract on `pcm` (a few seconds, float32).

    A frame for every 80 ms of audio, numbered from 0; chunks come back in order, each the same
    alone and among others; a stream's frames do not depend on how it was fed.
    """
    whole = Chunk(0, pcm)
    alone = engine.submit(whole).result()
    assert [f.index for f in alone.frames] == list(range(len(alone.frames))), "frames are not numbered from 0"
    assert alone.chunk_frames == whole.frames, "the chunk has another number of frames"
    assert len(alone.frames) >= whole.frames, "frames of audio are missing"
    later = Chunk(FRAME_SAMPLES * whole.frames, pcm[: len(pcm) // 2])
    together = list(transcribe(engine, [whole, later]))
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


def word_errors(truth: Sequence[str], found: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """Edit distance of two word lists, and the indices of equal words on one best path.

    Case and punctuation aside. The distance over `len(truth)` is the word error rate.
    """
    left, right = [_plain(w) for w in truth], [_plain(w) for w in found]
    cost = np.zeros((len(left) + 1, len(right) + 1), np.int64)
    cost[:, 0], cost[0] = np.arange(len(left) + 1), np.arange(len(right) + 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            cost[i + 1, j + 1] = min(cost[i, j] + (a != b), cost[i, j + 1] + 1, cost[i + 1, j] + 1)
    pairs, i, j = [], len(left), len(right)
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + (left[i - 1] != right[j - 1]):
            i, j = i - 1, j - 1
            if left[i] == right[j]:
                pairs.append((i, j))
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return int(cost[-1, -1]), pairs[::-1]


def _plain(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum())
