"""What subgen needs on this machine, tried one by one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from subgen.errors import CheckpointInvalid, CheckpointMissing
from subgen.settings import Settings, state_folder

ENOUGH_FOR_CHECKPOINT_BYTES = 4_000_000_000
ENOUGH_FOR_NOTES_BYTES = 100_000_000


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
    device = list(_device())
    yield from device
    if device[0].ok:
        yield from _checkpoint(settings)
    yield _disk(state_folder(settings), ENOUGH_FOR_NOTES_BYTES, "subgen keeps its memory there")


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


def _checkpoint(settings: Settings) -> Iterator[Check]:
    from subgen.speech.voxtral.checkpoint import cached, download_folder, read_config, weight_files
    from subgen.speech.voxtral.tokens import Tokens

    try:
        folder = cached(settings.model, settings.revision)
    except CheckpointMissing as error:
        yield Check("checkpoint", False, error.message, error.way_out)
        return
    if folder is None:
        way_out = "the first run downloads it (the default one has 3.1 GB)"
        yield Check("checkpoint", None, f"{settings.model} is not on this machine", way_out)
        yield _disk(download_folder(), ENOUGH_FOR_CHECKPOINT_BYTES, "the default checkpoint needs 3.1 GB")
        return
    try:
        read_config(folder)
        Tokens.load(folder)
        weight_files(folder)
        yield Check("checkpoint", True, str(folder))
    except CheckpointInvalid as error:
        yield Check("checkpoint", False, error.message, error.way_out)


def _disk(folder: Path, enough_bytes: int, purpose: str) -> Check:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.0f} GB free at {folder}"
    return Check("disk", True, detail) if free >= enough_bytes else Check("disk", None, detail, purpose)
