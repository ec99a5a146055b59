"""What subgen needs on this machine, tried one by one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from subgen.errors import CheckpointInvalid, CheckpointMissing
from subgen.settings import Settings, speeds_file, state_folder

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


def speed_table(settings: Settings) -> Iterator[str]:
    """Try the machine's speed with the checkpoint, and remember it; the lines of a table."""
    from subgen.speech.voxtral.checkpoint import load
    from subgen.speech.voxtral.engine import VoxtralEngine

    engine = VoxtralEngine(
        load(settings.model, settings.revision),
        delay_ms=settings.delay_ms,
        chunk_seconds=settings.chunk_seconds,
        cache_bits=settings.cache_bits,
        speeds=speeds_file(settings),
    )
    speed = engine.measure()
    yield f"{'lanes':>5}  {'chunk':>5}  {'cache':>7}  {'a pass':>9}  decoding"
    for rung in speed.ladder:
        chosen = (rung.lanes, rung.chunk_seconds, rung.cache_bits) == (
            speed.lanes,
            speed.chunk_seconds,
            speed.cache_bits,
        )
        yield (
            f"{rung.lanes:5}  {rung.chunk_seconds:3} s  {rung.cache_bits:2} bits  {rung.step_ms:6.1f} ms"
            f"  {rung.realtime:6.1f} x real time{'  <- chosen' if chosen else ''}"
        )
    yield f"encoding {speed.encode_realtime:.1f} x real time, both together {speed.realtime:.1f} x"


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
