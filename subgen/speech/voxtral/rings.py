"""Keys and values of lanes that are at different positions, [lanes, heads, room, head_dim].

A lane's position p lies in slot p % room. A room as large as the window makes this a ring; a smaller
one never comes round, because no stream is longer. Two forms: as computed, or in 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from subgen.speech.voxtral.activations import attention, softmax_parts

EIGHT_BITS = 8
SMALLEST_GROUP = 32


@dataclass(frozen=True, slots=True)
class Places:
    """Where all lanes are in one step; shared by all layers.

    `lane` 0, 1, 2 …, `position` of the newest token and its `slot`: [lanes]. `seen` [lanes, 1, 1, filled]:
    the slots that hold something of the lane's own stream.
    """

    lane: mx.array
    position: mx.array
    slot: mx.array
    seen: mx.array
    filled: int

    @classmethod
    def at(cls, positions: Sequence[int], room: int) -> Places:
        """The places of lanes whose newest tokens are at `positions`."""
        filled = min(max(positions) + 1, room)
        position = mx.array(list(positions))
        seen = mx.arange(filled)[None] <= position[:, None]
        return cls(mx.arange(len(positions)), position, position % room, seen[:, None, None], filled)


class Ring:
    """One layer's keys and values in the type they are computed in."""

    def __init__(self, lanes: int, heads: int, room: int, width: int, dtype: mx.Dtype) -> None:
        self._stores = [self._empty(lanes, heads, room, width, dtype) for _ in "kv"]

    @property
    def arrays(self) -> list[mx.array]:
        """All that is kept."""
        return [part for store in self._stores for part in store]

    def write(self, key: mx.array, value: mx.array, at: Places) -> None:
        """Add each lane's newest key and value, [lanes, heads, 1, head_dim]."""
        for store, new in zip(self._stores, (key, value), strict=True):
            for part, packed in zip(store, self._packed(new), strict=True):
                part[at.lane, :, at.slot] = packed[:, :, 0]

    def begin(self, lanes: mx.array, keys: mx.array, values: mx.array) -> None:
        """Begin new streams in `lanes` [k] with `keys` and `values` [k, heads, steps, head_dim].

        What was there is wiped out: a number that is none, even with a weight of zero, would spoil the lane.
        """
        for store, new in zip(self._stores, (keys, values), strict=True):
            for part, packed in zip(store, self._packed(new), strict=True):
                rest = part.shape[2] - packed.shape[2]
                part[lanes] = mx.pad(packed, [(0, 0), (0, 0), (0, rest), (0, 0)])

    def rearrange(self, lanes: mx.array, room: int) -> None:
        """Take `lanes` [new lanes], old numbers, in this order, with at least as much room as before."""
        for store in self._stores:
            for place, part in enumerate(store):
                more = room - part.shape[2]
                store[place] = mx.pad(part[lanes], [(0, 0), (0, 0), (0, more), (0, 0)])

    def attend(self, query: mx.array, at: Places, scale: float) -> mx.array:
        """Attention of one step, `query` [lanes, query heads, 1, head_dim], to its lane's past."""
        (keys,), (values,) = ([part[:, :, : at.filled] for part in store] for store in self._stores)
        return attention(query, keys, values, scale, at.seen)

    def _empty(self, lanes: int, heads: int, room: int, width: int, dtype: mx.Dtype) -> list[mx.array]:
        return [mx.zeros((lanes, heads, room, width), dtype)]

    def _packed(self, new: mx.array) -> tuple[mx.array, ...]:
        return (new,)


class EightBitRing(Ring):
    """The same in 8 bits and a scale and offset for each group of 64: half of the memory."""

    def attend(self, query: mx.array, at: Places, scale: float) -> mx.array:
        """As in `Ring`."""
        keys, values = ([part[:, :, : at.filled] for part in store] for store in self._stores)
        shape = query.shape
        query = query.reshape(shape[0], keys[0].shape[1], -1, shape[-1]) * scale
        weights, total = softmax_parts(_product(query, keys, transpose=True), at.seen)
        mixed = _product(weights.astype(query.dtype), values, transpose=False)
        return (mixed / total.astype(query.dtype)).reshape(shape)

    def _empty(self, lanes: int, heads: int, room: int, width: int, dtype: mx.Dtype) -> list[mx.array]:
        packed = width * EIGHT_BITS // 32
        groups = width // group_size(width)
        kinds = [(packed, mx.uint32), (groups, dtype), (groups, dtype)]
        return [mx.zeros((lanes, heads, room, last), kind) for last, kind in kinds]

    def _packed(self, new: mx.array) -> tuple[mx.array, ...]:
        return tuple(mx.quantize(new, group_size=group_size(new.shape[-1]), bits=EIGHT_BITS))


def _product(x: mx.array, packed: list[mx.array], *, transpose: bool) -> mx.array:
    width = packed[0].shape[-1] * 32 // EIGHT_BITS
    weights, scales, offsets = packed
    return mx.quantized_matmul(
        x, weights, scales, offsets, transpose=transpose, group_size=group_size(width), bits=EIGHT_BITS
    )


def group_size(width: int) -> int:
    """How many of `width` numbers, a multiple of 32, share a scale and an offset."""
    return 64 if width % 64 == 0 else SMALLEST_GROUP
