"""Where to cut: a stream of samples -> chunks to decode, and silences that are not decoded.

    segmenter = Segmenter(Plan())
    for pcm in ...:
        parts += segmenter.feed(pcm)
    parts += segmenter.finish()

Where and why is the matter of `subgen.speech.planner`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from subgen.levels import STEP_SAMPLES, levels_db
from subgen.model import FRAME_SAMPLES, Chunk, Pcm, Silence
from subgen.speech.planner import Part, Plan, Planner
from subgen.speech.tape import Tape
from subgen.speech.vad import Probabilities, SpeechDetector

__all__ = ["Detector", "Part", "Plan", "Planner", "Segmenter"]


class Detector(Protocol):
    """What tells the probability of speech, as `subgen.speech.vad.SpeechDetector` does."""

    def feed(self, pcm: Pcm) -> Probabilities:
        """Take samples; return a probability for each 512 that became complete."""

    def finish(self) -> Probabilities:
        """Return the one for the rest."""


class Segmenter:
    """Samples -> `Chunk` and `Silence`, in order; every sample is in exactly one, run-ups aside.

    However the samples are cut on their way in, the parts are the same.
    """

    def __init__(self, plan: Plan, detector: Detector | None = None) -> None:
        self._planner = Planner(plan)
        self._detector = detector or SpeechDetector()
        self._probabilities = Tape(np.float32)
        self._pcm = Tape(np.float32)
        self._unmeasured: Pcm = np.zeros(0, np.float32)  # less than 10 ms
        self._before = 0  # how long the chunk is that ends where the next begins, in samples

    @property
    def probabilities(self) -> Probabilities:
        """The probability of speech in every 512 samples so far."""
        return self._probabilities.view(0, self._probabilities.end)

    @property
    def samples_kept(self) -> int:
        """How much of the file is in memory: what is undecided, and the next chunk's run-up."""
        return self._pcm.end - self._pcm.first

    def feed(self, pcm: Pcm) -> list[Chunk | Silence]:
        """Take samples; return the parts that are certain."""
        self._pcm.add(pcm)
        waiting = np.concatenate([self._unmeasured, pcm])
        whole = len(waiting) // STEP_SAMPLES * STEP_SAMPLES
        self._unmeasured = waiting[whole:].copy()
        return self._made(
            self._planner.feed(self._noted(self._detector.feed(pcm)), levels_db(waiting[:whole]))
        )

    def finish(self) -> list[Chunk | Silence]:
        """No more samples: return what is left."""
        last = self._noted(self._detector.finish())
        parts = self._planner.feed(last, levels_db(self._unmeasured))
        return self._made([*parts, *self._planner.finish(self._pcm.end)])

    def _noted(self, probabilities: Probabilities) -> Probabilities:
        self._probabilities.add(probabilities)
        return probabilities

    def _made(self, parts: Iterable[Part]) -> list[Chunk | Silence]:
        made = [self._chunk(p) if p.decode else self._silence(p) for p in parts]
        lead = self._planner.lead_frames * FRAME_SAMPLES
        self._pcm.drop(min(self._planner.undecided_sample - lead, self._pcm.end))
        return made

    def _chunk(self, part: Part) -> Chunk:
        lead = min(self._planner.lead_frames, self._before // FRAME_SAMPLES)
        first = part.first_sample - lead * FRAME_SAMPLES
        self._before = part.end_sample - part.first_sample
        return Chunk(first, self._pcm.view(first, part.end_sample).copy(), lead)

    def _silence(self, part: Part) -> Silence:
        self._before = 0
        return Silence(part.first_sample, part.end_sample - part.first_sample)
