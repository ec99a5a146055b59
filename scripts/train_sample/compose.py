"""Training clips, composed on the fly from the bank: sentences, gaps, gain, noise, music."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from . import sounds
from .sentences import WORDS
from .tokens import BOS, PAD, WORD, Encoder

FRAME = 1280
LEFT, RIGHT = 32, 11  # frames of zeros before the audio; after it (and the delay's)
DELAYS = [*range(1, 16), 30]  # in frames: 80 to 1200 ms, and 2400 ms
_DELAY_ODDS = np.array([0.55 / 14 if d not in (6, 30) else 0.17 if d == 6 else 0.28 for d in DELAYS])
WORD_IDS = {w: i + 1 for i, w in enumerate(WORDS)}
Pcm = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """`words`: (text, end_sample), in the order of their ends."""

    pcm: Pcm
    words: list[tuple[str, int]]


@dataclass(frozen=True)
class Batch:
    """`pcm` [B, T * 1280]; `tokens`, `targets` (-100: not judged) and `spotted` [B, T]; `delay` [B]."""

    pcm: Pcm
    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    spotted: NDArray[np.int64]
    delay: NDArray[np.int64]


class Composer:
    """Clips and batches; number n is the same whenever it is asked for."""

    def __init__(self, folder: Path, encoder: Encoder, positions: int, seed: int = 0) -> None:
        self.bank: list[dict[str, Any]] = json.loads((folder / "bank.json").read_text("utf-8"))
        self.pcm = np.memmap(folder / "bank.pcm", np.int16, "r")
        self.encoder, self.positions, self.seed = encoder, positions, seed
        rng = np.random.default_rng(seed)
        samples = positions * FRAME
        kinds = [
            ("noise", 90),
            ("clicks", 12),
            ("tones", 30),
            ("additive", 70),
            ("fm", 40),
            ("formant", 30),
            ("synth", 50),
        ]
        self.beds = {
            name: [(sounds.TRAINED[name](rng, samples) * 32767).astype(np.int16) for _ in range(n)]
            for name, n in kinds
        }

    def batch(self, number: int, size: int) -> Batch:
        rng = np.random.default_rng([self.seed, number])
        length = self.positions
        delay = rng.choice(DELAYS, size=size, p=_DELAY_ODDS / _DELAY_ODDS.sum())
        pcm = np.zeros((size, length * FRAME), np.float32)
        tokens = np.full((size, length), PAD, np.int64)
        targets = np.full((size, length), -100, np.int64)
        spotted = np.zeros((size, length), np.int64)
        for i in range(size):
            frames = length - LEFT - RIGHT - int(delay[i])
            clip = self.clip(rng, frames * FRAME)
            pcm[i, LEFT * FRAME : (LEFT + frames) * FRAME] = clip.pcm
            said = target_tokens(clip.words, self.encoder, frames + RIGHT)
            first = LEFT + int(delay[i])  # the position that predicts token 0
            targets[i, first:] = said
            tokens[i, 0] = BOS
            tokens[i, first + 1 :] = said[:-1]
            for text, end in clip.words:
                spotted[i, min(LEFT + end // FRAME + 2, length - 1)] = WORD_IDS[text.strip(".,!?").lower()]
        return Batch(pcm, tokens, targets, spotted, delay)

    def clip(self, rng: np.random.Generator, samples: int) -> Clip:
        if rng.random() < 0.12:
            return Clip(self._without_speech(rng, samples), [])
        pcm, words = self._speech(rng, samples)
        pcm = self._over_beds(rng, pcm)
        quiet = rng.random() < 0.3
        peak = 10 ** (rng.uniform(-32, -8) / 20) if quiet else 10 ** (rng.uniform(-8, -0.3) / 20)
        return Clip((pcm * (peak / max(float(np.abs(pcm).max()), 1e-6))).astype(np.float32), words)

    def _speech(self, rng: np.random.Generator, samples: int) -> tuple[Pcm, list[tuple[str, int]]]:
        out = np.zeros(samples, np.float32)
        words: list[tuple[str, int]] = []
        start = rng.random()
        at = int(rng.uniform(0, 2.5) * 16000) if start < 0.6 else 0
        cut = 0.6 <= start < 0.9  # the clip begins inside a sentence
        room = _room(rng) if rng.random() < 0.2 else None
        voice = ""
        while at < samples:
            row = self.bank[int(rng.integers(len(self.bank)))]
            for _ in range(3):  # prefer to stay with one speaker for a while
                if row["voice"] == voice or rng.random() < 0.5:
                    break
                row = self.bank[int(rng.integers(len(self.bank)))]
            voice = row["voice"]
            pcm, ends = self._said(rng, row)
            if cut:
                first = int(rng.integers(0, len(pcm)))
                if rng.random() < 0.6:
                    first = ends[int(rng.integers(len(ends)))][1]
                pcm, ends, cut = pcm[first:], [(s - first, e - first) for s, e in ends], False
            if room is not None and len(pcm):
                pcm = fftconvolve(pcm, room)[: len(pcm) + 2000].astype(np.float32)
            piece = pcm[: samples - at] * np.float32(10 ** (rng.normal(0, 2.5) / 20))
            out[at : at + len(piece)] += piece
            for text, (s, e) in zip(row["text"].split(), ends, strict=True):
                s, e = s + at, e + at
                heard = min(e, samples) - max(s, 0)
                if heard >= 0.65 * (e - s) and e > 0:
                    words.append((text, min(e, samples)))
            at += len(pcm) + int(_gap(rng) * 16000)
        return out, sorted(words, key=lambda w: w[1])

    def _said(self, rng: np.random.Generator, row: dict[str, Any]) -> tuple[Pcm, list[tuple[int, int]]]:
        first = row["offset"]
        pcm = self.pcm[first : first + row["samples"]].astype(np.float32) / 32768
        ends = [(s, e) for s, e in row["ends"]]
        if rng.random() < 0.65:  # another size of head, another pitch, another speed
            speed = float(np.clip(np.exp(rng.normal(0, 0.1)), 0.78, 1.28))
            count = int(len(pcm) / speed)
            pcm = np.interp(np.arange(count) * speed, np.arange(len(pcm)), pcm).astype(np.float32)
            ends = [(int(s / speed), int(e / speed)) for s, e in ends]
        if rng.random() < 0.6:
            pcm = _equalise(rng, pcm)
        return pcm, ends

    def _over_beds(self, rng: np.random.Generator, pcm: Pcm) -> Pcm:
        loud = np.abs(pcm) > 0.05
        level = float(np.sqrt((pcm[loud] ** 2).mean())) * 0.5 if loud.any() else 0.05
        r = rng.random()
        if r < 0.6:
            pcm = pcm + self._bed(rng, ["noise"] if r < 0.52 else ["clicks", "noise"], len(pcm)) * (
                level * 10 * 10 ** (-rng.uniform(4, 45) / 20)
            )
        if rng.random() < 0.25:
            bed = self._bed(rng, ["additive", "fm", "tones", "formant", "synth"], len(pcm))
            if rng.random() < 0.5:  # music that comes and goes
                a, b = sorted(rng.integers(0, len(pcm), 2))
                bed[a:b] = 0
            pcm = pcm + bed * (level * 10 * 10 ** (-rng.uniform(6, 30) / 20))
        return pcm

    def _without_speech(self, rng: np.random.Generator, samples: int) -> Pcm:
        out = np.zeros(samples, np.float32)
        for _ in range(int(rng.integers(0, 4))):
            bed = self._bed(rng, list(self.beds), samples)
            if rng.random() < 0.4:
                a, b = sorted(rng.integers(0, samples, 2))
                bed[a:b] = 0
            out += bed * rng.uniform(0.05, 1)
        peak = float(np.abs(out).max())
        return (out * (10 ** (rng.uniform(-45, -0.3) / 20) / peak)).astype(np.float32) if peak > 0 else out

    def _bed(self, rng: np.random.Generator, kinds: list[str], samples: int) -> Pcm:
        pool = self.beds[kinds[int(rng.integers(len(kinds)))]]
        bed = np.roll(pool[int(rng.integers(len(pool)))], int(rng.integers(samples)))
        speed = float(np.exp(rng.uniform(-0.35, 0)))  # another key, another tempo
        at = np.arange(samples) * speed
        return np.interp(at, np.arange(len(bed)), bed).astype(np.float32) / 32768


def target_tokens(words: list[tuple[str, int]], encoder: Encoder, count: int) -> NDArray[np.int64]:
    """The training target of MODEL.md, `count` tokens from frame 0 on.

    PAD until a word has ended; then one STREAMING_WORD and the subwords of all words due by then;
    what falls due meanwhile waits. A word that ends at sample e is due at frame ceil(e / 1280) - 1.
    """
    out = np.full(count, PAD, np.int64)
    due = [(max(-(-end // FRAME) - 1, 0), encoder.word(text)) for text, end in words]
    writing: list[int] = []
    upcoming = 0
    for k in range(count):
        if writing:
            out[k] = writing.pop(0)
            continue
        while upcoming < len(due) and due[upcoming][0] <= k:
            writing += due[upcoming][1]
            upcoming += 1
        if writing:
            out[k] = WORD
    return out


def _gap(rng: np.random.Generator) -> float:
    """Seconds between two sentences."""
    r = rng.random()
    return float(
        rng.uniform(0.05, 0.5) if r < 0.4 else rng.uniform(0.5, 2) if r < 0.85 else rng.uniform(2, 6)
    )


def _equalise(rng: np.random.Generator, pcm: Pcm) -> Pcm:
    """A smooth random gain over log frequency, within about 9 dB; sometimes a telephone's band."""
    size = 1 << max(len(pcm) - 1, 1).bit_length()
    f = np.log2(np.fft.rfftfreq(size, 1 / 16000) + 30)
    knots = np.linspace(f[0], f[-1], 7)
    gain = np.interp(f, knots, rng.normal(0, 4, 7))
    if rng.random() < 0.12:
        gain = gain - 30 * (f < np.log2(300)) - 30 * (f > np.log2(3400))
    return np.fft.irfft(np.fft.rfft(pcm, size) * 10 ** (gain / 20), size)[: len(pcm)].astype(np.float32)


def _room(rng: np.random.Generator) -> Pcm:
    n = int(rng.uniform(0.05, 0.3) * 16000)
    tail = rng.standard_normal(n) * np.exp(-np.arange(n) / (n / 5)) * rng.uniform(0.02, 0.08)
    tail[0] = 1
    return np.asarray(tail, np.float32)
