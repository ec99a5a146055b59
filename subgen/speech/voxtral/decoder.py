"""The decoder over mlx-audio's modules: MODEL.md, "Decoder"."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx

from subgen.speech.voxtral.attention import WindowCache, attend
from subgen.speech.voxtral.encoder import feed_forward, gelu


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
    """Logits of the last step, [lanes, vocabulary].

    `audio` [lanes, steps, width] and `tokens` [lanes, steps] are added up position by position.
    """
    x = audio + decoder.tok_embeddings(tokens)
    for layer, scale, cache in zip(decoder.layers, scales, caches, strict=True):
        attention = layer.attention
        x = x + attend(attention, layer.attention_norm(x), attention.n_heads, attention.n_kv_heads, cache)
        x = x + feed_forward(layer, layer.ffn_norm(x) * scale)
    return decoder.tok_embeddings.as_linear(decoder.norm(x[:, -1]))
