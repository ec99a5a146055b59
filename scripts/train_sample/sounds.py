"""Sound that is not speech: noise, tones and music-like beds, generated from a seed.

The kinds in `TRAINED` are heard in training; those in `HELD_OUT` are kept for judging whether
the model stays silent on sounds of a kind it never heard.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE = 16_000
Pcm = NDArray[np.float32]
Rng = np.random.Generator


def coloured_noise(rng: Rng, samples: int) -> Pcm:
    """Noise with a slope of 0 to -6 dB an octave, sometimes band-limited, sometimes breathing."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    f = np.fft.rfftfreq(samples, 1 / RATE) + 20
    spectrum *= f ** -rng.uniform(0, 1)
    if rng.random() < 0.4:
        centre, width = np.exp(rng.uniform(np.log(150), np.log(5000))), rng.uniform(0.4, 2)
        spectrum *= np.exp(-0.5 * (np.log2(f / centre) / width) ** 2)
    noise = np.fft.irfft(spectrum, samples)
    if rng.random() < 0.4:
        noise *= 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 6) * np.arange(samples) / RATE)
    return _unit(noise)


def clicks(rng: Rng, samples: int) -> Pcm:
    """Clicks, knocks and short bursts."""
    out = np.zeros(samples)
    for at in rng.integers(0, max(samples - 4000, 1), size=max(1, int(samples / RATE * rng.uniform(0.3, 5)))):
        length = int(rng.integers(20, 3000))
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 5))
        if rng.random() < 0.5:
            burst = lfilter([1], [1, -1.7 * np.cos(rng.uniform(0.1, 1.5)), 0.9], burst)
        out[at : at + length] += (burst * rng.uniform(0.1, 1))[: samples - at]
    return _unit(out)


def tones(rng: Rng, samples: int) -> Pcm:
    """Beeps, held tones, dialling pairs, hum and sweeps."""
    t = np.arange(samples) / RATE
    out = np.zeros(samples)
    for _ in range(int(rng.integers(1, 4))):
        f = np.exp(rng.uniform(np.log(50), np.log(4000)))
        sweep = (
            f * (2 ** (rng.uniform(-1, 1) * np.sin(2 * np.pi * rng.uniform(0.02, 2) * t)))
            if rng.random() < 0.4
            else f
        )
        wave = np.sin(2 * np.pi * np.cumsum(np.broadcast_to(sweep, t.shape)) / RATE)
        if rng.random() < 0.5:
            wave = wave * (np.sin(2 * np.pi * rng.uniform(0.3, 8) * t) > rng.uniform(-0.8, 0.8))
        out += wave * rng.uniform(0.2, 1)
    return _unit(out)


def additive_music(rng: Rng, samples: int) -> Pcm:
    """Chords, a melody and a bass of additive harmonics over soft percussion."""
    out = np.zeros(samples)
    beat = rng.uniform(0.18, 0.7)
    root = rng.uniform(36, 60)
    scale = np.array(
        [[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 2, 4, 7, 9, 12, 14]][int(rng.integers(3))]
    )
    timbres = [_timbre(rng) for _ in range(3)]
    vibrato = rng.uniform(0, 0.012)
    at = rng.uniform(0, beat)
    while at * RATE < samples - 800:
        chord = int(rng.integers(0, 7))
        notes: list[tuple[float, float, int]] = []
        if rng.random() < 0.7:
            notes.append(
                (
                    root + 12 + scale[int(rng.integers(7))] + 12 * int(rng.integers(0, 2)),
                    beat * rng.choice([0.5, 1, 2]),
                    0,
                )
            )
        if rng.random() < 0.4:
            notes += [(root + 12 + scale[(chord + k) % 7], beat * rng.choice([2, 4]), 1) for k in (0, 2, 4)]
        if rng.random() < 0.4:
            notes.append((root - 12 + scale[chord], beat * 2, 2))
        for midi, length, part in notes:
            _add(out, at, _note(rng, midi, length, timbres[part], vibrato))
        if rng.random() < 0.6:
            n = int(rng.integers(500, 3000))
            _add(out, at, rng.standard_normal(n) * np.exp(-np.arange(n) / (n / 6)) * rng.uniform(0.05, 0.5))
        at += beat * rng.choice([0.5, 1, 1])
    return _unit(out)


