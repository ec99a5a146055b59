"""The decoder over mlx-audio's modules: MODEL.md, "Decoder"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mlx.core as mx

from subgen.speech.voxtral.activations import gelu
from subgen.speech.voxtral.attention import (
    WindowCache,
    angles,
    attend,
    rotated,
    split,
    turned,
    windowed,
)
from subgen.speech.voxtral.device import device
from subgen.speech.voxtral.encoder import feed_forward
from subgen.speech.voxtral.rings import Places, Ring


def new_caches(decoder: Any) -> list[WindowCache]:
    """Empty caches, one a layer."""
    return [WindowCache(decoder.config.sliding_window) for _ in decoder.layers]


def delay_scales(decoder: Any, delay_frames: int) -> list[mx.array]:
    """What each layer's feed-forward input is multiplied by at this delay, [width] a layer."""
    width = decoder.config.dim
    half = width // 2
    angle = delay_frames * mx.exp(-math.log(10_000.0) * mx.arange(half, dtype=mx.float32) / half)
    embedding = mx.concatenate([mx.cos(angle), mx.sin(angle)])
    scales = []
    for layer in decoder.layers:
        ada = layer.ada_rms_norm_t_cond
        if ada is None:
            scales.append(mx.ones(width, decoder.norm.weight.dtype))
            continue
        condition = embedding.astype(decoder.norm.weight.dtype)  # packed weights are integers
        scales.append(1 + ada.ada_up(gelu(ada.ada_down(condition))))
    return scales


def decode(
    decoder: Any, audio: mx.array, tokens: mx.array, scales: list[mx.array], caches: list[WindowCache]
) -> mx.array:
    """Logits of the last step of streams that began together, [lanes, vocabulary].

    `audio` [lanes, steps, width] and `tokens` [lanes, steps] are added up position by position.
    """
    x = audio + decoder.tok_embeddings(tokens)
    for layer, scale, cache in zip(decoder.layers, scales, caches, strict=True):
        attention = layer.attention
        x = x + attend(attention, layer.attention_norm(x), attention.n_heads, attention.n_kv_heads, cache)
        x = x + feed_forward(layer, layer.ffn_norm(x) * scale)
    return decoder.tok_embeddings.as_linear(decoder.norm(x[:, -1]))


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of `lanes` [k] that begin: `x` [k, steps, width], audio and tokens already added up.

    `past` are the keys and values of the positions before, the same for all, [1, heads, positions, head_dim]
    a layer. `scales` [width] a layer.
    """

    lanes: mx.array
    x: mx.array
    past: list[tuple[mx.array, mx.array]]
    scales: list[mx.array]


def decode_lanes(
    decoder: Any,
    x: mx.array,
    scales: list[mx.array],
    rings: list[Ring],
    at: Places,
    prompts: Sequence[Prompts] = (),
) -> mx.array:
    """One step of all lanes, and whole prompts of lanes that begin: they share each reading of the weights.

    `x` [lanes, width], `scales` [width] or [lanes, width] a layer. Returns the logits of the lanes and
    after these the ones of each prompt's last position, [lanes + prompts, vocabulary].
    """
    lanes = x.shape[0]
    bounds = [0, lanes]  # rows of the lanes, of the first prompts, of the second ones …
    for prompt in prompts:
        bounds.append(bounds[-1] + prompt.x.shape[0] * prompt.x.shape[1])
    rows = mx.concatenate([x, *(prompt.x.reshape(-1, x.shape[1]) for prompt in prompts)])
    angle = angles(decoder.layers[0].attention, at.position) if device().is_cpu else None
    for number, (layer, ring) in enumerate(zip(decoder.layers, rings, strict=True)):
        attention, normed = layer.attention, layer.attention_norm(rows)
        projected = attention.wq(normed), attention.wk(normed), attention.wv(normed)
        own, *others = [[y[first:last] for y in projected] for first, last in pairwise(bounds)]
        heard = [_step(attention, own, ring, at, angle)]
        for prompt, part in zip(prompts, others, strict=True):
            heard.append(_begin(decoder, attention, part, ring, prompt, number))
        rows = rows + attention.wo(mx.concatenate(heard))
        rows = rows + feed_forward(layer, layer.ffn_norm(rows) * _scales(scales, prompts, number, bounds))
    ends = [rows[:lanes]]
    for prompt, (first, last) in zip(prompts, pairwise(bounds[1:]), strict=True):
        ends.append(rows[first:last].reshape(prompt.x.shape)[:, -1])
    return decoder.tok_embeddings.as_linear(decoder.norm(mx.concatenate(ends)))


def _step(
    attention: Any,
    projected: Sequence[mx.array],
    ring: Ring,
    at: Places,
    angle: tuple[mx.array, mx.array] | None,
) -> mx.array:
    """Each lane's newest position, [lanes, heads * head_dim], over its own past."""
    query, key, value = (y[:, None] for y in projected)
    query, key = split(attention, query, attention.n_heads), split(attention, key, attention.n_kv_heads)
    if angle is None:
        query, key = rotated(attention, query, at.position), rotated(attention, key, at.position)
    else:
        query, key = turned(query, angle), turned(key, angle)
    ring.write(key, split(attention, value, attention.n_kv_heads), at)
    out = ring.attend(query, at, attention.head_dim**-0.5)
    return out.reshape(out.shape[0], -1)


def _begin(
    decoder: Any,
    attention: Any,
    projected: Sequence[mx.array],
    ring: Ring,
    prompts: Prompts,
    number: int,
) -> mx.array:
    """The prompts' positions, [prompts * steps, heads * head_dim]; they are written into their lanes."""
    count, steps, _ = prompts.x.shape
    past_keys, past_values = prompts.past[number]
    first = past_keys.shape[2]
    query, key, value = (y.reshape(count, steps, -1) for y in projected)
    query = rotated(attention, split(attention, query, attention.n_heads), first)
    key = rotated(attention, split(attention, key, attention.n_kv_heads), first)
    keys = _after(past_keys, key)
    values = _after(past_values, split(attention, value, attention.n_kv_heads))
    ring.begin(prompts.lanes, keys, values)
    out = windowed(query, keys, values, attention.head_dim**-0.5, decoder.config.sliding_window)
    return out.transpose(0, 2, 1, 3).reshape(count * steps, -1)


def _after(past: mx.array, new: mx.array) -> mx.array:
    return mx.concatenate([mx.broadcast_to(past, (new.shape[0], *past.shape[1:])), new], axis=2)


def _scales(
    scales: list[mx.array], prompts: Sequence[Prompts], number: int, bounds: Sequence[int]
) -> mx.array:
    """The scale of each row in layer `number`, [rows, width], or [width] where it is that of all."""
    if all(prompt.scales is scales for prompt in prompts):
        return scales[number]
    width = scales[number].shape[-1]
    rows = [mx.broadcast_to(scales[number], (bounds[1], width))]
    for prompt, (first, last) in zip(prompts, pairwise(bounds[1:]), strict=True):
        rows.append(mx.broadcast_to(prompt.scales[number], (last - first, width)))
    return mx.concatenate(rows)
