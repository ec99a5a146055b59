"""How much memory a checkpoint needs, known from its headers before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subgen.errors import EngineError
from subgen.speech.voxtral.device import available_bytes, memory_limit_bytes
from subgen.speech.voxtral.geometry import Geometry
from subgen.speech.voxtral.headers import Tensor

RESERVED_LANES = 16
CHUNK_POSITIONS = 750 + Geometry.of_delay(2400).prompt_frames
"""A chunk of 60 s and its prompt."""
ENCODING_STREAMS = 2
"""Encoders whose window of keys and values is held at a time."""
BASE_BYTES = 256 << 20
"""The interpreter, its libraries, and audio on its way."""


def reserve_bytes(shape: Any, lanes: int = RESERVED_LANES) -> int:
    """Memory for caches and activations in float32 that `lanes` need beside the weights.

    `shape` is mlx-audio's `ModelConfig`.
    """
    decoder, encoder = shape.decoder, shape.encoder_args
    positions = min(CHUNK_POSITIONS, decoder.sliding_window)
    decoding = lanes * positions * _cache_bytes(decoder, decoder.n_kv_heads)
    encoding = min(lanes, ENCODING_STREAMS) * encoder.sliding_window * _cache_bytes(encoder, encoder.n_heads)
    # A matrix on its way: its values as integers, in float32, and once more.
    unpacking = 3 * 4 * max(decoder.dim * decoder.hidden_dim, encoder.dim * encoder.hidden_dim)
    return int(decoding + encoding + unpacking + BASE_BYTES)


def memory_needed(shape: Any, stored: Mapping[str, Tensor]) -> int:
    """The least memory the checkpoint runs in, in bytes: all weights as stored, and one lane."""
    return sum(tensor.size_bytes for tensor in stored.values()) + reserve_bytes(shape, lanes=1)


def check_memory(folder: Path, shape: Any, stored: Mapping[str, Tensor]) -> None:
    """Raise `EngineError` where the device is too small; one that tells nothing is not checked."""
    needed, free = memory_needed(shape, stored), memory_limit_bytes()
    if free is not None and needed > free:
        raise EngineError(
            f"{folder}: needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free",
            "close other programs or use a smaller checkpoint",
        )


def weights_budget(shape: Any, lanes: int = RESERVED_LANES) -> int | None:
    """What weights may take on a CPU so that `lanes` have room beside them; None: not known."""
    free = available_bytes()
    return free - reserve_bytes(shape, lanes) if free else None


def _cache_bytes(part: Any, heads: int) -> int:
    """Keys and values of one position in all layers, float32."""
    return int(2 * 4 * part.n_layers * heads * part.head_dim)
