"""The device, its BLAS, and the type that is computed in."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from subgen.speech.voxtral import cgroup
from subgen.speech.voxtral import checkpoint as checkpoints
from subgen.speech.voxtral import device as devices
from subgen.speech.voxtral.decoder import decode, delay_scales, new_caches
from subgen.speech.voxtral.device import Device, SlowBlasWarning
from subgen.speech.voxtral.encoder import EncoderState, encode
from tests.checkpoints import SMALL, random_weights, write_checkpoint


def refuse(name: str, mode: int = 0) -> None:
    raise OSError(f"{name}: cannot open shared object file (mode {mode})")


def test_no_library_no_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delitem(sys.modules, "mlx.core")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert devices.fast_blas.__wrapped__() is None


def test_mlx_that_came_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.warns(SlowBlasWarning, match="import subgen before mlx"):
        assert devices.fast_blas.__wrapped__() is None


def test_without_a_fast_blas_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if mx.default_device() != mx.Device(mx.cpu):
        pytest.skip("a GPU needs no BLAS")
    monkeypatch.setattr(devices, "fast_blas", lambda: None)
    with pytest.warns(SlowBlasWarning, match="apt-get install libopenblas0"):
        found = devices.device.__wrapped__()
    assert str(found) == "cpu (reference BLAS)"


def test_blas_is_loaded_before_mlx() -> None:
    """In a fresh process: whatever module of the package comes first, BLAS is there before MLX."""
    code = (
        "import ctypes, sys; real = ctypes.CDLL\n"
        "def spy(name, *a, **k):\n"
        "    if name and 'blas' in str(name): print('mlx.core' in sys.modules)\n"
        "    return real(name, *a, **k)\n"
        "ctypes.CDLL = spy\n"
        "import subgen.speech.voxtral.engine\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert sys.platform != "linux" or printed.split()[0] == "False"


@pytest.mark.parametrize(("kind", "expected"), [("metal", mx.bfloat16), ("cpu", mx.float32)])
def test_all_is_computed_in_the_type_of_the_weights(
    kind: str, expected: mx.Dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16-bit weights stay so on a GPU, up to the logits; on a CPU they are widened at load."""
    monkeypatch.setattr(checkpoints, "device", lambda: Device(kind, None))
    write_checkpoint(tmp_path)
    halves = {name: value.astype(mx.bfloat16) for name, value in random_weights(SMALL, 0).items()}
    mx.save_safetensors(str(tmp_path / "model.safetensors"), halves)
    model = checkpoints.load(str(tmp_path)).model
    mel = mx.zeros((2, 16, 128))
    audio = encode(model.encoder, mel, EncoderState(model.encoder, 2))
    logits = decode(
        model.decoder,
        audio,
        mx.array([[1, 32]] * 2),
        delay_scales(model.decoder, 6),
        new_caches(model.decoder),
    )
    assert audio.dtype == expected
    assert logits.dtype == expected


def test_a_bias_by_delay_lies_beside_the_weights(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    assert checkpoints.load(str(tmp_path)).bias_ms(2400) == -40
    (tmp_path / "calibration.json").write_text('{"bias_ms": {"2400": -55}}')
    loaded = checkpoints.load(str(tmp_path))
    assert (loaded.bias_ms(2400), loaded.bias_ms(480)) == (-55, -40)


def test_group_size_and_bits_follow_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration may say what it likes of layers that the file holds otherwise."""
    write_checkpoint(tmp_path, bits=8)
    config = tmp_path / "config.json"
    config.write_text(
        config.read_text().replace('"bits": 8', '"bits": 4').replace('"group_size": 32', '"group_size": 64')
    )
    monkeypatch.setattr(checkpoints, "device", lambda: Device("metal", None))
    layer = checkpoints.load(str(tmp_path)).model.decoder.layers[0]
    assert (layer.attention.wq.bits, layer.attention.wq.group_size) == (8, 32)
    assert not hasattr(layer.ada_rms_norm_t_cond.ada_down, "scales")


def test_memory_that_can_be_taken_is_known() -> None:
    assert np.log2(devices.available_bytes()) > 25


def test_a_control_group_may_leave_less_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("control groups are Linux's")
    monkeypatch.setattr(cgroup, "headroom_bytes", lambda: 12_345)
    assert devices.available_bytes() == 12_345


@pytest.mark.parametrize(
    ("kind", "told", "limit"),
    [
        ("metal", {"max_recommended_working_set_size": 700, "memory_size": 1000}, 700),
        ("cuda", {"free_memory": 600, "total_memory": 1000}, 600),
        ("cuda", {"device_name": "unknown"}, None),
    ],
)
def test_a_gpu_tells_its_memory_or_nothing(
    kind: str, told: dict[str, int], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "device", lambda: Device(kind, None))
    monkeypatch.setattr(mx, "device_info", lambda: told)
    assert devices.memory_limit_bytes() == limit


def test_a_cpu_tells_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "device", lambda: Device("cpu", None))
    monkeypatch.setattr(devices, "available_bytes", lambda: 4321)
    assert devices.memory_limit_bytes() == 4321
    monkeypatch.setattr(devices, "available_bytes", lambda: 0)
    assert devices.memory_limit_bytes() is None


@pytest.mark.parametrize(("rates", "expected"), [({256: 3.0}, 3.0), ({256: 90.0, 1024: 150.0}, 150.0)])
def test_a_slow_machine_is_not_asked_for_a_large_product(
    rates: dict[int, float], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_product_gflops", lambda size, _: rates[size])
    assert devices.product_gflops.__wrapped__() == expected


def test_products_take_time() -> None:
    assert 0 < devices.product_gflops() < 1e6


def quantised(weight: mx.array) -> nn.QuantizedLinear:
    linear = nn.Linear(1, 1, bias=False)
    linear.weight = weight
    return linear.to_quantized(group_size=32, bits=8)


def test_the_delay_counts_where_its_layers_are_quantised(tmp_path: Path) -> None:
    """A quantised layer's weights are packed integers; the delay must not be cast to that type."""
    write_checkpoint(tmp_path)
    decoder = checkpoints.load(str(tmp_path)).model.decoder
    full = [np.array(scale) for scale in delay_scales(decoder, 6)]
    for layer in decoder.layers:
        ada = layer.ada_rms_norm_t_cond
        ada.ada_down, ada.ada_up = (quantised(m.weight) for m in (ada.ada_down, ada.ada_up))
    for exact, rough in zip(full, delay_scales(decoder, 6), strict=True):
        assert np.abs(exact - 1).max() > 0.1
        assert np.abs(np.array(rough) - exact).max() < 0.05 * np.abs(exact).max()
