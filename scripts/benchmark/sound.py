"""What is listened to: sound for random weights, and the sample's speech in any length."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import numpy as np

from scripts.benchmark.shapes import ROOT
from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.model import SAMPLE_RATE, Pcm
from tests.checkpoints import varied_sound

DEMO = ROOT / "samples/demo.mkv"
STRETCH_SECONDS = 60
"""Half-silent sound changes between speech and silence this often."""
SILENCE_LEVEL = 10 ** (-70 / 20)
VARIED_SECONDS = 60


def noise(seconds: float) -> Pcm:
    """Tones and noise that keep random weights busy; the same minute over and over."""
    return lasting(varied_sound(min(seconds, VARIED_SECONDS)), seconds)


def speech(seconds: float) -> Pcm:
    """The demo's speech, without the music that stands alone in it, over and over."""
    media = probe(DEMO)
    reader = AudioReader(media, media.audio[0])
    with reader:
        pcm = np.concatenate(list(reader))
    before_music, after_music = 39 * SAMPLE_RATE, 46 * SAMPLE_RATE
    return lasting(np.concatenate([pcm[:before_music], pcm[after_music:]]), seconds)


def half_silent(pcm: Pcm) -> Pcm:
    """`pcm` with every second minute replaced by faint noise."""
    stretches = np.arange(len(pcm)) // (STRETCH_SECONDS * SAMPLE_RATE)
    hush = np.random.default_rng(0).standard_normal(len(pcm), np.float32) * np.float32(SILENCE_LEVEL)
    return np.where(stretches % 2 == 0, pcm, hush).astype(np.float32)


def lasting(pcm: Pcm, seconds: float) -> Pcm:
    """`pcm` repeated and cut to `seconds`."""
    return np.resize(pcm, round(seconds * SAMPLE_RATE))


def write_wav(path: Path, pcm: Pcm) -> Path:
    """A mono file of 16 bits."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def write_film(path: Path, seconds: float) -> Path:
    """The demo film over and over, picture and sound as they are."""
    command = ["ffmpeg", "-v", "error", "-y", "-stream_loop", "-1", "-i", str(DEMO), "-t", str(seconds)]
    subprocess.run([*command, "-c", "copy", str(path)], check=True)
    return path
