"""Checkpoints of random weights in any shape, in mlx-audio's file format."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from subgen.model import Pcm


@dataclass(frozen=True)
class Shape:
    dim: int = 64
    layers: int = 3
    heads: int = 2
    head_dim: int = 32
    hidden: int = 128
    window: int = 40
    width: int = 64
    decoder_layers: int = 3
    decoder_heads: int = 4
    kv_heads: int = 2
    decoder_head_dim: int = 32
    decoder_hidden: int = 128
    decoder_window: int = 130
    vocabulary: int = 1300

    def config(self) -> dict[str, Any]:
        return {
            "model_type": "voxtral_realtime",
            "encoder_args": {
                "dim": self.dim,
                "n_layers": self.layers,
                "n_heads": self.heads,
                "n_kv_heads": self.heads,
                "head_dim": self.head_dim,
                "hidden_dim": self.hidden,
                "sliding_window": self.window,
            },
            "decoder": {
                "dim": self.width,
                "n_layers": self.decoder_layers,
                "n_heads": self.decoder_heads,
                "n_kv_heads": self.kv_heads,
                "head_dim": self.decoder_head_dim,
                "hidden_dim": self.decoder_hidden,
                "vocab_size": self.vocabulary,
                "sliding_window": self.decoder_window,
            },
        }


SMALL = Shape()
MEDIUM = Shape(
    dim=256, layers=6, heads=8, hidden=768, window=100, width=384, decoder_layers=6, decoder_heads=8,
    decoder_hidden=1024, decoder_window=150, vocabulary=4000,
)  # fmt: skip


def parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a checkpoint, by its name in the file; nothing is computed."""
    from mlx import nn
    from mlx.utils import tree_flatten
    from mlx_audio.stt.models.voxtral_realtime.voxtral_realtime import Model, ModelConfig

    model = Model(ModelConfig.from_dict(json.loads(json.dumps(shape.config()))))
    model.encoder.audio_language_projection_0 = nn.Linear(4 * shape.dim, shape.width, bias=False)
    model.encoder.audio_language_projection_2 = nn.Linear(shape.width, shape.width, bias=False)
    return {name: tuple(value.shape) for name, value in tree_flatten(model.parameters())}


def distribution(name: str, size: tuple[int, ...]) -> tuple[float, float]:
    """Mean and deviation of weights that make varied tokens: the audio outweighs what was said last."""
    if len(size) == 1:
        return (1.0 if name.endswith("norm.weight") else 0.0), 0.1
    loudness = {"decoder.tok_embeddings.weight": 0.4, "encoder.audio_language_projection_2.weight": 6.0}
    return 0.0, 1.5 / float(np.sqrt(np.prod(size[1:]))) * loudness.get(name, 1.0)


def random_weights(shape: Shape, seed: int) -> dict[str, Any]:
    """Float32 weights of `distribution`, by name."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, size in parameter_shapes(shape).items():
        mean, deviation = distribution(name, size)
        weights[name] = mx.array((rng.standard_normal(size) * deviation + mean).astype(np.float32))
    return weights


def write_checkpoint(
    folder: Path, shape: Shape = SMALL, *, seed: int = 0, bits: int | None = None, embeddings: bool = False
) -> Path:
    """A folder to load; with `bits`, its linear layers quantised in groups of 32, and `embeddings` too."""
    folder.mkdir(parents=True, exist_ok=True)
    config = shape.config()
    weights = random_weights(shape, seed)
    if bits is not None:
        config["quantization"] = {"group_size": 32, "bits": bits}
        for name in [n for n in weights if is_linear(n) or (embeddings and "tok_embeddings" in n)]:
            packed, scales, biases = mx.quantize(weights.pop(name), group_size=32, bits=bits)
            stem = name.removesuffix(".weight")
            weights |= {f"{stem}.weight": packed, f"{stem}.scales": scales, f"{stem}.biases": biases}
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps(config))
    write_vocabulary(folder, shape)
    return folder


def write_vocabulary(folder: Path, shape: Shape) -> None:
    """tekken.json: letters, two in three of them with a space."""
    pieces = [bytes([65 + i % 26]) + (b" " if i % 3 else b"") for i in range(shape.vocabulary - 1000)]
    vocabulary = [{"rank": i, "token_bytes": base64.b64encode(p).decode()} for i, p in enumerate(pieces)]
    (folder / "tekken.json").write_text(json.dumps({"vocab": vocabulary, "config": {}}))


def is_linear(name: str) -> bool:
    """Whether it is a matrix of a layer's attention or feed-forward: those are what is quantised."""
    return name.endswith(".weight") and any(part in name for part in (".attention.w", "feed_forward"))


def varied_sound(seconds: float, seed: int = 0) -> Pcm:
    """Tones and noise that change every 60 ms: sound that keeps a model busy."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 16_000)
    t = np.arange(960) / 16_000
    pieces = []
    for _ in range(-(-count // 960)):
        tone = np.sin(2 * np.pi * np.exp(rng.uniform(4.6, 8.5)) * t) + rng.uniform(
            0, 1
        ) * rng.standard_normal(960)
        pieces.append(tone * 10 ** rng.uniform(-3, -0.5))
    return np.asarray(np.clip(np.concatenate(pieces)[:count], -1, 1), np.float32)
