"""What is said about speed before a long wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from subgen.speech.voxtral import estimate
from subgen.speech.voxtral.checkpoint import load
from subgen.speech.voxtral.estimate import note, operations_per_s, realtime
from subgen.speech.voxtral.weights import Counts, count, skeleton
from tests.checkpoints import SMALL, write_checkpoint

FULL = count(skeleton({"model_type": "voxtral_realtime", "encoder_args": {}, "decoder": {}}))


def test_the_4_b_model_has_its_parameters_and_operations() -> None:
    assert 3.4e9 < FULL.decoder < 3.45e9
    assert 0.96e9 < FULL.encoder < 1.01e9
    assert operations_per_s(FULL) == pytest.approx(183e9, rel=0.03)


def test_rate_in_rate_out() -> None:
    assert realtime(235, FULL) == pytest.approx(0.76, rel=0.03)
    assert realtime(470, FULL) == pytest.approx(2 * realtime(235, FULL))


def test_packed_layers_cost_time_that_lanes_share() -> None:
    wide, few, many = realtime(235, FULL), realtime(235, FULL, FULL, 4), realtime(235, FULL, FULL, 64)
    assert few < many < wide
    assert realtime(235, FULL, Counts(0, FULL.encoder), 4) > 0.9 * wide


def test_a_configuration_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "product_gflops", lambda: 100.0)
    checkpoint = load(str(write_checkpoint(tmp_path)), budget_bytes=1 << 40)
    from_config = estimate.expected_realtime(SMALL.config())
    assert from_config == pytest.approx(estimate.expected_realtime(checkpoint))
    assert from_config == pytest.approx(0.6 * 100e9 / operations_per_s(checkpoint.parameters))


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (0.7, "about 0.7x real time on this processor: a 2-hour film takes about 3 hours"),
        (0.123, "about 0.12x real time on this processor: a 2-hour film takes about 16 hours"),
        (3.04, "about 3x real time on this processor: a 2-hour film takes about 39 minutes"),
        (334, "about 334x real time on this processor: a 2-hour film takes about 1 minute"),
    ],
)
def test_the_note_is_plain(factor: float, text: str) -> None:
    assert note(factor, 0) == text
    assert (
        note(factor, 12) == text + "; 12 layers found no room to be unpacked for good: more memory would help"
    )


def test_a_checkpoint_has_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "product_gflops", lambda: 0.01)
    checkpoint = load(str(write_checkpoint(tmp_path)), budget_bytes=1 << 40)
    assert "x real time" in estimate.speed_note(checkpoint)
