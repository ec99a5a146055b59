"""The sample checkpoint hears music and speech over music, through the whole path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from subgen.listening import Hearing, Listening
from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.media.tracks import choose_track
from subgen.model import FRAME_SAMPLES, SAMPLE_RATE, Pcm
from subgen.speech.voxtral.checkpoint import load
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.testing import word_errors
from tests.media_files import write_wav

SAMPLES = Path(__file__).parents[2] / "samples"
TRUTH = [w["text"] for w in json.loads((SAMPLES / "demo.words.json").read_text("utf-8"))["words"]]


@pytest.fixture(scope="module")
def engine() -> Iterator[VoxtralEngine]:
    made = VoxtralEngine(load(str(SAMPLES / "tiny")), lanes=8)
    yield made
    made.close()


def demo() -> Pcm:
    media = probe(SAMPLES / "demo.mkv")
    with AudioReader(media, media.audio[0]) as reader:
        return np.concatenate(list(reader))


def chords(seconds: float, level: float) -> Pcm:
    """Four plucked notes at a time, another chord every second."""
    rng = np.random.default_rng(7)
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    bars = []
    for _ in range(int(np.ceil(seconds))):
        notes = 110 * 2 ** (rng.choice(24, 4, replace=False) / 12)
        bars.append(sum(np.exp(-3 * t) * np.sin(2 * np.pi * note * t) for note in notes))
    pcm = np.concatenate(bars)[: int(seconds * SAMPLE_RATE)]
    return np.asarray(pcm / np.abs(pcm).max() * level, np.float32)


def listened(folder: Path, pcm: Pcm, engine: VoxtralEngine, hearing: Hearing) -> Listening:
    media = probe(write_wav(folder / "sound.wav", pcm, rate=SAMPLE_RATE))
    listening = Listening(media, choose_track(media), engine, hearing)
    for _ in listening:
        pass
    return listening


@pytest.mark.parametrize("skip", [8, None], ids=["skipped", "decoded"])
def test_music_has_no_words(tmp_path: Path, engine: VoxtralEngine, skip: int | None) -> None:
    heard = listened(tmp_path, chords(45, 0.3), engine, Hearing(skip_silence_seconds=skip))
    assert heard.words == []
    assert heard.account.uncovered == ()
    assert bool(heard.account.skipped) == (skip is not None)


def test_speech_and_then_music_costs_no_more_than_the_speech(tmp_path: Path, engine: VoxtralEngine) -> None:
    """Half of it is music: half of the frames are decoded, and every frame is accounted for."""
    speech = demo()
    heard = listened(
        tmp_path, np.concatenate([speech, chords(len(speech) / SAMPLE_RATE, 0.3)]), engine, Hearing()
    )
    assert word_errors(TRUTH, [word.text for word in heard.words])[0] == 0
    account, frames = heard.account, -(-2 * len(speech) // FRAME_SAMPLES)
    assert account.decoded_frames < 0.53 * frames
    skipped = sum(span.duration_ms for span in account.skipped)
    assert account.decoded_frames * 80 + skipped == pytest.approx(frames * 80, abs=80)


def test_speech_over_quiet_music_keeps_its_words(tmp_path: Path, engine: VoxtralEngine) -> None:
    speech = demo()
    heard = listened(tmp_path, speech + chords(len(speech) / SAMPLE_RATE, 0.02), engine, Hearing())
    errors = word_errors(TRUTH, [word.text for word in heard.words])[0]
    print(f"{errors} of {len(TRUTH)} words wrong over quiet music; {heard.account}")
    assert errors <= 0.1 * len(TRUTH)
    assert heard.account.over_silence == heard.account.looped == 0
