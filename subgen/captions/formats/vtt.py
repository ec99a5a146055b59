"""WebVTT, for browsers; a NOTE says what made it."""

from __future__ import annotations

import unicodedata
from importlib import metadata

from webvtt import Caption, WebVTT
from webvtt.models import Timestamp

from subgen.model import Cue, EngineInfo, Transcript


class Vtt:
    """Text with &, < and > escaped, so that nothing in it is taken for a tag or a time."""

    name = "vtt"
    extension = "vtt"

    def render(self, transcript: Transcript) -> str:
        """WebVTT; without speech, the header and the note alone, which is valid."""
        captions = [_caption(cue) for cue in transcript.cues]
        note = _provenance(transcript.engine)
        return str(WebVTT(captions=captions, header_comments=[note]).content).rstrip("\n") + "\n"


def _caption(cue: Cue) -> Caption:
    lines = [_escaped(unicodedata.normalize("NFC", line)) for line in cue.lines]
    return Caption(_timestamp(cue.start_ms), _timestamp(cue.end_ms), lines)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\0", "\ufffd")


def _timestamp(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return str(Timestamp(seconds // 3600, seconds // 60 % 60, seconds % 60, rest))


def _provenance(engine: EngineInfo) -> str:
    """One line; a path in it may hold anything but what would end or turn the note into a cue."""
    note = (
        f"made by subgen {_version()}, engine {engine.name}, "
        f"checkpoint {engine.checkpoint}, delay {engine.delay_ms} ms"
    )
    return unicodedata.normalize("NFC", " ".join(note.split())).replace("-->", "→")


def _version() -> str:
    try:
        return metadata.version("subgen")
    except metadata.PackageNotFoundError:
        return "from its sources"
