"""The shapes that are measured, and the shape of a checkpoint on the disk."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.checkpoints import Shape

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples/tiny"

SHAPES = {
    "small": Shape(
        dim=384, layers=6, heads=6, head_dim=64, hidden=1536, window=750,
        width=768, decoder_layers=6, decoder_heads=8, kv_heads=2, decoder_head_dim=128,
        decoder_hidden=2304, decoder_window=8192, vocabulary=16_384,
    ),
    "medium": Shape(
        dim=768, layers=12, heads=12, head_dim=64, hidden=3072, window=750,
        width=1536, decoder_layers=12, decoder_heads=16, kv_heads=4, decoder_head_dim=128,
        decoder_hidden=4608, decoder_window=8192, vocabulary=32_768,
    ),
    "full": Shape(
        dim=1280, layers=32, heads=32, head_dim=64, hidden=5120, window=750,
        width=3072, decoder_layers=26, decoder_heads=32, kv_heads=8, decoder_head_dim=128,
        decoder_hidden=9216, decoder_window=8192, vocabulary=131_072,
    ),
}  # fmt: skip
"""`full` is Voxtral Mini 4B Realtime; `medium` and `small` keep its proportions and its windows."""

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "U8": 1}


@dataclass(frozen=True, slots=True)
class Stored:
    """What a checkpoint's files say: its shape, the type of what is not quantised, and the bytes that
    one decode step reads."""

    shape: Shape
    dtype: str  # as in safetensors: F16, BF16, F32
    decoder_bytes: int
    bits: int | None


def stored(folder: Path) -> Stored:
    """Read config.json and the headers of the weights."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    tensors: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= _header(file)
    read = {name: t for name, t in tensors.items() if is_read_each_step(name)}
    return Stored(
        shape_of(config),
        next(t["dtype"] for name, t in tensors.items() if "tok_embeddings" in name and t["dtype"] != "U32"),
        sum(t["data_offsets"][1] - t["data_offsets"][0] for t in read.values()),
        (config.get("quantization") or {}).get("bits"),
    )


def is_read_each_step(name: str) -> bool:
    """All of the decoder and of the tied embeddings, under their names in either kind of file; not the
    conditioning on the delay, which is computed once."""
    return "ada_rms_norm" not in name and (
        name.startswith(("decoder.", "layers.", "norm.")) or "tok_embeddings" in name
    )


def shape_of(config: dict[str, Any]) -> Shape:
    """The shape that a config.json tells of."""
    encoder, decoder = config["encoder_args"], config["decoder"]
    return Shape(
        dim=encoder["dim"],
        layers=encoder["n_layers"],
        heads=encoder["n_heads"],
        head_dim=encoder["head_dim"],
        hidden=encoder["hidden_dim"],
        window=encoder["sliding_window"],
        width=decoder["dim"],
        decoder_layers=decoder["n_layers"],
        decoder_heads=decoder["n_heads"],
        kv_heads=decoder["n_kv_heads"],
        decoder_head_dim=decoder["head_dim"],
        decoder_hidden=decoder["hidden_dim"],
        decoder_window=decoder["sliding_window"],
        vocabulary=decoder["vocab_size"],
    )


def _header(file: Path) -> dict[str, Any]:
    """safetensors: eight bytes with the length of a JSON object, that object, then the data."""
    with file.open("rb") as content:
        (length,) = struct.unpack("<Q", content.read(8))
        header: dict[str, Any] = json.loads(content.read(length))
    header.pop("__metadata__", None)
    return header
