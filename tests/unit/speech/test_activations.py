"""The functions between the products, against float64, on both sides of the size at which they change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import erf

from subgen.speech.voxtral import activations
from subgen.speech.voxtral.activations import _LARGE, attention, exp, gelu, silu, softmax_parts
from subgen.speech.voxtral.device import device

Floats = NDArray[np.float32]
Exact = NDArray[np.float64]
FUNCTIONS = [exp, silu, gelu]
SIZES = [100, _LARGE - 1, _LARGE, 3 * _LARGE]
SMALLEST = float(np.finfo(np.float32).tiny)  # below it numbers are denormal, and many processors' are zero

by_hand = pytest.mark.skipif(
    not device().is_cpu or sys.platform == "darwin", reason="MLX's own functions are fast here"
)


def computed(function: Callable[[mx.array], mx.array], x: Floats, size: int = _LARGE) -> Exact:
    """`function` of `x`, repeated to `size` numbers and cut into parts of that many."""
    whole = np.resize(x, -(-len(x) // size) * size).reshape(-1, size)
    return np.concatenate([np.array(function(mx.array(part))) for part in whole])[: len(x)].astype(np.float64)


def true_silu(x: Exact) -> Exact:
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-x)), np.float64)


def true_gelu(x: Exact) -> Exact:
    return x * (1 + np.asarray(erf(x / np.sqrt(2)), np.float64)) / 2


def all_magnitudes(count: int) -> Floats:
    """Finite numbers of every exponent and sign."""
    bits = np.random.default_rng(1).integers(0, 1 << 32, count, dtype=np.uint32)
    numbers = bits.view(np.float32)
    finite: Floats = numbers[np.isfinite(numbers)]
    return finite


def ordinary(low: float, high: float, count: int = 50_000) -> Floats:
    return np.random.default_rng(2).uniform(low, high, count).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_exp_is_within_its_bound(size: int) -> None:
    """2e-7 of itself by hand. MLX's own is coarser at the upper end."""
    x = ordinary(-87, 88)
    y = np.exp(x.astype(np.float64))
    assert np.max(np.abs(computed(exp, x, size) - y) / y) < (2e-7 if size >= _LARGE else 4e-6)


def test_exp_far_below_is_as_good_as_nothing() -> None:
    x = np.concatenate([ordinary(-1e4, -87), np.array([-3e38, -np.inf], np.float32)])
    y = computed(exp, x)
    assert np.all((y >= 0) & (y < 2e-38))


@by_hand
def test_exp_far_above_stays_finite() -> None:
    """The largest is e^88; nothing here computes a larger one."""
    x = np.array([88, 88.5, 89, 1e4, 3e38, np.inf], np.float32)
    y = computed(exp, x)
    assert np.allclose(y, np.exp(88.0), rtol=2e-7)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("x", [0.0, -0.0, 1e-45, -1e-45, 1e-38, SMALLEST])
def test_exp_near_zero_is_one(size: int, x: float) -> None:
    assert computed(exp, np.array([x], np.float32), size)[0] == 1


@pytest.mark.parametrize("size", SIZES)
def test_silu_is_near(size: int) -> None:
    x = np.concatenate([ordinary(-87, 87), all_magnitudes(50_000)])
    exact = true_silu(x.astype(np.float64))
    error = np.abs(computed(silu, x, size) - exact)
    assert np.all(error <= 2e-7 * np.abs(x) + SMALLEST)


@pytest.mark.parametrize("size", SIZES)
def test_gelu_is_within_its_bound(size: int) -> None:
    x = np.concatenate([ordinary(-10, 10), ordinary(-1e3, 1e3), all_magnitudes(50_000)])
    x = x[np.abs(x) < 1e38] if size < _LARGE else x  # MLX's own overflows there
    error = np.abs(computed(gelu, x, size) - true_gelu(x.astype(np.float64)))
    assert np.all(error <= 3e-7 * np.abs(x) + SMALLEST)


@pytest.mark.parametrize("function", [silu, gelu])
@pytest.mark.parametrize("size", SIZES)
def test_zero_stays_zero_and_large_ones_stay_or_vanish(
    function: Callable[[mx.array], mx.array], size: int
) -> None:
    x = np.array([0.0, -0.0, 100, 1e4, 1e18, -100, -1e4, -1e18], np.float32)
    y = computed(function, x, size)
    assert np.array_equal(y[:5], x[:5])
    assert np.all(np.abs(y[5:]) <= 2e-20)


@pytest.mark.parametrize(("function", "high", "low"), [(silu, np.inf, 0), (gelu, np.inf, 0)])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_infinite_never_becomes_an_ordinary_number(
    function: Callable[[mx.array], mx.array], high: float, low: float, size: int
) -> None:
    """It stays so, or is the limit, or no number: whoever overflows sees it."""
    above, below = computed(function, np.array([np.inf, -np.inf], np.float32), size)
    assert np.isnan(above) or above == high
    assert np.isnan(below) or below in (low, -np.inf)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_no_number_stays_none_and_harms_no_other(function: Callable[[mx.array], mx.array], size: int) -> None:
    made = np.array([0x7FC00000, 0xFFC00000], np.uint32).view(np.float32)  # as processors make them
    x = np.concatenate([np.ones(3, np.float32), made, np.ones(5, np.float32)])
    y = computed(function, x, size)
    assert np.array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=50)
