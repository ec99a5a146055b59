"""The files that several tests read, made once."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import media_files as make

TIMES = [0.5 + n for n in range(10)]
"""Where the clicks of the shared sounds begin, in seconds."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def click_wav(folder: Path) -> Path:
    return make.write_wav(folder / "clicks.wav", make.clicks(TIMES, seconds=11))


@pytest.fixture(scope="session")
def films(folder: Path, click_wav: Path) -> dict[str, Path]:
    """A picture of 12 s with the clicks from 100 ms on, by container."""
    return {
        kind: make.mux(folder / f"film.{kind}", click_wav, video_seconds=12, audio_start_ms=100)
        for kind in ("mkv", "mp4", "ts")
    }


@pytest.fixture(scope="session")
def late_films(folder: Path, click_wav: Path) -> dict[str, Path]:
    """A picture of 18 s with the clicks from 4200 ms on, by container."""
    return {
        kind: make.mux(folder / f"late.{kind}", click_wav, video_seconds=18, audio_start_ms=4200)
        for kind in ("mkv", "mp4", "ts")
    }


@pytest.fixture(scope="session")
def tone_wav(folder: Path) -> Path:
    return make.write_wav(folder / "tone.wav", make.tone(seconds=3))


@pytest.fixture(scope="session")
def surround_wav(folder: Path) -> Path:
    """The tone of `tone_wav` in the centre of 5.1."""
    pcm = np.zeros((3 * make.RATE, 6), np.float32)
    pcm[:, 2] = make.tone(seconds=3)
    return make.write_wav(folder / "surround.wav", pcm)


Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """`program("ffmpeg", shell_script)` stands before the real one on the PATH."""

    def install(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return install
