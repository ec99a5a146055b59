"""Windowed causal attention over cached keys and values, in [lanes, steps, width]."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

_GROWTH = 256


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

    def append(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """Add several steps; return all keys and values they may see, and the mask [steps, keys].

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
        return keys, values, window_mask(steps, keys.shape[2], self.window)

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


def window_mask(steps: int, keys: int, window: int) -> mx.array:
    """True where query i of the last `steps` positions may see key j of `keys`, [steps, keys]."""
    query = mx.arange(keys - steps, keys)[:, None]
    key = mx.arange(keys)[None]
    return (key <= query) & (key > query - window)


def attend(attention: Any, x: mx.array, heads: int, kv_heads: int, cache: WindowCache) -> mx.array:
    """One attention sub-layer over `x` [lanes, steps, width], with interleaved rotary positions."""
    lanes, steps, _ = x.shape

    def split(y: mx.array, count: int) -> mx.array:
        return y.reshape(lanes, steps, count, attention.head_dim).transpose(0, 2, 1, 3)

    def rotate(y: mx.array) -> mx.array:
        return mx.fast.rope(
            y,
            attention.head_dim,
            traditional=True,
            base=attention.rope_theta,
            scale=1.0,
            offset=cache.position,
        )

    query = rotate(split(attention.wq(x), heads))
    key = rotate(split(attention.wk(x), kv_heads))
    value = split(attention.wv(x), kv_heads)
    scale = attention.head_dim**-0.5
    if steps == 1:
        keys, values = cache.push(key, value)
        out = mx.fast.scaled_dot_product_attention(query, keys, values, scale=scale)
    else:
        keys, values, mask = cache.append(key, value)
        out = mx.fast.scaled_dot_product_attention(query, keys, values, scale=scale, mask=mask)
    return attention.wo(out.transpose(0, 2, 1, 3).reshape(lanes, steps, -1))
