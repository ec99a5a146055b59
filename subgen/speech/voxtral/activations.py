"""The functions between the matrix products.

On processors other than Apple's, MLX computes exponentials one number at a time: 9 to 22 ns for each of
exp, sigmoid and erf, which is as long as the products take in small models and a tenth of the time in
large ones. Products and sums are vectorised there, so for large float32 arrays the same functions are put
together from these: 3 to 5 ns.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import mlx.core as mx

from subgen.speech.voxtral.device import device

_LARGE = 1 << 14
"""Numbers in an array below which one call is cheaper than thirty."""
_WORTH_SHARING = 1 << 23
"""Products in an attention from which on it is divided among the cores."""
MOST_STREAMS = 16
_of_thread = threading.local()
_ROUNDS = 12_582_912.0
"""1.5 * 2^23: what is added to this is rounded to a whole number."""
_ROUNDS_BITS = 0x4B400000
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_ERFC = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def exp(x: mx.array) -> mx.array:
    """e^x within 2e-7 of itself; by hand never under 1e-38, nor over e^88.

    x = n ln 2 + r, a polynomial for e^r (S. Moshier, Cephes, expf), and n added to the exponent's bits.
    """
    if not _by_hand(x):
        return mx.exp(x)
    x = mx.clip(x, -87.0, 88.0)
    rounded = x * 1.4426950408889634 + _ROUNDS
    n = rounded - _ROUNDS
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    near = _polynomial(_EXP, r) * r * r + r + 1
    doublings = (rounded.view(mx.int32) - _ROUNDS_BITS) * (1 << 23)
    return (near.view(mx.int32) + doublings).view(mx.float32)


def silu(x: mx.array) -> mx.array:
    """x / (1 + e^-x)."""
    return x / (1 + exp(-x)) if _by_hand(x) else x * mx.sigmoid(x)


def gelu(x: mx.array) -> mx.array:
    """x (1 + erf(x / √2)) / 2, within 3e-7 |x|: the exact form, not the one with tanh.

    By hand, for finite x: the complement of erf from Abramowitz and Stegun, 7.1.26.
    """
    if not _by_hand(x):
        return x * (1 + mx.erf(x * 2**-0.5)) / 2
    size = mx.abs(x)
    t = 1 / (1 + size * (0.3275911 * 2**-0.5))
    return mx.maximum(x, 0.0) - 0.5 * size * t * _polynomial(_ERFC, t) * exp(-0.5 * x * x)


def attention(query: mx.array, keys: mx.array, values: mx.array, scale: float, seen: mx.array) -> mx.array:
    """softmax(scale q k^T) v where `seen`, in [lanes, heads, steps, head_dim]; a row must see something."""
    if not _by_hand(query, keys.size):
        return mx.fast.scaled_dot_product_attention(query, keys, values, scale=scale, mask=seen)
    shape, repeats = query.shape, query.shape[1] // keys.shape[1]
    query = (query * scale).reshape(shape[0], keys.shape[1], repeats * shape[2], shape[3])
    if repeats > 1 and seen.shape[-2] > 1:
        seen = mx.tile(seen, (repeats, 1))
    # Adding is vectorised where choosing is not; what is far below is as good as nothing.
    hidden = (seen.astype(mx.float32) - 1) * 1e9
    hidden = mx.broadcast_to(hidden, (shape[0], keys.shape[1], *hidden.shape[-2:]))
    if query.shape[2] * keys.size < _WORTH_SHARING:
        return _attended(query, keys, values, hidden).reshape(shape)
    return shared(_attended, query, keys, values, hidden).reshape(shape)


def _attended(query: mx.array, keys: mx.array, values: mx.array, hidden: mx.array) -> mx.array:
    scores = query @ keys.swapaxes(-1, -2) + hidden
    weights = exp(scores - mx.max(scores, axis=-1, keepdims=True))
    return (weights @ values) / mx.sum(weights, axis=-1, keepdims=True)


def softmax_parts(scores: mx.array, seen: mx.array) -> tuple[mx.array, mx.array]:
    """Numerators and, in a last axis of 1, denominators of the softmax of `scores` where `seen`."""
    scores = mx.where(seen, scores.astype(mx.float32), -mx.inf)
    weights = mx.exp(scores - mx.max(scores, axis=-1, keepdims=True))
    return weights, mx.sum(weights, axis=-1, keepdims=True)


def shared(function: Callable[..., mx.array], *arrays: mx.array) -> mx.array:
    """`function` of `arrays` [lanes, heads, ...], done by all cores: each takes some lanes, or some heads.

    MLX does what lies between the large products in one thread for each of its streams of work.
    """
    streams = _streams()
    axis = 0 if arrays[0].shape[0] >= len(streams) else 1
    count = min(len(streams), arrays[0].shape[axis])
    if count < 2:
        return function(*arrays)
    bounds = [arrays[0].shape[axis] * n // count for n in range(1, count)]
    parts = list(zip(*(mx.split(array, bounds, axis) for array in arrays), strict=True))
    made = []
    for stream, part in zip(streams, parts, strict=False):
        with mx.stream(stream):
            made.append(function(*part))
    return mx.concatenate(made, axis)


def _streams() -> list[mx.Stream]:
    """One of the CPU's streams of work for each core; the first is the thread's own, to which they belong."""
    if not hasattr(_of_thread, "streams"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        others = [mx.new_stream(mx.cpu) for _ in range(min(cores, MOST_STREAMS) - 1)]
        _of_thread.streams = [mx.default_stream(mx.cpu), *others]
    streams: list[mx.Stream] = _of_thread.streams
    return streams


def _by_hand(x: mx.array, size: int = 0) -> bool:
    large = max(x.size, size) >= _LARGE
    return large and x.dtype == mx.float32 and device().is_cpu and sys.platform != "darwin"


def _polynomial(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    y = mx.array(coefficients[0])
    for coefficient in coefficients[1:]:
        y = y * x + coefficient
    return y
