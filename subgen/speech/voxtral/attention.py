"""Windowed causal attention over cached keys and values, in [lanes, steps, width]."""

from __future__ import annotations

import math
from typing import Any, Self

import mlx.core as mx

from subgen.speech.voxtral.activations import attention

_GROWTH = 256
SHORTEST_BAND, LONGEST_BAND = 64, 512
"""Queries of a long stretch that are scored at a time: the scores of all would not fit."""


class WindowCache:
    """The last `window` keys and values of one layer, [lanes, heads, positions, head_dim].

    A position may attend to itself and the `window - 1` before it. Several steps at once are
    appended in order; single steps go into a ring, where the order does not matter because the
    rotary positions are in the keys.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.position = 0
        self._keys: Any = None
        self._values: Any = None

    @property
    def arrays(self) -> list[mx.array]:
        """The keys and values, once there are any."""
        return [] if self._keys is None else [self._keys, self._values]

    def append(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Add several steps; return all keys and values that they may see.

        Not to be called after `push`: a ring has no order.
        """
        steps = keys.shape[2]
        if self._keys is not None:
            past = min(self.position, self.window - 1)
            keys = mx.concatenate([self._keys[:, :, self._keys.shape[2] - past :], keys], axis=2)
            values = mx.concatenate([self._values[:, :, self._values.shape[2] - past :], values], axis=2)
        self.position += steps
        kept = max(keys.shape[2] - self.window, 0)
        self._keys, self._values = keys[:, :, kept:], values[:, :, kept:]
        return keys, values

    def fork(self) -> Self:
        """Another cache that goes on from here; this one stays as it is."""
        forked = type(self)(self.window)
        forked.position, forked._keys, forked._values = self.position, self._keys, self._values
        return forked

    def push(self, key: mx.array, value: mx.array) -> tuple[mx.array, mx.array]:
        """Add one step; return the keys and values of the window that ends with it."""
        slot = self.position % self.window
        if self._keys is None or self.position == self._keys.shape[2] < self.window:
            self._grow(key, value)
        self._keys[:, :, slot : slot + 1] = key
        self._values[:, :, slot : slot + 1] = value
        self.position += 1
        filled = min(self.position, self.window)
        return self._keys[:, :, :filled], self._values[:, :, :filled]

    def _grow(self, key: mx.array, value: mx.array) -> None:
        lanes, heads, _, width = key.shape
        room = min(_GROWTH, self.window - self.position)
        empty = mx.zeros((lanes, heads, room, width), key.dtype)
        self._keys = empty if self._keys is None else mx.concatenate([self._keys, empty], axis=2)
        self._values = empty if self._values is None else mx.concatenate([self._values, empty], axis=2)


def attend(layer: Any, x: mx.array, heads: int, kv_heads: int, cache: WindowCache) -> mx.array:
    """One attention sub-layer over `x` [lanes, steps, width], with interleaved rotary positions."""
    lanes, steps, _ = x.shape
    query = rotated(layer, split(layer, layer.wq(x), heads), cache.position)
    key = rotated(layer, split(layer, layer.wk(x), kv_heads), cache.position)
    value = split(layer, layer.wv(x), kv_heads)
    scale = layer.head_dim**-0.5
    if steps == 1:
        keys, values = cache.push(key, value)
        out = mx.fast.scaled_dot_product_attention(query, keys, values, scale=scale)
    else:
        out = windowed(query, *cache.append(key, value), scale, cache.window)
    return layer.wo(out.transpose(0, 2, 1, 3).reshape(lanes, steps, -1))


def split(layer: Any, y: mx.array, heads: int) -> mx.array:
    """[lanes, steps, heads * head_dim] -> [lanes, heads, steps, head_dim]."""
    lanes, steps, _ = y.shape
    return y.reshape(lanes, steps, heads, layer.head_dim).transpose(0, 2, 1, 3)


def rotated(layer: Any, y: mx.array, position: int | mx.array) -> mx.array:
    """Rotary positions from `position` on, one for all lanes or one a lane; y as `split` gives it."""
    return mx.fast.rope(
        y, layer.head_dim, traditional=True, base=layer.rope_theta, scale=1.0, offset=position
    )


def angles(layer: Any, position: mx.array) -> tuple[mx.array, mx.array]:
    """Cosines and sines for `turned` at one position a lane, each [lanes, 1, 1, head_dim / 2]."""
    half = layer.head_dim // 2
    frequency = mx.exp(-math.log(layer.rope_theta) * mx.arange(half, dtype=mx.float32) / half)
    angle = position.astype(mx.float32)[:, None, None, None] * frequency
    return mx.cos(angle), mx.sin(angle)


def turned(y: mx.array, angle: tuple[mx.array, mx.array]) -> mx.array:
    """What `rotated` does, made of products, which a CPU is faster at, with angles for all layers."""
    cos, sin = angle
    pairs = y.reshape(*y.shape[:-1], -1, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return mx.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(y.shape)


def windowed(query: mx.array, keys: mx.array, values: mx.array, scale: float, window: int) -> mx.array:
    """Attention of the last positions, `query` [lanes, heads, steps, head_dim], to `keys` up to themselves.

    Each sees at most `window` positions, itself included. Long stretches go in bands, whose work and
    memory grow with the window and not with the square of the length.
    """
    steps, length = query.shape[2], keys.shape[2]
    band = max(SHORTEST_BAND, min(LONGEST_BAND, window // 2))
    bands = []
    for first in range(0, steps, band):
        last = min(first + band, steps)
        end = length - steps + last
        begin = max(0, end - (last - first) - window + 1)
        seen = window_mask(last - first, end - begin, window)
        past = slice(begin, end)
        bands.append(attention(query[:, :, first:last], keys[:, :, past], values[:, :, past], scale, seen))
    return bands[0] if len(bands) == 1 else mx.concatenate(bands, axis=2)


def window_mask(steps: int, keys: int, window: int) -> mx.array:
    """True where query i of the last `steps` positions may see key j of `keys`, [steps, keys]."""
    query = mx.arange(keys - steps, keys)[:, None]
    key = mx.arange(keys)[None]
    return (key <= query) & (key > query - window)
