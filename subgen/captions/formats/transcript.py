"""JSON: words with their times, cues, and what made them. Read back by `parse`."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from subgen.errors import UsageError
from subgen.model import Cue, EngineInfo, Timing, Transcript, Word


class Json:
    """A word a line, so that a person can read it and a diff shows what changed."""

    name = "json"
    extension = "json"

    def render(self, transcript: Transcript) -> str:
        """`{"language", "duration_ms", "words", "cues", "engine", "notes"}`; tokens are not in it."""
        members = [
            f'"language": {_json(transcript.language)}',
            f'"duration_ms": {transcript.duration_ms}',
            f'"words": {_rows([_word(word) for word in transcript.words])}',
            f'"cues": {_rows([_cue(cue) for cue in transcript.cues])}',
            f'"engine": {_json(asdict(transcript.engine))}',
            f'"notes": {_rows(transcript.notes)}',
        ]
        return "{\n" + ",\n".join(members) + "\n}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _rows(values: Sequence[object]) -> str:
    return "[\n" + ",\n".join(f"  {_json(value)}" for value in values) + "\n]" if values else "[]"


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _word(word: Word) -> dict[str, object]:
    row: dict[str, object] = {
        "text": _nfc(word.text),
        "start_ms": word.start_ms,
        "end_ms": word.end_ms,
        "timing": word.timing.value,
    }
    return row if word.space_before else {**row, "space_before": False}


def _cue(cue: Cue) -> dict[str, object]:
    return {"start_ms": cue.start_ms, "end_ms": cue.end_ms, "lines": [_nfc(line) for line in cue.lines]}


def parse(text: str) -> Transcript:
    """Read what `Json.render` wrote. Raises UsageError where it is something else."""
    try:
        return _transcript(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"this is not a transcript in JSON ({type(error).__name__}: {error})",
            "write one with --format json",
        ) from error


def _transcript(data: dict[str, Any]) -> Transcript:
    return Transcript(
        language=str(data["language"]),
        duration_ms=int(data["duration_ms"]),
        words=tuple(_read_word(row) for row in data["words"]),
        cues=tuple(
            Cue(int(r["start_ms"]), int(r["end_ms"]), tuple(map(str, r["lines"]))) for r in data["cues"]
        ),
        engine=EngineInfo(**data["engine"]),
        notes=tuple(map(str, data.get("notes", ()))),
    )


def _read_word(row: dict[str, Any]) -> Word:
    return Word(
        text=str(row["text"]),
        start_ms=int(row["start_ms"]),
        end_ms=int(row["end_ms"]),
        timing=Timing(row["timing"]),
        space_before=bool(row.get("space_before", True)),
    )
