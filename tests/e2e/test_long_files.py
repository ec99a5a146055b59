"""Any length: memory does not grow with the file, and nothing decays. Minutes, so `--all` only."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from subgen.model import Word
from subgen.testing import word_errors
from tests.media_files import ffmpeg

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TINY, DEMO = str(ROOT / "samples/tiny"), ROOT / "samples/demo.mkv"
TRUTH = [w["text"] for w in json.loads((ROOT / "samples/demo.words.json").read_text("utf-8"))["words"]]
LIMIT_MB = 300
LANES = "8"  # with the usual number a short file has them not all busy
LOOP_S = 87


def looped(folder: Path, loops: int) -> Path:
    """The demo's sound, over and over."""
    once, film = folder / "once.flac", folder / f"{loops}.flac"
    ffmpeg("-i", DEMO, "-map", "0:a", "-af", f"asetpts=PTS-STARTPTS,atrim=0:{LOOP_S}", once)
    ffmpeg("-stream_loop", str(loops - 1), "-i", once, "-c:a", "flac", film)
    return film


def transcribed(film: Path) -> tuple[float, list[Word]]:
    """Peak memory in MB of a run over `film`, and the words it wrote."""
    arguments = [
        "-m",
        "subgen",
        "transcribe",
        str(film),
        "--model",
        TINY,
        "--format",
        "json",
        "--language",
        "en",
    ]
    environment = {**os.environ, "SUBGEN_STATE_DIR": str(film.parent / "state"), "SUBGEN_LANES": LANES}
    pid = os.spawnve(os.P_NOWAIT, sys.executable, [sys.executable, *arguments], environment)
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    content = json.loads(film.with_name(f"{film.stem}.en.json").read_text("utf-8"))
    assert content["duration_ms"] == pytest.approx(int(film.stem) * LOOP_S * 1000, abs=500)
    return usage.ru_maxrss * scale / 1e6, [
        Word(w["text"], w["start_ms"], w["end_ms"]) for w in content["words"]
    ]


def errors_in_loop(words: list[Word], number: int) -> int:
    first, last = number * LOOP_S * 1000, (number + 1) * LOOP_S * 1000
    return word_errors(TRUTH, [w.text for w in words if first <= w.start_ms < last])[0]


def test_an_hour_takes_no_more_memory_than_five_minutes(tmp_path: Path) -> None:
    short, _ = transcribed(looped(tmp_path, 4))
    long, words = transcribed(looped(tmp_path, 42))
    print(f"peak memory: {short:.0f} MB for 5.8 minutes, {long:.0f} MB for 61 minutes")
    assert long - short < LIMIT_MB
    errors = [errors_in_loop(words, number) for number in range(42)]
    print(f"word errors of {len(TRUTH)} in each loop: {errors}")
    assert sum(errors[-10:]) <= sum(errors[:10]) + 0.02 * 10 * len(TRUTH)
    assert sum(errors) <= 0.06 * 42 * len(TRUTH)
