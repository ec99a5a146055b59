"""Random checkpoints as the usual 4-bit conversion has them, written tensor by tensor.

The linear layers are drawn packed, in 4 bits and groups of 64, so that the 3.1 GB of the full shape
need neither its 16 GB of float32 nor more memory than a few thousand rows.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.benchmark.shapes import SHAPES
from tests.checkpoints import Shape, distribution, is_linear, parameter_shapes, write_vocabulary

BITS = 4
GROUP = 64
ROWS = 4096
"""Rows drawn at a time."""
LEVELS_DEVIATION = ((2**BITS) ** 2 - 1) ** 0.5 / 12**0.5
"""The standard deviation of the evenly distributed integers 0 to 15."""

Rows = Iterator[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a file; `rows` draws it, in stretches of rows."""

    name: str
    dtype: str
    size: tuple[int, ...]
    rows: Callable[[np.random.Generator], Rows]

    @property
    def length(self) -> int:
        """In bytes."""
        return int(np.prod(self.size)) * {"U32": 4, "F16": 2}[self.dtype]


def provide(name: str, folder: Path) -> Path:
    """The checkpoint of the shape called `name` below `folder`, made now where it is not there yet."""
    made = folder / f"{name}-4bit"
    if not (made / "config.json").exists():  # it is written last
        write_packed(made, SHAPES[name])
    return made


def write_packed(folder: Path, shape: Shape, seed: int = 0) -> None:
    """A folder that subgen and mlx-audio load: linear layers in 4 bits, all else in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = parameter_shapes(shape)
    write_tensors(
        folder / "model.safetensors", [t for name in sizes for t in tensors(name, sizes[name])], seed
    )
    write_vocabulary(folder, shape)
    config = shape.config() | {"quantization": {"group_size": GROUP, "bits": BITS}}
    (folder / "config.json").write_text(json.dumps(config))


def tensors(name: str, size: tuple[int, ...]) -> list[Tensor]:
    """What the file has for one parameter: itself, or packed weights with their scales and offsets."""
    mean, deviation = distribution(name, size)
    if not is_linear(name):
        return [Tensor(name, "F16", size, lambda rng: _normal(rng, size, mean, deviation))]
    out, width = size
    scale = deviation / LEVELS_DEVIATION
    stem = name.removesuffix(".weight")
    groups = (out, width // GROUP)
    middle = -scale * (2**BITS - 1) / 2
    return [
        Tensor(name, "U32", (out, width * BITS // 32), lambda rng: _packed(rng, out, width * BITS // 32)),
        Tensor(f"{stem}.scales", "F16", groups, lambda _: iter([np.full(groups, scale, np.float16)])),
        Tensor(f"{stem}.biases", "F16", groups, lambda _: iter([np.full(groups, middle, np.float16)])),
    ]


def write_tensors(path: Path, content: list[Tensor], seed: int) -> None:
    """A safetensors file: the length of the header, the header, the data of each tensor in order."""
    rng = np.random.default_rng(seed)
    header: dict[str, Any] = {}
    end = 0
    for tensor in content:
        first, end = end, end + tensor.length
        header[tensor.name] = {
            "dtype": tensor.dtype, "shape": list(tensor.size), "data_offsets": [first, end],
        }  # fmt: skip
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in content:
            for rows in tensor.rows(rng):
                file.write(rows.tobytes())


def _normal(rng: np.random.Generator, size: tuple[int, ...], mean: float, deviation: float) -> Rows:
    for first in range(0, size[0], ROWS):
        some = (min(ROWS, size[0] - first), *size[1:])
        yield (rng.standard_normal(some, np.float32) * deviation + mean).astype(np.float16)


def _packed(rng: np.random.Generator, out: int, words: int) -> Rows:
    for first in range(0, out, ROWS):
        yield rng.integers(0, 2**32, (min(ROWS, out - first), words), np.uint32)