def fm_music(rng: Rng, samples: int) -> Pcm:
    """Bell-like, brass-like and voice-like notes by frequency modulation."""
    out = np.zeros(samples)
    at = 0.0
    ratio, depth = rng.choice([0.5, 1, 1.41, 2, 3.5]), rng.uniform(0.3, 6)
    while at * RATE < samples - 800:
        length = rng.uniform(0.1, 1.5)
        t = np.arange(int(length * RATE)) / RATE
        f = 440 * 2 ** ((rng.integers(-24, 18)) / 12) * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * t))
        phase = 2 * np.pi * np.cumsum(f) / RATE
        envelope = np.exp(-t * rng.uniform(0.5, 6)) * np.minimum(1, t / rng.uniform(0.004, 0.1))
        _add(out, at, np.sin(phase + depth * envelope * np.sin(ratio * phase)) * envelope)
        at += length * rng.uniform(0.3, 1.2)
    return _unit(out)


def formant_music(rng: Rng, samples: int) -> Pcm:
    """Held vowels of a choir without words: a pulse train through slowly moving resonances."""
    t = np.arange(samples) / RATE
    steps = np.repeat(rng.integers(-5, 8, size=samples // 8000 + 2), rng.integers(6000, 24000))[:samples]
    steps = np.pad(steps, (0, samples - len(steps)), mode="edge")
    f0 = rng.uniform(90, 300) * 2 ** (steps / 12) * (1 + 0.012 * np.sin(2 * np.pi * 5 * t))
    pulse = np.diff(np.floor(np.cumsum(f0) / RATE), prepend=0) - 0.01
    for centre in rng.uniform([300, 900, 2300], [800, 2000, 3200]):
        r = np.exp(-np.pi * rng.uniform(60, 150) / RATE)
        pulse = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * centre / RATE), r * r], pulse)
    return _unit(pulse * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * t)))


def synth_music(rng: Rng, samples: int) -> Pcm:
    """A synthesiser's saw and triangle lines through a moving filter, with gated noise."""
    t = np.arange(samples) / RATE
    out = np.zeros(samples)
    for _ in range(int(rng.integers(1, 4))):
        length = rng.uniform(0.1, 1.2)
        notes = rng.choice([0, 2, 3, 5, 7, 8, 10, 12, 15], size=int(samples / RATE / length) + 2)
        step = np.floor(t / length).astype(int)
        f = 440 * 2 ** ((notes[step] + 12 * rng.integers(-3, 2)) / 12) * rng.uniform(0.99, 1.01)
        phase = np.cumsum(f) / RATE % 1
        wave = 2 * phase - 1 if rng.random() < 0.5 else 4 * np.abs(phase - 0.5) - 1
        envelope = np.exp(-(t % length) / length * rng.uniform(0, 5))
        out += wave * envelope * rng.uniform(0.3, 1)
    out += rng.standard_normal(samples) * (np.floor(t / rng.uniform(0.1, 0.4)) % 4 == 1) * rng.uniform(0, 0.5)
    pole = rng.uniform(0, 0.9)
    return _unit(lfilter([1 - pole], [1, -pole], out))


def plucked_music(rng: Rng, samples: int) -> Pcm:
    """Held out: plucked strings (Karplus and Strong) in quick arpeggios."""
    out = np.zeros(samples)
    at, beat = 0.0, rng.uniform(0.12, 0.3)
    while at * RATE < samples - 800:
        period = int(RATE / (110 * 2 ** (rng.choice([0, 3, 5, 7, 10, 12, 15, 19, 24]) / 12)))
        excitation = np.zeros(int(RATE * 1.2))
        excitation[:period] = rng.uniform(-1, 1, period)
        _add(out, at, lfilter([1], np.r_[1, np.zeros(period - 1), -0.498, -0.498], excitation))
        at += beat
    return _unit(out)


