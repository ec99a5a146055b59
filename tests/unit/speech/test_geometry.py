"""The arithmetic of MODEL.md, and that times come out right on audio with known onsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgen.errors import IllegalDelay
from subgen.model import LEGAL_DELAYS_MS
from subgen.speech.voxtral.geometry import Geometry


@pytest.mark.parametrize(("delay_ms", "prompt"), [(80, 34), (480, 39), (960, 45), (2400, 63)])
def test_prompt_is_33_frames_and_the_delay(delay_ms: int, prompt: int) -> None:
    assert Geometry.of_delay(delay_ms).prompt_frames == prompt


def test_a_second_of_audio_at_480_ms() -> None:
    geometry = Geometry.of_delay(480)
    assert geometry.audio_frames(16_000) == 13  # 12.5, filled up
    assert geometry.total_frames(16_000) == 32 + 13 + 6 + 11
    assert geometry.token_count(16_000) == 13 + 11


@given(samples=st.integers(0, 10**8), delay_ms=st.sampled_from(LEGAL_DELAYS_MS))
def test_as_many_tokens_as_frames_and_tail_whatever_the_delay(samples: int, delay_ms: int) -> None:
    geometry = Geometry.of_delay(delay_ms)
    assert geometry.token_count(samples) == geometry.audio_frames(samples) + 11


@given(st.integers(-100, 5000).filter(lambda ms: ms not in LEGAL_DELAYS_MS))
def test_other_delays_are_refused(delay_ms: int) -> None:
    with pytest.raises(IllegalDelay):
        Geometry.of_delay(delay_ms)


def test_the_legal_delays() -> None:
    assert LEGAL_DELAYS_MS == (
        80,
        160,
        240,
        320,
        400,
        480,
        560,
        640,
        720,
        800,
        880,
        960,
        1040,
        1120,
        1200,
        2400,
    )
