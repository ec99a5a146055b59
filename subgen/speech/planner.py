"""What to decode and what to skip, decided by the probability of speech and by loudness alone.

Speech at the very edge of a chunk, or without the silence around it, costs words, and so do short
chunks and cuts at the edges that a speech detector finds. So cuts lie where it is quietest, and a
silence is skipped only where it is long, and only its middle. Everything lies on frames of 80 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subgen.levels import FLOOR_DB, Levels
from subgen.model import FRAME_MS, FRAME_SAMPLES
from subgen.speech.cuts import STEPS, best_cut
from subgen.speech.tape import Tape
from subgen.speech.vad import SPEECH, SPEECH_GOES_ON, WINDOW_SAMPLES, Probabilities

SKIPPED_BELOW = 0.25
"""A silence ends at this probability of speech, far less than what speech has. The detector misses some
speech under loud music, but hardly without any doubt; and to decode a silence only costs time."""
NOTHING_DB = -80.0
"""Quieter than that there is nothing to hear, and a probability less than that of speech is chance."""

_BLOCK_FRAMES = 2  # the shortest time that is whole in frames and in windows of speech detection
_BLOCK_WINDOWS = _BLOCK_FRAMES * FRAME_SAMPLES // WINDOW_SAMPLES


@dataclass(frozen=True, slots=True)
class Plan:
    """How long chunks shall be, and which silence is left out (None: none is).

    A chunk's run-up of `lead_in_seconds` inside the chunk before it counts towards `longest_seconds`.
    """

    target_seconds: float = 30
    shortest_seconds: float = 20
    longest_seconds: float = 60
    skip_after_seconds: float | None = 8
    margin_seconds: float = 1
    lead_in_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Part:
    """From `first_sample` up to `end_sample`: to decode, or to skip because nobody speaks in it."""

    first_sample: int
    end_sample: int
    decode: bool


class Planner:
    """Probabilities of speech and levels -> parts, in order and without gaps.

    Chunks never last longer than allowed, and less than `shortest` only between silences or where the
    limits leave no choice: then neither of two is less than a third of both. Looks ahead by no more
    than `longest` and `shortest` together, plus the silence after which is skipped.
    """

    def __init__(self, plan: Plan) -> None:
        longest = max(_frames(plan.longest_seconds), 2)
        self.lead_frames = min(-int(-plan.lead_in_seconds * 1000 // FRAME_MS), longest // 2)
        self._longest = longest
        self._shortest = max(1, min(_frames(plan.shortest_seconds), longest - self.lead_frames))
        self._target = _frames(plan.target_seconds)
        self._margin = -int(-plan.margin_seconds * 1000 // FRAME_MS)
        least = 2 * self._margin + 1  # or nothing would be left between the margins
        seconds = plan.skip_after_seconds
        self._skip_after = None if seconds is None else max(_frames(seconds), least)
        self._probabilities: Probabilities = np.zeros(0, np.float32)
        self._waiting_levels: Levels = np.zeros(0, np.float32)
        self._levels = Tape(np.float32)
        self._speech = Tape(np.bool_)
        self._begin = 0  # of the part that is not decided, in frames
        self._follows = False  # it comes directly after a chunk
        self._skipping = False
        self._speaking = False
        self._silent_frames = 0  # how long nobody has been speaking

    @property
    def undecided_sample(self) -> int:
        """Where the next chunk begins at the earliest."""
        return self._undecided * FRAME_SAMPLES

    def feed(self, probabilities: Probabilities, levels: Levels) -> list[Part]:
        """Take probabilities per 512 samples and dBFS per 10 ms; return the parts that are certain."""
        self._probabilities = np.concatenate([self._probabilities, probabilities])
        self._waiting_levels = np.concatenate([self._waiting_levels, levels])
        steps = _BLOCK_FRAMES * STEPS
        blocks = min(len(self._probabilities) // _BLOCK_WINDOWS, len(self._waiting_levels) // steps)
        return list(self._take(blocks * _BLOCK_FRAMES))

    def finish(self, samples: int) -> list[Part]:
        """No more: return what is left of a file of so many samples."""
        frames = -(-samples // FRAME_SAMPLES) - self._speech.end
        windows, steps = _BLOCK_WINDOWS * frames, STEPS * frames
        self._probabilities = np.append(self._probabilities, np.zeros(windows, np.float32))
        self._waiting_levels = np.append(self._waiting_levels, np.full(steps, FLOOR_DB, np.float32))
        parts = list(self._take(frames))
        parts += self._skipped(self._speech.end) if self._skipping else self._decoded(self._speech.end)
        # The last frame may be filled in part only.
        return [Part(p.first_sample, min(p.end_sample, samples), p.decode) for p in parts]

    def _take(self, frames: int) -> Iterator[Part]:
        """Go on by so many of the frames that wait."""
        peaks = _peaks(self._probabilities, frames)
        levels = self._waiting_levels[: frames * STEPS]
        audible = levels.reshape(-1, STEPS).max(axis=1, initial=FLOOR_DB) >= NOTHING_DB
        self._probabilities = self._probabilities[frames * _BLOCK_WINDOWS // _BLOCK_FRAMES :]
        self._waiting_levels = self._waiting_levels[frames * STEPS :]
        self._levels.add(levels)
        for peak, heard in zip(peaks.tolist(), audible.tolist(), strict=True):
            yield from self._step(peak, silent=peak < (SKIPPED_BELOW if heard else SPEECH))
        self._levels.drop(self._undecided * STEPS)
        self._speech.drop(self._undecided)

    def _step(self, peak: float, *, silent: bool) -> Iterator[Part]:
        """Go on by one frame."""
        here = self._speech.end
        self._speaking = peak >= (SPEECH_GOES_ON if self._speaking else SPEECH)
        self._speech.add(np.array([self._speaking]))
        if not silent and self._skipping:
            yield from self._skipped(here - self._margin)
        self._silent_frames = self._silent_frames + 1 if silent else 0
        if self._skipping:
            return
        if self._skip_after is not None and self._silent_frames > self._skip_after:
            yield from self._decoded(self._silence_from())
            self._skipping = True
        while not self._skipping and self._certain() - self._begin >= self._room() + self._shortest:
            yield self._cut(self._shortest, self._room())

    @property
    def _undecided(self) -> int:
        return max(self._begin, self._speech.end - self._margin) if self._skipping else self._begin

    def _silence_from(self) -> int:
        """The frame from which on the present silence would be skipped. A file's beginning has no margin."""
        first = self._speech.end - self._silent_frames
        return first + self._margin if first else 0

    def _certain(self) -> int:
        """Up to which frame it is certain that everything must be decoded."""
        if self._skip_after is None or not self._silent_frames:
            return self._speech.end
        return min(self._silence_from(), self._speech.end)

    def _room(self) -> int:
        """How long the next chunk may be without its run-up."""
        return self._longest - (self.lead_frames if self._follows else 0)

    def _skipped(self, end: int) -> Iterator[Part]:
        """The silence up to `end`."""
        yield self._part(end, decode=False)
        self._skipping = False

    def _decoded(self, end: int) -> Iterator[Part]:
        """Everything up to `end`, in chunks."""
        while (rest := end - self._begin) > 0:
            two_are_nearer = rest >= 2 * self._shortest and rest > 4 * self._target / 3
            if rest <= self._room() and not two_are_nearer:
                yield self._part(end, decode=True)
            elif rest >= 2 * self._shortest:
                yield self._cut(self._shortest, min(self._room(), rest - self._shortest))
            else:  # too long for one, too short for two: neither shall be much too short
                next_room = self._longest - self.lead_frames
                earliest, latest = max(rest - next_room, rest // 3), min(self._room(), rest - rest // 3)
                yield self._cut(earliest, latest, rest // 2)

    def _cut(self, earliest: int, latest: int, target: int | None = None) -> Part:
        # What comes after the present frame may be here or not: the cut must not depend on it.
        levels = self._levels.view(self._begin * STEPS, self._speech.end * STEPS)
        speech = self._speech.view(self._begin, self._speech.end)
        length = best_cut(levels, speech, max(earliest, 1), latest, target or self._target)
        return self._part(self._begin + length, decode=True)

    def _part(self, end: int, *, decode: bool) -> Part:
        part = Part(self._begin * FRAME_SAMPLES, end * FRAME_SAMPLES, decode)
        self._begin, self._follows = end, decode
        return part


def _frames(seconds: float) -> int:
    """Whole frames in so many seconds."""
    return int(seconds * 1000 // FRAME_MS)


def _peaks(probabilities: Probabilities, frames: int) -> NDArray[np.float32]:
    """The highest probability of all windows that touch each frame, shape [frames]."""
    blocks = -(-frames // _BLOCK_FRAMES)
    windows = probabilities[: blocks * _BLOCK_WINDOWS].reshape(blocks, _BLOCK_WINDOWS)
    middle = _BLOCK_WINDOWS // 2  # belongs to both frames
    peaks = np.stack([windows[:, : middle + 1].max(axis=1), windows[:, middle:].max(axis=1)], axis=1)
    return np.asarray(peaks.reshape(-1)[:frames])
