"""A checkpoint on the disk or the hub -> modules with weights.

    load("samples/tiny").model

The classes are mlx-audio's, so every conversion that mlx-audio reads is read here. What a file
holds decides: a layer is quantised where the file has `.scales` for it, and its group size and
bits follow from the shapes; the adapter is as wide as the decoder. How the weights lie in memory
is settled in `weights.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx

from subgen.errors import CheckpointInvalid, CheckpointMissing, EngineError
from subgen.model import FRAME_MS
from subgen.speech.voxtral import headers, weights
from subgen.speech.voxtral.device import device
from subgen.speech.voxtral.memory import RESERVED_LANES, check_memory, weights_budget
from subgen.speech.voxtral.tokens import Tokens

DEFAULT_MODEL = "mlx-community/Voxtral-Mini-4B-Realtime-2602-4bit"
DEFAULT_REVISION = "fdebf7b2af834a1db4b8a3c99ab7480b333adf9e"
FILES = ["config.json", "*.safetensors", "model.safetensors.index.json", "tekken.json", "calibration.json"]
MIDDLE_OF_FRAME_MS = -FRAME_MS // 2
"""Where the end of a word is put when a checkpoint has no calibration: training rounds ends up to
the end of a frame, so the middle of the frame is the best guess."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Modules and vocabulary. `calibration` maps a delay in ms to a bias in ms.

    `identity` is a short hash of the configuration and the weight files' headers; the weights take
    `memory_bytes`, of them `packed_layers` linear layers that are widened on each use.
    """

    name: str
    model: Any  # mlx_audio.stt.models.voxtral_realtime.Model
    tokens: Tokens
    calibration: dict[int, int]
    identity: str = ""
    parameters: weights.Counts = weights.NONE
    memory_bytes: int = 0
    packed_layers: int = 0

    def bias_ms(self, delay_ms: int) -> int:
        """What to add to the end of frame k for the end of a word announced in it."""
        return self.calibration.get(delay_ms, MIDDLE_OF_FRAME_MS)


def load(
    model: str,
    revision: str | None = None,
    *,
    lanes: int = RESERVED_LANES,
    budget_bytes: int | None = None,
) -> Checkpoint:
    """Load a folder, or a repository of the hub (downloaded once).

    On a CPU the weights are widened as far as `budget_bytes` allow (None: what is free, less the
    room that `lanes` need). Raises `CheckpointMissing` where there is nothing to load,
    `CheckpointInvalid` where it is not a Voxtral Realtime checkpoint, and `EngineError` before
    anything is loaded where the machine is too small.
    """
    folder = locate(model, revision)
    config, files = read_config(folder), weight_files(folder)
    tokens, stored = Tokens.load(folder), headers.tensors(files)
    with _misfits_named(folder):
        modules = weights.skeleton(config)
        parameters = weights.count(modules)
        check_memory(folder, modules.config, stored)
        weights.fill(modules, _lazy(files), config)
    _read(folder, modules, weights_budget(modules.config, lanes) if budget_bytes is None else budget_bytes)
    return Checkpoint(
        model,
        modules,
        tokens,
        _calibration(folder),
        identity=headers.identity(folder / "config.json", files),
        parameters=parameters,
        memory_bytes=weights.resident_bytes(modules),
        packed_layers=len(weights.packed_layers(modules)),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json; raise `CheckpointInvalid` where it is not one of this model."""
    path = folder / "config.json"
    config = _read_json(path)
    if config.get("model_type") != "voxtral_realtime":
        raise CheckpointInvalid(
            f"{path}: model_type is {config.get('model_type')!r}, not 'voxtral_realtime'",
            f"use a conversion such as {DEFAULT_MODEL}",
        )
    return config


def locate(model: str, revision: str | None = None) -> Path:
    """The folder of `model`, after a download where it is a repository not yet on this machine."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    _check_hub_id(model)
    return _download(model, _pinned(model, revision))


def _pinned(model: str, revision: str | None) -> str | None:
    return revision or (DEFAULT_REVISION if model == DEFAULT_MODEL else None)


def _check_hub_id(model: str) -> None:
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        way_out = "give a folder or a hub id such as " + DEFAULT_MODEL
        raise CheckpointMissing(f"{model}: no such folder", way_out)


def cached(model: str, revision: str | None = None) -> Path | None:
    """The folder of `model` if it is on this machine, without asking the network.

    Raises `CheckpointMissing` for what is neither a folder nor can be a hub id.
    """
    if Path(model).expanduser().is_dir():
        return Path(model).expanduser()
    _check_hub_id(model)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json", revision=_pinned(model, revision))
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def download_folder() -> Path:
    """Where downloads are kept: the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _download(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()  # its retries are no news: one line says how it ended
    by_hand = "put config.json, model.safetensors and tekken.json into a folder and use --model FOLDER"
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=FILES))
    except HFValidationError as error:
        raise CheckpointMissing(f"{model}: neither a folder nor a hub id", by_hand) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointMissing(
            f"{model}: no such folder, not downloaded yet, and the hub cannot be reached", by_hand
        ) from error
    except Exception as error:  # a request's edge: its HTTP library is another from version to version
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointMissing(
            f"{model}: the download failed ({reason})", f"try again, or {by_hand}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointInvalid(
            f"{path.parent}: no readable {path.name} ({error.strerror})", "is this a checkpoint's folder?"
        ) from error
    except ValueError as error:
        raise CheckpointInvalid(f"{path}: not JSON ({error})", "download the checkpoint again") from error
    if not isinstance(content, dict):
        raise CheckpointInvalid(f"{path}: not a JSON object", "download the checkpoint again")
    return content


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights; raise `CheckpointInvalid` where there are none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointInvalid(f"{folder}: no .safetensors file", "download the checkpoint again")
    return files


def _lazy(files: Sequence[Path]) -> dict[str, mx.array]:
    """All arrays; none is read before it is used."""
    found: dict[str, mx.array] = {}
    for file in files:
        try:
            found |= cast("dict[str, mx.array]", mx.load(str(file)))
        except (RuntimeError, ValueError) as error:
            raise CheckpointInvalid(f"{file}: broken ({error})", "download the checkpoint again") from error
    return found


def _calibration(folder: Path) -> dict[int, int]:
    path = folder / "calibration.json"
    if not path.exists():
        return {}
    try:
        return {int(delay): int(bias) for delay, bias in _read_json(path)["bias_ms"].items()}
    except (KeyError, ValueError, AttributeError) as error:
        raise CheckpointInvalid(
            f"{path}: no bias_ms by delay in it", "remove the file or calibrate again"
        ) from error


@contextmanager
def _misfits_named(folder: Path) -> Iterator[None]:
    """Turn what mlx-audio raises for an odd configuration into `CheckpointInvalid`."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointInvalid(
            f"{folder}: the weights do not fit the configuration ({reason})", "download the checkpoint again"
        ) from error


def _read(folder: Path, modules: Any, budget_bytes: int | None) -> None:
    try:
        if device().is_cpu:
            weights.read_widened(modules, budget_bytes)
        else:
            weights.read_as_stored(modules)
    except RuntimeError as error:
        raise EngineError(
            f"{folder}: the weights do not fit into memory ({error})", "use a smaller one"
        ) from error
