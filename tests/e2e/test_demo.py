"""The whole path, judged by meaning: spoken videos, the sample checkpoint, subtitles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import srt

from subgen import transcribe
from subgen.cli import main
from subgen.model import Word
from subgen.testing import word_errors
from tests.media_files import ffmpeg, mux

ROOT = Path(__file__).parents[2]
TINY, DEMO = str(ROOT / "samples/tiny"), ROOT / "samples/demo.mkv"
SETTINGS = ROOT / "config/subgen.yaml"
TRUTH = json.loads((ROOT / "samples/demo.words.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `subgen transcribe samples/demo.mkv --model samples/tiny` writes, in every format."""
    out = tmp_path_factory.mktemp("out")
    arguments = [
        "transcribe",
        str(DEMO),
        "--model",
        TINY,
        "--output-dir",
        str(out),
        "--config",
        str(SETTINGS),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBGEN_STATE_DIR", str(out / "state"))
        status = main([*arguments, "--format", "srt,vtt,json,tokens"])
    assert status == 0
    return out


def heard(written: Path) -> list[Word]:
    words = json.loads((written / "demo.en.json").read_text("utf-8"))["words"]
    return [Word(w["text"], w["start_ms"], w["end_ms"]) for w in words]


def test_the_words_are_right(written: Path) -> None:
    errors, pairs = word_errors([w["text"] for w in TRUTH["words"]], [w.text for w in heard(written)])
    print(f"demo: {errors} wrong of {len(TRUTH['words'])} words")
    assert errors <= 0.05 * len(TRUTH["words"])
    assert len(pairs) > 100


def test_word_ends_are_within_a_frame(written: Path) -> None:
    words = heard(written)
    _, pairs = word_errors([w["text"] for w in TRUTH["words"]], [w.text for w in words])
    late = np.array([words[j].end_ms - TRUTH["words"][i]["end_ms"] for i, j in pairs])
    median, p90 = np.median(np.abs(late)), np.percentile(np.abs(late), 90)
    print(f"demo: word ends within {median:.0f} ms (median), {p90:.0f} ms (p90)")
    assert median <= 40
    assert p90 <= 100


def test_no_cue_is_early_by_the_start_offset(written: Path) -> None:
    cues = list(srt.parse((written / "demo.en.srt").read_text("utf-8")))
    starts = np.array([w["start_ms"] for w in TRUTH["words"]])
    assert len(cues) > 15
    first = cues[0].start.total_seconds() * 1000
    assert abs(first - starts[0]) < 250
    for cue in cues:  # every cue begins near the beginning of some word, and not in the music
        start = cue.start.total_seconds() * 1000
        assert np.abs(starts - start).min() < 500


def test_nothing_is_written_over_music(written: Path) -> None:
    assert not [w for w in heard(written) if w.start_ms > 39_500 and w.end_ms < 46_000]


def test_every_frame_is_accounted_for(written: Path) -> None:
    rows = [json.loads(line) for line in (written / "demo.en.tokens.jsonl").read_text("utf-8").splitlines()]
    frames = {row["frame"] for row in rows}
    content = json.loads((written / "demo.en.json").read_text("utf-8"))
    duration, account = content["duration_ms"], content["account"]
    assert account["skipped"] == []  # it is nowhere silent for 8 s
    assert account["decoded_frames"] == -(-duration // 80)
    assert set(range(-(-duration // 80))) <= frames


def test_every_word_is_covered_and_none_dropped(written: Path) -> None:
    account = json.loads((written / "demo.en.json").read_text("utf-8"))["account"]
    assert (account["uncovered"], account["over_silence"], account["looped"]) == ([], 0, 0)


def test_the_transcript_says_what_made_it(written: Path) -> None:
    content = json.loads((written / "demo.en.json").read_text("utf-8"))
    assert content["language"] == "en"
    assert content["engine"]["delay_ms"] == 2400
    assert content["duration_ms"] == pytest.approx(89_200, abs=100)
    assert (written / "demo.en.vtt").read_text("utf-8").startswith("WEBVTT")


def test_words_come_one_by_one_in_python(written: Path) -> None:
    words = transcribe(DEMO, model=TINY, environ={}, config=SETTINGS, state_dir=written / "state")
    first = next(iter(words))
    assert first.text == TRUTH["words"][0]["text"]
    transcript = words.transcript()
    assert transcript.language == "en"
    assert transcript.words[0] == first
    assert len(transcript.cues) > 15


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half of the demo's sound, alone, from its first word on."""
    target = tmp_path_factory.mktemp("speech") / "speech.wav"
    ffmpeg("-i", DEMO, "-map", "0:a", "-af", "asetpts=PTS-STARTPTS,atrim=0:36", "-ar", "48000", target)
    return target


@pytest.mark.parametrize("container", ["mkv", "mp4", "ts"])
def test_delayed_audio_shifts_words_by_the_delay(
    container: str, speech: Path, written: Path, tmp_path: Path
) -> None:
    """The same speech alone, and in a film whose audio starts at 4.2 s: all words 4.2 s later."""
    film = mux(tmp_path / f"film.{container}", speech, video_seconds=42, audio_start_ms=4200)
    state = written / "state"
    base = list(transcribe(speech, model=TINY, environ={}, config=SETTINGS, state_dir=state))
    moved = list(transcribe(film, model=TINY, environ={}, config=SETTINGS, state_dir=state))
    errors, pairs = word_errors([w.text for w in base], [w.text for w in moved])
    assert len(base) > 50
    assert errors <= 2
    shift = np.array([moved[j].end_ms - base[i].end_ms for i, j in pairs])
    print(f"{container}: words shift by {shift.mean():.0f} ms")
    # Ends lie on the grid of 80 ms, and 4.2 s is 52.5 frames: each word falls half a frame to one
    # side or the other, and all of them together say what the clock says.
    assert abs(shift.mean() - 4200) <= 20
    assert np.percentile(np.abs(shift - 4200), 95) <= 40
