"""However much memory there is, the modules compute what mlx-audio's would with the same file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_audio.stt.models.voxtral_realtime.decoder import compute_time_embedding

from subgen.errors import CheckpointInvalid, EngineError
from subgen.speech.voxtral import checkpoint as checkpoints
from subgen.speech.voxtral import headers, memory, weights
from subgen.speech.voxtral.checkpoint import load, read_config, weight_files
from subgen.speech.voxtral.device import Device
from subgen.speech.voxtral.layers import Packed, Widened
from tests.checkpoints import MEDIUM, SMALL, Shape, random_weights, write_checkpoint

ROOM = 1 << 40
CASES = {
    "small, 4 bits": (SMALL, 4, False, mx.float32),
    "small, 8 bits, embeddings too": (SMALL, 8, True, mx.float32),
    "small, 8 bits, 16-bit rest": (SMALL, 8, False, mx.bfloat16),
    "small, 16 bits": (SMALL, None, False, mx.float16),
    "small, 32 bits": (SMALL, None, False, mx.float32),
    "medium, 4 bits, embeddings too": (MEDIUM, 4, True, mx.float32),
    "medium, 4 bits, 16-bit rest": (MEDIUM, 4, False, mx.bfloat16),
    "medium, 8 bits": (MEDIUM, 8, False, mx.float32),
}


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "device", lambda: Device("cpu", None))


@pytest.fixture(scope="module", params=CASES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    shape, bits, embeddings, dtype = CASES[request.param]
    made = write_checkpoint(tmp_path_factory.mktemp("weights"), shape, bits=bits, embeddings=embeddings)
    store_as(made, dtype)
    yield made


def store_as(folder: Path, dtype: mx.Dtype) -> None:
    """Change the type of all that is not packed."""
    file = str(folder / "model.safetensors")
    arrays: Any = mx.load(file)
    arrays = {name: a.astype(dtype) if a.dtype == mx.float32 else a for name, a in arrays.items()}
    mx.eval(arrays)
    mx.save_safetensors(file, arrays)


def as_stored(folder: Path) -> Any:
    """mlx-audio's modules with the weights of the file; quantised layers stay so."""
    (file,) = weight_files(folder)
    arrays: Any = mx.load(str(file))
    config = read_config(folder)
    model = weights.skeleton(config)
    weights.fill(model, arrays, config)
    weights.read_as_stored(model)
    return model


def logits(model: Any, steps: int = 12) -> np.ndarray[Any, Any]:
    """mlx-audio's own forward pass over a sound and tokens, in float32, [steps, vocabulary]."""
    rng = np.random.default_rng(7)
    mel = mx.array(rng.uniform(-1, 1, (128, 8 * steps)).astype(np.float32))
    tokens = mx.array(rng.integers(0, 1200, steps))
    condition = compute_time_embedding(6.0, model.decoder.config.dim)
    model.decoder.precompute_ada_scales(condition)
    embedded = model.encoder(mel) + model.decoder.embed_tokens(tokens)
    hidden, _ = model.decoder.forward(embedded)
    return np.array(model.decoder.logits(hidden).astype(mx.float32))


@pytest.mark.parametrize("share", [0, 0.5, ROOM], ids=["packed", "half", "widened"])
@pytest.mark.parametrize("steps", [1, 12])
def test_logits_equal_mlx_audios(folder: Path, share: float, steps: int) -> None:
    """One step takes MLX's quantised product even where layers are packed, several are unpacked."""
    expected = logits(as_stored(folder), steps)
    full = load(str(folder), budget_bytes=ROOM)
    loaded = load(str(folder), budget_bytes=int(share * full.memory_bytes))
    got = logits(loaded.model, steps)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
    assert expected.std() > 0.1


def test_all_is_widened_where_there_is_room(folder: Path) -> None:
    loaded = load(str(folder), budget_bytes=ROOM)
    assert loaded.packed_layers == 0
    assert loaded.memory_bytes == 4 * (loaded.parameters.decoder + loaded.parameters.encoder)


def test_nothing_is_widened_where_there_is_none(folder: Path) -> None:
    loaded = load(str(folder), budget_bytes=0)
    full = load(str(folder), budget_bytes=ROOM)
    stored = sum(t.size_bytes for t in headers.tensors(weight_files(folder)).values())
    kinds = [m for m in loaded.model.modules() if isinstance(m, (Packed, Widened))]
    # What is in float32 already takes no more room to be laid out for products.
    wide = [m for m in kinds if isinstance(m, Widened)]
    assert loaded.packed_layers == len(kinds) - len(wide)
    assert loaded.memory_bytes <= full.memory_bytes
    assert loaded.memory_bytes < 1.2 * stored + 200_000  # norms and convolutions are widened always


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_the_budget_is_kept_and_used(tmp_path: Path, share: float) -> None:
    write_checkpoint(tmp_path, MEDIUM, bits=4)
    store_as(tmp_path, mx.bfloat16)
    full = load(str(tmp_path), budget_bytes=ROOM).memory_bytes
    budget = int(share * full)
    loaded = load(str(tmp_path), budget_bytes=budget)
    assert loaded.memory_bytes <= budget
    smallest = min(4 * int(np.prod(p.shape)) for p in weights.packed_layers(loaded.model))
    assert budget - loaded.memory_bytes < smallest
    assert loaded.memory_bytes == weights.resident_bytes(loaded.model)
    assert 0 < loaded.packed_layers == len(weights.packed_layers(loaded.model))