def square_music(rng: Rng, samples: int) -> Pcm:
    """Held out: square-wave arpeggios with a gated snare, as of an old game."""
    t = np.arange(samples) / RATE
    step = np.floor(t / rng.uniform(0.08, 0.2)).astype(int)
    pattern = rng.choice([0, 4, 7, 12, 16, 19], size=16)
    f = 220 * 2 ** ((pattern[step % 16] + 5 * ((step // 32) % 3)) / 12)
    wave = np.sign(np.sin(2 * np.pi * np.cumsum(f) / RATE))
    return _unit(wave + rng.standard_normal(samples) * ((step % 4) == 2) * 0.6)


def drum_loop(rng: Rng, samples: int) -> Pcm:
    """Held out: kick, snare and hi-hat in a pattern of sixteen."""
    out = np.zeros(samples)
    beat, pattern = rng.uniform(0.09, 0.16), rng.integers(0, 8, size=16)
    decay = np.exp(-np.arange(3200) / 700)
    kick = np.sin(2 * np.pi * np.cumsum(120 * np.exp(-np.arange(3200) / 500) + 45) / RATE) * decay
    snare = rng.standard_normal(3200) * decay * 0.6
    hat = np.diff(rng.standard_normal(3201)) * np.exp(-np.arange(3200) / 150) * 0.3
    for number in range(int((samples - 4000) / RATE / beat)):
        hits = pattern[number % 16]
        for bit, sound in enumerate((kick, snare, hat)):
            if hits >> bit & 1:
                _add(out, number * beat, sound)
    return _unit(out)


def reed_music(rng: Rng, samples: int) -> Pcm:
    """Held out: a bagpipe-like drone with a melody of narrow pulses above it."""
    t = np.arange(samples) / RATE
    out = np.zeros(samples)
    step = np.floor(t / rng.uniform(0.15, 0.35)).astype(int)
    melody = rng.choice([0, 2, 4, 5, 7, 9, 10, 12], size=int(step[-1]) + 1)[step]
    for f in (np.full(samples, 116.5), np.full(samples, 233.0), 466.0 * 2 ** (melody / 12)):
        phase = np.cumsum(f) / RATE % 1
        out += lfilter([1, -0.95], [1], (phase < 0.15).astype(float))
    return _unit(out)


Kind = Callable[[Rng, int], Pcm]
TRAINED: dict[str, Kind] = {
    "noise": coloured_noise, "clicks": clicks, "tones": tones, "additive": additive_music,
    "fm": fm_music, "formant": formant_music, "synth": synth_music,
}  # fmt: skip
HELD_OUT: dict[str, Kind] = {
    "plucked": plucked_music, "square": square_music, "drums": drum_loop, "reeds": reed_music,
}  # fmt: skip


def _timbre(rng: Rng) -> NDArray[np.float64]:
    return np.asarray(rng.uniform(0.2, 1, 8) * rng.uniform(0.3, 0.9) ** np.arange(8))


def _note(
    rng: Rng, midi: float, length: float, timbre: NDArray[np.float64], vibrato: float
) -> NDArray[np.float64]:
    t = np.arange(int(length * RATE)) / RATE
    f = 440 * 2 ** ((midi - 69) / 12) * (1 + vibrato * np.sin(2 * np.pi * 5 * t))
    phase = 2 * np.pi * np.cumsum(f) / RATE
    wave = sum(a * np.sin((h + 1) * phase) for h, a in enumerate(timbre))
    envelope = np.minimum(1, t / rng.uniform(0.005, 0.08)) * np.exp(-t / length * rng.uniform(0.3, 4))
    return np.asarray(wave * envelope * np.minimum(1, (length - t) / 0.02) * rng.uniform(0.2, 0.6))


def _add(out: NDArray[np.float64], at: float, piece: NDArray[np.float64]) -> None:
    first = int(at * RATE)
    piece = piece[: len(out) - first]
    out[first : first + len(piece)] += piece


def _unit(wave: NDArray[np.float64]) -> Pcm:
    """At an RMS of 0.1, and never beyond full scale."""
    wave = wave * (0.1 / max(float(np.sqrt((wave**2).mean())), 1e-9))
    return np.asarray(np.clip(wave, -1, 1), np.float32)