@given(x=st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=20))
def test_both_sizes_say_nearly_the_same(function: Callable[[mx.array], mx.array], x: list[float]) -> None:
    numbers = np.array(x, np.float32)
    small, large = computed(function, numbers, len(numbers)), computed(function, numbers)
    scale = np.maximum(np.abs(numbers), 1) if function is not exp else np.exp(numbers.astype(np.float64))
    assert np.all(np.abs(small - large) <= 5e-6 * scale)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_sixteen_bits_stay_sixteen_bits(function: Callable[[mx.array], mx.array], dtype: mx.Dtype) -> None:
    x = mx.array(ordinary(-5, 5, 2 * _LARGE)).astype(dtype)
    y = function(x)
    assert y.dtype == dtype
    exact = np.array(function(x.astype(mx.float32)))
    step = 2.0**-10 if dtype == mx.float16 else 2.0**-7
    assert np.all(np.abs(np.array(y.astype(mx.float32)) - exact) <= 4 * step * np.maximum(np.abs(exact), 1))


@by_hand
@pytest.mark.parametrize("function", FUNCTIONS)
def test_large_arrays_go_by_hand(
    function: Callable[[mx.array], mx.array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the tests above have seen both ways."""
    seen: list[int] = []
    real: Any = activations._polynomial

    def noted(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
        seen.append(x.size)
        out: mx.array = real(coefficients, x)
        return out

    monkeypatch.setattr(activations, "_polynomial", noted)
    for size in (_LARGE - 1, _LARGE):
        mx.eval(function(mx.zeros(size)))
    assert set(seen) == {_LARGE}


# Attention


def exact_attention(query: Floats, keys: Floats, values: Floats, scale: float, seen: NDArray[Any]) -> Exact:
    repeats = query.shape[1] // keys.shape[1]
    wide = [np.repeat(y.astype(np.float64), repeats, axis=1) for y in (keys, values)]
    scores = query.astype(np.float64) @ wide[0].swapaxes(-1, -2) * scale
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True) @ wide[1], np.float64)


def drawn(shape: tuple[int, ...], seed: int, loudness: float = 1.0) -> Floats:
    return (np.random.default_rng(seed).standard_normal(shape) * loudness).astype(np.float32)


def attended(query: Floats, keys: Floats, values: Floats, scale: float, seen: NDArray[Any]) -> Exact:
    found = attention(mx.array(query), mx.array(keys), mx.array(values), scale, mx.array(seen))
    return np.array(found).astype(np.float64)


@settings(max_examples=40)
@given(
    lanes=st.integers(1, 5),
    kv_heads=st.sampled_from([1, 2, 4]),
    repeats=st.sampled_from([1, 2, 4]),
    steps=st.sampled_from([1, 2, 7, 64]),
    length=st.sampled_from([1, 40, 129, 400]),
    loudness=st.sampled_from([0.01, 1.0, 5.0]),
    seed=st.integers(0, 100),
)
def test_attention_of_any_shape(
    lanes: int, kv_heads: int, repeats: int, steps: int, length: int, loudness: float, seed: int
) -> None:
    """On both sides of the threshold; each row sees something, and not the same."""
    query = drawn((lanes, kv_heads * repeats, steps, 32), seed, loudness)
    keys, values = (drawn((lanes, kv_heads, length, 32), seed + i) for i in (1, 2))
    shape = (lanes, 1, 1, length) if steps == 1 else (steps, length)
    seen = np.random.default_rng(seed).random(shape) < 0.5
    seen[..., seed % length] = True
    found = attended(query, keys, values, 32**-0.5, seen)
    assert np.max(np.abs(found - exact_attention(query, keys, values, 32**-0.5, seen))) < 2e-5


@pytest.mark.parametrize("length", [8, 2 * _LARGE // 32])
def test_what_is_not_seen_does_not_count_however_large(length: int) -> None:
    query, keys, values = (drawn((1, 2, n, 32), n) for n in (1, length, length))
    seen = np.zeros((1, 1, 1, length), bool)
    seen[..., 3] = True
    keys[:, :, 4:] *= 1e4
    values[:, :, 4:] *= 1e20
    assert np.allclose(attended(query, keys, values, 1.0, seen), values[:, :, 3:4], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("length", [8, 2 * _LARGE // 32])
def test_lanes_do_not_touch_each_other(length: int) -> None:
    """Not even where one of them holds no numbers."""
    query, keys, values = (drawn((2, 2, n, 32), n) for n in (1, length, length))
    seen = np.ones((2, 1, 1, length), bool)
    whole = attended(query, keys, values, 0.2, seen)[0]
    keys[1], values[1] = np.nan, np.inf
    assert np.array_equal(attended(query, keys, values, 0.2, seen)[0], whole)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("lanes", [1, 200])
def test_softmax_parts_make_a_softmax(dtype: mx.Dtype, lanes: int) -> None:
    scores = mx.array(drawn((lanes, 2, 3, 70), 5, 4.0)).astype(dtype)
    seen = mx.array(np.random.default_rng(3).random((lanes, 1, 1, 70)) < 0.7)
    weights, total = softmax_parts(scores, seen)
    exact = np.where(np.array(seen), np.array(scores.astype(mx.float32)).astype(np.float64), -np.inf)
    exact = np.exp(exact - exact.max(-1, keepdims=True))
    found = np.array((weights / total).astype(mx.float32))
    assert total.shape == (*scores.shape[:-1], 1)
    assert np.max(np.abs(found - exact / exact.sum(-1, keepdims=True))) < 1e-6
