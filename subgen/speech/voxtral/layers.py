"""Linear layers and embeddings for a CPU, where only float32 products are fast.

They take the places of mlx-audio's and are called like them, but not from within `mx.compile`. A
matrix is either widened once, and stored as its products read it, or stays as the file has it and is
widened each time it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
from mlx import nn

BLOCK_VALUES = 1 << 20
"""How much is unpacked at a time: 4 MB in float32 stay in the processor's caches. Unpacking 9216 x
3072 values of 4 bits and multiplying 16 rows took 52 ms in blocks, 130 ms and more as a whole."""
FEW_ROWS = 1
"""Up to here MLX's product with quantised weights is faster: it takes 19 ms a row."""


class Packed(nn.Module):  # type: ignore[misc]  # MLX has no types for its modules
    """A matrix [out, in] in 16 bits or quantised, as the file has it, and a bias in float32, if any."""

    def __init__(self, stored: Any) -> None:
        """`stored` is an `nn.Linear` or `nn.Embedding`, or one of their quantised kinds."""
        super().__init__()
        self.stored = stored["weight"]
        self.scales = stored.get("scales")
        self.biases = stored.get("biases")
        self.bias = stored.get("bias")
        names = () if self.scales is None else ("group_size", "bits", "mode")
        self._how = {name: getattr(stored, name) for name in names}
        self.freeze()

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs, inputs."""
        out, columns = self.stored.shape
        return out, columns if self.scales is None else columns * 32 // self._how["bits"]

    @property
    def weight(self) -> mx.array:
        """All of it in float32, [out, in]."""
        return self.rows(slice(None))

    def rows(self, index: Any) -> mx.array:
        """The rows of `index` (a slice, or an array of any shape) in float32, [..., in]."""
        return self._unpacked(*self._parts(index))

    def __call__(self, x: mx.array) -> mx.array:
        """[..., in] -> [..., out]."""
        out = self._product(x)
        return out if self.bias is None else out + self.bias

    def _product(self, x: mx.array) -> mx.array:
        if self._how and x.size <= FEW_ROWS * x.shape[-1]:
            stored, scales, biases = self._parts(slice(None))
            return mx.quantized_matmul(x, stored, *self._exact(scales, biases), transpose=True, **self._how)
        made = []
        for block in self.blocks():
            made.append(x @ self.rows(block).T)
            # Now: left to the scheduler, all that is unpacked would lie in memory at a time.
            mx.eval(made[-1])
        return mx.concatenate(made, axis=-1)

    def blocks(self) -> Iterator[slice]:
        """Rows to be unpacked at a time, from the first to the last."""
        out, width = self.shape
        size = max(BLOCK_VALUES // width, 1)
        return (slice(first, min(first + size, out)) for first in range(0, out, size))

    def _parts(self, index: Any) -> list[Any]:
        """Rows as stored, their scales and biases (None where there are none)."""
        return [None if a is None else a[index] for a in (self.stored, self.scales, self.biases)]

    def _unpacked(self, stored: mx.array, scales: mx.array | None, biases: mx.array | None) -> mx.array:
        if not self._how:
            return stored.astype(mx.float32)
        return mx.dequantize(stored, *self._exact(scales, biases), **self._how).astype(mx.float32)

    def _exact(self, scales: Any, biases: Any) -> tuple[Any, Any]:
        """In float32, as the products are; other modes than affine have scales of their own type."""
        if self._how["mode"] != "affine":
            return scales, biases
        return scales.astype(mx.float32), biases.astype(mx.float32)


class PackedEmbedding(Packed):
    """The decoder's embedding [vocabulary, width], which is its output head as well."""

    def __call__(self, tokens: mx.array) -> mx.array:
        """[...] ids -> [..., width]."""
        return self.rows(tokens)

    def as_linear(self, x: mx.array) -> mx.array:
        """[..., width] -> [..., vocabulary]."""
        return self._product(x)


class Widened(nn.Module):  # type: ignore[misc]
    """A matrix in float32, stored transposed, [in, out], and a bias, if any.

    So OpenBLAS is up to a quarter faster where there are few rows (MODEL.md, "On a CPU").
    """

    def __init__(self, packed: Packed) -> None:
        super().__init__()
        self.transposed = _transposed(packed)
        self.bias = packed.bias
        self.freeze()

    @property
    def weight(self) -> mx.array:
        """The matrix as others see it, [out, in]."""
        return self.transposed.T

    def __call__(self, x: mx.array) -> mx.array:
        """[..., in] -> [..., out]."""
        if self.bias is None:
            return x @ self.transposed
        return mx.addmm(self.bias, x, self.transposed)


class WidenedEmbedding(Widened):
    """The embedding in float32: [width, vocabulary], for the head's sake; a lookup takes columns."""

    def __call__(self, tokens: mx.array) -> mx.array:
        """[...] ids -> [..., width]."""
        return mx.moveaxis(mx.take(self.transposed, tokens, axis=1), 0, -1)

    def as_linear(self, x: mx.array) -> mx.array:
        """[..., width] -> [..., vocabulary]."""
        return x @ self.transposed


def _transposed(packed: Packed) -> mx.array:
    """[in, out] in float32, block by block, so that nothing of the matrix's size lies beside it."""
    out, width = packed.shape
    made = mx.zeros((width, out))
    mx.eval(made)
    for block in packed.blocks():
        made[:, block] = packed.rows(block).T
        mx.eval(made)
    return made
