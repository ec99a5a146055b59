"""Judge a sample checkpoint on sentences, voices and sounds that training never met.

    python -m train_sample.evaluate samples/tiny [--quick] [--hour] [--calibrate]

Prints WER (case and punctuation aside) and the error of word ends for every set and delay, and
what was emitted over sounds without speech. `--hour` adds 60 minutes in one stream, `--calibrate`
fits calibration.json on the dev split first (the test split chooses nothing).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from subgen.captions.words import WordStream
from subgen.levels import levels_db
from subgen.model import LEGAL_DELAYS_MS, SAMPLES_PER_MS, Chunk, ChunkFrames, Word
from subgen.speech.engine import transcribe
from subgen.speech.voxtral.checkpoint import load
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.testing import word_errors

from . import sounds
from .bank import HELD_OUT, draw_voice
from .sentences import FLOOR, Grammar
from .speak import Voice, speak

Pcm = sounds.Pcm
LANES = 16
"""Given, so that no time goes into finding out what is best: the words are the same with any number."""


@dataclass
class Spoken:
    """Audio and its true words: (text, end in ms, whether the end is known)."""

    pcm: Pcm
    words: list[tuple[str, int, bool]] = field(default_factory=list)


def compose(
    sentences: Sequence[tuple[str, Voice]], rng: np.random.Generator, noise_db: float | None
) -> Spoken:
    """Sentences with pauses of 0.3 to 2 s between them, and noise so many dB under the speech."""
    pieces, words, at = [np.zeros(int(rng.uniform(0.2, 1) * 16000), np.float32)], [], 0
    at = len(pieces[0])
    for text, voice in sentences:
        said = speak(text, voice)
        if said is None:
            continue
        words += [
            (w, (at + e) // SAMPLES_PER_MS, i not in said.guessed) for i, (w, _, e) in enumerate(said.words)
        ]
        pieces += [said.pcm, np.zeros(int(rng.uniform(0.3, 2) * 16000), np.float32)]
        at += len(pieces[-1]) + len(said.pcm)
    pcm = np.concatenate(pieces) * 0.7
    if noise_db is not None:
        level = float(np.sqrt((pcm[np.abs(pcm) > 0.02] ** 2).mean()))
        pcm = pcm + sounds.coloured_noise(rng, len(pcm)) * (level * 10 ** (1 - noise_db / 20))
    return Spoken((pcm / max(1.0, float(np.abs(pcm).max()))).astype(np.float32), words)


def sets(split: str, clips: int) -> Iterator[tuple[str, list[Spoken]]]:
    """The test sets, by name; each clip holds five sentences."""
    grammar, voices, rng = Grammar(77 if split == "test" else 78), random.Random(5), np.random.default_rng(9)
    floor = random.Random(3).sample(sorted(FLOOR), 5 * clips)

    def trained() -> Voice:
        while (voice := draw_voice(voices)).engine == "festival":
            pass
        return voice

    def clip(noise: float | None, voice: Voice | None = None, texts: list[str] | None = None) -> Spoken:
        lines = texts or [grammar.sentence(split) for _ in range(5)]
        return compose([(text, voice or trained()) for text in lines], rng, noise)

    yield "trained voices", [clip(None) for _ in range(clips)]
    yield "trained voices, noise 10 dB", [clip(10) for _ in range(clips)]
    yield "floor sentences", [clip(None, texts=floor[5 * i : 5 * i + 5]) for i in range(clips)]
    variants = [v for v in HELD_OUT if v.engine == "espeak"]
    yield "espeak variants not trained on", [clip(None, variants[i % len(variants)]) for i in range(clips)]
    yield "flite rms, never trained on", [clip(None, Voice("flite", "rms")) for _ in range(clips)]
    yield "flite rms at 190 words a minute", [clip(None, Voice("flite", "rms", 190)) for _ in range(clips)]


def heard(engine: VoxtralEngine, clips: Sequence[Pcm], bias_ms: int) -> list[list[Word]]:
    """The words of each clip."""
    found = []
    for pcm, frames in zip(clips, transcribe(engine, [Chunk(0, p) for p in clips]), strict=True):
        stream = WordStream(bias_ms)
        found.append(stream.feed(frames, levels_db(pcm)) + stream.finish())
    return found


@dataclass
class Score:
    """Errors, words and the signed errors of word ends in ms."""

    errors: int = 0
    words: int = 0
    ends: list[int] = field(default_factory=list)

    def add(self, spoken: Spoken, found: Sequence[Word]) -> None:
        errors, pairs = word_errors([t for t, _, _ in spoken.words], [w.text for w in found])
        self.errors += errors
        self.words += len(spoken.words)
        self.ends += [found[j].end_ms - spoken.words[i][1] for i, j in pairs if spoken.words[i][2]]

    def __str__(self) -> str:
        size = np.abs(self.ends) if self.ends else np.array([np.nan])
        return (
            f"WER {100 * self.errors / max(self.words, 1):5.1f} % of {self.words:5d} words,"
            f" word ends median {np.median(size):4.0f} ms, p90 {np.percentile(size, 90):4.0f} ms"
        )


def calibrate(folder: Path, clips: int) -> None:
    """Fit the bias of word ends for every delay on the dev split, and store it beside the weights."""
    checkpoint = load(str(folder))
    spoken = [s for name, group in sets("dev", clips) for s in group if name.startswith("trained")]
    biases = {}
    for delay in LEGAL_DELAYS_MS:
        score = Score()
        with closing(VoxtralEngine(checkpoint, delay_ms=delay, lanes=LANES)) as engine:
            found = heard(engine, [s.pcm for s in spoken], 0)
        for clip, words in zip(spoken, found, strict=True):
            score.add(clip, words)
        biases[str(delay)] = -round(float(np.median(score.ends)))
    (folder / "calibration.json").write_text(json.dumps({"bias_ms": biases}, indent=2) + "\n", "utf-8")
    print("bias by delay:", biases)


def judge(folder: Path, delays: Sequence[int], clips: int) -> None:
    checkpoint = load(str(folder))
    groups = list(sets("test", clips))
    for delay in delays:
        with closing(VoxtralEngine(checkpoint, delay_ms=delay, lanes=LANES)) as engine:
            for name, spoken in groups:
                score = Score()
                found = heard(engine, [s.pcm for s in spoken], engine.bias_ms())
                for clip, words in zip(spoken, found, strict=True):
                    score.add(clip, words)
                print(f"{delay:5d} ms  {name:34s} {score}", flush=True)
            _silence(engine, 60 * clips // 20)


def _silence(engine: VoxtralEngine, seconds: int) -> None:
    rng = np.random.default_rng(31)
    samples = seconds * 16000
    kinds = {"zeros": lambda r, n: np.zeros(n, np.float32), **sounds.HELD_OUT, **sounds.TRAINED}
    for name, make in kinds.items():
        clips = [make(rng, samples) * level for level in (1.0, 0.1)]
        words = [w.text for found in heard(engine, clips, 0) for w in found]
        kind = "held out" if name in sounds.HELD_OUT or name == "zeros" else "new seed"
        label = f"{name} ({kind})"
        found = f"{len(words)} words in {2 * seconds} s {words[:6]}"
        print(f"{engine.info.delay_ms:5d} ms  {label:34s} {found}", flush=True)


def hour(folder: Path, delay_ms: int, minutes: int = 60) -> None:
    """One stream of 60 minutes: WER of each ten, which must not grow."""
    checkpoint = load(str(folder))
    grammar, voices, rng = Grammar(99), random.Random(8), np.random.default_rng(10)
    spoken, pieces, frames = Spoken(np.zeros(0, np.float32)), [], []
    at = 0
    with closing(VoxtralEngine(checkpoint, delay_ms=delay_ms, lanes=1)) as engine:
        stream = engine.stream(block_frames=32)
        while at < minutes * 60 * 16000:
            text = grammar.sentence("test")
            voice = draw_voice(voices)
            if voice.engine == "festival":
                continue
            piece = compose([(text, voice)], rng, 25)
            spoken.words += [(w, e + at // SAMPLES_PER_MS, known) for w, e, known in piece.words]
            pieces.append(piece.pcm)
            frames += stream.feed(piece.pcm)
            at += len(piece.pcm)
        frames += stream.finish()
    words_of = WordStream(engine.bias_ms())
    found = (
        words_of.feed(ChunkFrames(0, -(-at // 1280), tuple(frames)), levels_db(np.concatenate(pieces)))
        + words_of.finish()
    )
    for first in range(0, minutes, 10):
        low, high = first * 60_000, (first + 10) * 60_000
        part = Spoken(spoken.pcm, [w for w in spoken.words if low <= w[1] < high])
        score = Score()
        score.add(part, [w for w in found if low <= w.end_ms < high])
        print(f"{delay_ms:5d} ms  {f'minutes {first} to {first + 10} of one stream':34s} {score}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="a fifth of the clips")
    parser.add_argument("--hour", action="store_true", help="60 minutes in one stream as well")
    parser.add_argument("--calibrate", action="store_true", help="fit calibration.json first")
    parser.add_argument("--delays", type=int, nargs="+", default=[2400, 480])
    options = parser.parse_args()
    count = 12 if options.quick else 60
    if options.calibrate:
        calibrate(options.folder, count // 3)
    judge(options.folder, options.delays, count)
    for delay in options.delays if options.hour else []:
        hour(options.folder, delay)
