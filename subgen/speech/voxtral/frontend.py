"""Samples to log-mel: MODEL.md, "From samples to log-mel".

A `Framer` adds the stream's padding and cuts it into blocks; `log_mel` turns blocks of all lanes
into features. Frame p of the padded stream needs its samples from 1280 p - 200 to 1280 (p + 1) + 40,
because the windows of its eight mel frames are centred.
"""

from __future__ import annotations

import functools
import math

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from subgen.model import FRAME_SAMPLES, Pcm
from subgen.speech.voxtral.geometry import LEFT_FRAMES, Geometry

HOP = 160
WINDOW = 400
MELS = 128
MELS_PER_FRAME = FRAME_SAMPLES // HOP
BEFORE, AFTER = 200, 40  # samples that a block needs beyond its own
LOG_MEL_MAX = 1.5


class Framer:
    """One stream's samples, padded and cut into blocks of `block_frames` frames.

    Blocks lie at fixed places of the stream, so that they do not depend on how it was fed. The
    last block is filled up with zeros.
    """

    def __init__(self, geometry: Geometry, block_frames: int) -> None:
        self._geometry = geometry
        self._block = block_frames * FRAME_SAMPLES
        self._kept = np.zeros(BEFORE + LEFT_FRAMES * FRAME_SAMPLES, np.float32)
        self.samples = 0
        """Samples of real audio fed so far."""

    def feed(self, pcm: Pcm) -> list[Pcm]:
        """Take samples; return the blocks that are complete, each [BEFORE + block + AFTER]."""
        self.samples += len(pcm)
        return self._cut(pcm)

    def finish(self) -> list[Pcm]:
        """Return the remaining blocks, up to the end of the right padding."""
        frames = self._geometry.total_frames(self.samples)
        missing = frames * FRAME_SAMPLES - (LEFT_FRAMES * FRAME_SAMPLES + self.samples)
        missing += -frames * FRAME_SAMPLES % self._block + AFTER
        return self._cut(np.zeros(missing, np.float32))

    def _cut(self, pcm: Pcm) -> list[Pcm]:
        self._kept = np.concatenate([self._kept, pcm])
        length = BEFORE + self._block + AFTER
        blocks = []
        first = 0
        while first + length <= len(self._kept):
            blocks.append(self._kept[first : first + length])
            first += self._block
        self._kept = self._kept[first:].copy() if first else self._kept
        return blocks


def log_mel(blocks: NDArray[np.float32]) -> mx.array:
    """[lanes, BEFORE + 1280 n + AFTER] samples -> [lanes, 8 n, 128] log-mel, float32."""
    windows = np.lib.stride_tricks.sliding_window_view(blocks, WINDOW, axis=-1)[:, ::HOP]
    spectrum = mx.fft.rfft(mx.array(windows) * _hann(), axis=-1)
    power = mx.square(mx.abs(spectrum))
    mel = mx.log10(mx.maximum(power @ mel_filters(), 1e-10))
    return (mx.maximum(mel, LOG_MEL_MAX - 8) + 4) / 4


@functools.cache
def _hann() -> mx.array:
    """The periodic Hann window, [400]."""
    return _computed(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


@functools.cache
def mel_filters() -> mx.array:
    """Triangles of unit area on Slaney's mel scale from 0 to 8000 Hz, [201, 128].

    The scale is linear below 1000 Hz (200/3 Hz a mel) and logarithmic above (27 mels for a factor
    of 6.4): M. Slaney, Auditory Toolbox, 1998.
    """
    top = 15 + math.log(8) * 27 / math.log(6.4)
    mels = np.linspace(0, top, MELS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * math.log(6.4) / 27))
    bins = np.arange(WINDOW // 2 + 1)[:, None] * (16_000 / WINDOW)
    rising = (bins - edges[:-2]) / np.diff(edges[:-1])
    falling = (edges[2:] - bins) / np.diff(edges[1:])
    area = 2 / (edges[2:] - edges[:-2])
    return _computed(np.maximum(0, np.minimum(rising, falling)) * area)


def _computed(values: NDArray[np.float64]) -> mx.array:
    """A float32 array that any thread may use, as one that is still to be computed may not."""
    array = mx.array(values.astype(np.float32))
    mx.eval(array)
    return array