def test_the_decoder_comes_first(tmp_path: Path) -> None:
    """Its weights are read at each step, the encoder's once for many."""
    write_checkpoint(tmp_path, MEDIUM, bits=4, embeddings=True)
    least = load(str(tmp_path), budget_bytes=0)
    full = load(str(tmp_path), budget_bytes=ROOM)
    embedding = 4 * MEDIUM.vocabulary * MEDIUM.width
    some = load(str(tmp_path), budget_bytes=least.memory_bytes + embedding).model
    assert isinstance(some.decoder.tok_embeddings, Widened)
    assert isinstance(some.decoder.layers[-1].feed_forward_w2, Packed)
    most = load(str(tmp_path), budget_bytes=full.memory_bytes - 1).model
    assert weights.count_packed(most).decoder == 0
    assert weights.count_packed(most).encoder > 0


def test_loading_holds_one_matrix_beside_the_weights(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, MEDIUM)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    loaded = load(str(tmp_path), budget_bytes=ROOM)
    largest = 4 * MEDIUM.vocabulary * MEDIUM.width
    assert mx.get_peak_memory() - before < loaded.memory_bytes + 2.5 * largest < 1.7 * loaded.memory_bytes


def test_packed_layers_are_not_all_unpacked_at_a_time(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, MEDIUM)
    store_as(tmp_path, mx.bfloat16)
    model = load(str(tmp_path), budget_bytes=0).model
    logits(model)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    logits(model)
    wide = 4 * sum(int(np.prod(p.shape)) for p in weights.packed_layers(model))
    assert mx.get_peak_memory() - before < 0.5 * wide


def test_parameters_are_counted_by_part(tmp_path: Path) -> None:
    loaded = load(str(write_checkpoint(tmp_path, bits=4, embeddings=True)))
    sizes = {name: value.size for name, value in random_weights(SMALL, 0).items()}
    assert loaded.parameters.decoder == sum(v for k, v in sizes.items() if k.startswith("decoder."))
    assert loaded.parameters.encoder == sum(v for k, v in sizes.items() if k.startswith("encoder."))


def test_a_gpu_gets_the_weights_as_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "device", lambda: Device("cuda", None))
    write_checkpoint(tmp_path, bits=4)
    loaded = load(str(tmp_path))
    stored = sum(t.size_bytes for t in headers.tensors(weight_files(tmp_path)).values())
    assert (loaded.memory_bytes, loaded.packed_layers) == (stored, 0)


def test_a_machine_too_small_is_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path)
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: 200_000_000)
    monkeypatch.setattr(mx, "load", None)
    with pytest.raises(EngineError, match=r"needs 0\.\d GB of memory, and 0\.2 GB are free"):
        load(str(tmp_path))


def test_little_memory_packs_and_does_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for one lane, and not for the lanes that are asked for."""
    write_checkpoint(tmp_path, bits=4, embeddings=True)
    config = weights.skeleton(read_config(tmp_path)).config
    needed = memory.memory_needed(config, headers.tensors(weight_files(tmp_path)))
    for name in ("memory_limit_bytes", "available_bytes"):
        monkeypatch.setattr(memory, name, lambda: needed)
    assert load(str(tmp_path), lanes=500).packed_layers > 40
    assert load(str(tmp_path), lanes=1).packed_layers < 60


def test_the_identity_is_that_of_configuration_and_weights(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    first = load(str(tmp_path)).identity
    assert len(first) == 16
    (tmp_path / "calibration.json").write_text('{"bias_ms": {}}')
    assert load(str(tmp_path)).identity == first
    other = [
        load(str(write_checkpoint(tmp_path / "bits", bits=4))).identity,
        load(str(write_checkpoint(tmp_path / "shape", Shape(hidden=160)))).identity,
    ]
    (tmp_path / "model.safetensors").rename(tmp_path / "weights.safetensors")
    assert len({first, *other, load(str(tmp_path)).identity}) == 4


def test_a_file_cut_short_in_its_data_is_broken(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointInvalid, match="10 bytes are missing"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"\x05\0\0\0\0\0\0\0[1,2]", b"\x02\0\0\0\0\0\0\0x]", b"\xff" * 20], ids=repr
)
def test_what_is_no_weights_file_is_broken(tmp_path: Path, content: bytes) -> None:
    (write_checkpoint(tmp_path) / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointInvalid, match="broken"):
        load(str(tmp_path))
