"""SubRip, which every player reads."""

from __future__ import annotations

import unicodedata
from datetime import timedelta

import srt

from subgen.model import Cue, Transcript

_NOTHING = Cue(0, 1, ())
"""Stands for no speech: ffmpeg, and the players built on it, refuse a file without a cue as invalid."""


class Srt:
    """Text as it is, there being no way to escape any; only an arrow that could be read as a time is."""

    name = "srt"
    extension = "srt"

    def render(self, transcript: Transcript) -> str:
        """SubRip; without speech, one cue of 1 ms without text."""
        cues = transcript.cues or (_NOTHING,)
        return "".join(_block(number, cue) for number, cue in enumerate(cues, 1))


def _block(number: int, cue: Cue) -> str:
    text = unicodedata.normalize("NFC", "\n".join(cue.lines)).replace("-->", "→")
    start, end = (timedelta(milliseconds=ms) for ms in (cue.start_ms, cue.end_ms))
    return str(srt.Subtitle(number, start, end, text).to_srt())
