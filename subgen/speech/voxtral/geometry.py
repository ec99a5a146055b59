"""The arithmetic of one stream: prompt, padding, delay. MODEL.md, "The stream", says why.

Everything that depends on these numbers takes them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from subgen.errors import IllegalDelay
from subgen.model import FRAME_MS, FRAME_SAMPLES, LEGAL_DELAYS_MS

LEFT_FRAMES = 32
"""Frames of zeros before the audio."""
COMMON_FRAMES = LEFT_FRAMES - 1
"""Those that no window of real audio reaches: the same in all streams."""
TAIL_FRAMES = 11
"""Frames of zeros after the audio and its delay: one, and ten for words still being written."""
FILE_DELAY_MS = 2400
"""A file is in no hurry, and the longest delay is the most accurate."""
LIVE_DELAY_MS = 480


@dataclass(frozen=True, slots=True)
class Geometry:
    """Frame counts of a stream whose words come `delay_frames` after they were said."""

    delay_frames: int

    @classmethod
    def of_delay(cls, delay_ms: int) -> Geometry:
        """Raise `IllegalDelay` for a delay that the model was not trained for."""
        if delay_ms not in LEGAL_DELAYS_MS:
            raise IllegalDelay(
                f"a delay of {delay_ms} ms is not one the model knows",
                "use one of " + ", ".join(map(str, LEGAL_DELAYS_MS)),
            )
        return cls(delay_ms // FRAME_MS)

    @property
    def prompt_frames(self) -> int:
        """Positions whose tokens are given: BOS, and STREAMING_PAD for the left pad and the delay."""
        return 1 + LEFT_FRAMES + self.delay_frames

    def audio_frames(self, samples: int) -> int:
        """Frames of real audio; the last one is filled up with zeros."""
        return -(-samples // FRAME_SAMPLES)

    def total_frames(self, samples: int) -> int:
        """Positions of the whole stream: left pad, audio, delay, tail."""
        return LEFT_FRAMES + self.audio_frames(samples) + self.delay_frames + TAIL_FRAMES

    def token_count(self, samples: int) -> int:
        """Generated tokens: one for each position from the last of the prompt on.

        That is `audio_frames + TAIL_FRAMES`, whatever the delay: token k answers for the audio up
        to the end of frame k.
        """
        return self.total_frames(samples) - self.prompt_frames + 1
