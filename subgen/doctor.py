"""What subgen needs on this machine, tried one by one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from subgen.errors import CheckpointInvalid
from subgen.settings import Settings, state_folder

ENOUGH_DISK_BYTES = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` is None where it is not as it should be, and yet works."""

    name: str
    ok: bool | None
    detail: str
    way_out: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which a run would need them."""
    yield _program("ffmpeg")
    yield _program("ffprobe")
    yield from _device()
    yield _checkpoint(settings)
    yield _disk(state_folder(settings))


def _program(name: str) -> Check:
    found = shutil.which(name)
    if found is None:
        return Check(name, False, "not found", "apt-get install ffmpeg, or brew install ffmpeg")
    try:
        printed = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return Check(name, False, f"{found} does not run ({error})", "install it again")
    return Check(name, True, " ".join(printed.split()[:3]))


def _device() -> Iterator[Check]:
    from subgen.speech.voxtral import device

    blas = device.fast_blas()
    try:
        found = device.device()
    except ImportError as error:
        yield Check("MLX", False, f"cannot be imported ({error})", "run ./scripts/subgen, which installs it")
        return
    yield Check("MLX", True, f"{device.mlx_version()} on {found.kind}")
    if found.is_cpu:
        yield Check(
            "BLAS",
            None if blas is None else True,
            blas or "reference BLAS",
            device.NO_BLAS if blas is None else "",
        )


def _checkpoint(settings: Settings) -> Check:
    from subgen.speech.voxtral.checkpoint import cached
    from subgen.speech.voxtral.tokens import Tokens

    folder = cached(settings.model, settings.revision)
    if folder is None:
        return Check(
            "checkpoint",
            None,
            f"{settings.model} is not on this machine",
            "the first run downloads it (3.1 GB)",
        )
    if not any(folder.glob("*.safetensors")):
        return Check("checkpoint", False, f"{folder}: no .safetensors file", "download it again")
    try:
        Tokens.load(folder)
    except CheckpointInvalid as error:
        return Check("checkpoint", False, error.message, error.way_out)
    return Check("checkpoint", True, str(folder))


def _disk(folder: Path) -> Check:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.0f} GB free at {folder}"
    if free < ENOUGH_DISK_BYTES:
        return Check("disk", None, detail, "the default checkpoint needs 3.1 GB")
    return Check("disk", True, detail)
