"""What weight files hold, read from their headers: nothing is loaded.

A .safetensors file begins with 8 bytes, the length of its header (little-endian); then the header, a
JSON object of `name: {"dtype": "BF16", "shape": [...], "data_offsets": [begin, end]}`; then the data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from subgen.errors import CheckpointInvalid

IDENTITY_LENGTH = 16
LONGEST_HEADER_BYTES = 100_000_000  # the format's own bound


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array of a file. `dtype` is the format's name: F32, F16, BF16, U32, U8."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


def tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """All arrays of `files` by name; raise `CheckpointInvalid` for a file that is torn."""
    found: dict[str, Tensor] = {}
    for file in files:
        found |= _tensors(file)
    return found


def identity(config: Path, files: Iterable[Path]) -> str:
    """A short hash of config.json and of the names, sizes and headers of the weight files."""
    digest = hashlib.sha256(config.read_bytes())
    for file in sorted(files):
        header = _header(file)
        digest.update(f"\n{file.name} {file.stat().st_size} {len(header)}\n".encode())
        digest.update(header)
    return digest.hexdigest()[:IDENTITY_LENGTH]


def _tensors(file: Path) -> dict[str, Tensor]:
    header = _header(file)
    room = file.stat().st_size - 8 - len(header)
    try:
        entries = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
        spans = {name: tuple(entry["data_offsets"]) for name, entry in entries.items()}
        found = {
            name: Tensor(entry["dtype"], tuple(entry["shape"]), spans[name][1] - spans[name][0])
            for name, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _broken(file, "its header cannot be read") from error
    missing = max((end for _, end in spans.values()), default=0) - room
    if missing > 0:
        raise _broken(file, f"{missing} bytes are missing at its end")
    return found


def _header(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = opened.read(min(length, LONGEST_HEADER_BYTES))
    except OSError as error:
        raise _broken(file, error.strerror or "it cannot be read") from error
    if len(header) < length:
        raise _broken(file, "its header is cut short")
    return header


def _broken(file: Path, reason: str) -> CheckpointInvalid:
    return CheckpointInvalid(f"{file}: broken ({reason})", "download the checkpoint again")
