"""The audio encoder and adapter over mlx-audio's modules: MODEL.md, "Encoder"."""

from __future__ import annotations

from copy import copy
from typing import Any

import mlx.core as mx

from subgen.speech.voxtral.activations import gelu, silu
from subgen.speech.voxtral.attention import WindowCache, attend


class EncoderState:
    """What a set of lanes remembers between two calls of `encode`."""

    def __init__(self, encoder: Any, lanes: int) -> None:
        dtype = encoder.conv_layers_0_conv.conv.weight.dtype
        config = encoder.config
        self.mel = mx.zeros((lanes, 2, encoder.conv_layers_0_conv.conv.weight.shape[2]), dtype)
        self.conv = mx.zeros((lanes, 1, config.dim), dtype)
        self.caches = [WindowCache(config.sliding_window) for _ in encoder.transformer_layers]

    @property
    def arrays(self) -> list[mx.array]:
        """All that is remembered."""
        return [self.mel, self.conv, *(array for cache in self.caches for array in cache.arrays)]

    def fork(self) -> EncoderState:
        """Another state that goes on from here; this one stays as it is."""
        forked = copy(self)
        forked.caches = [cache.fork() for cache in self.caches]
        return forked


def encode(encoder: Any, mel: mx.array, state: EncoderState) -> mx.array:
    """[lanes, 8 n, 128] log-mel -> [lanes, n, decoder width], in the type of the weights."""
    x = _conv_stem(encoder, mel.astype(state.mel.dtype), state)
    for layer, cache in zip(encoder.transformer_layers, state.caches, strict=True):
        heads = layer.attention.n_heads
        x = x + attend(layer.attention, layer.attention_norm(x), heads, heads, cache)
        x = x + feed_forward(layer, layer.ffn_norm(x))
    x = encoder.transformer_norm(x)
    lanes, steps, width = x.shape
    joined = x.reshape(
        lanes, steps // encoder.config.downsample_factor, width * encoder.config.downsample_factor
    )
    return encoder.audio_language_projection_2(gelu(encoder.audio_language_projection_0(joined)))


def _conv_stem(encoder: Any, mel: mx.array, state: EncoderState) -> mx.array:
    """Two causal convolutions, the second of stride 2: [lanes, 8 n, 128] -> [lanes, 4 n, dim]."""
    mel = mx.concatenate([state.mel, mel], axis=1)
    first = gelu(encoder.conv_layers_0_conv.conv(mel))
    first = mx.concatenate([state.conv, first], axis=1)
    state.mel, state.conv = mel[:, -2:], first[:, -1:]
    return gelu(encoder.conv_layers_1_conv.conv(first))


def feed_forward(layer: Any, x: mx.array) -> mx.array:
    """SwiGLU over [lanes, steps, width]."""
    return layer.feed_forward_w2(silu(layer.feed_forward_w1(x)) * layer.feed_forward_w3(x))
