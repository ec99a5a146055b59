"""JSON: words with their times, cues, and what made them. Read back by `parse`."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from subgen.errors import UsageError
from subgen.model import Account, Cue, EngineInfo, Span, Timing, Transcript, Word


class Json:
    """A word a line, so that a person can read it and a diff shows what changed."""

    name = "json"
    extension = "json"

    def render(self, transcript: Transcript) -> str:
        """`{"language", "duration_ms", "words", "cues", "engine", "notes", "account"}`; tokens are not."""
        members = [
            f'"language": {_json(transcript.language)}',
            f'"duration_ms": {transcript.duration_ms}',
            f'"words": {_rows([_word(word) for word in transcript.words])}',
            f'"cues": {_rows([_cue(cue) for cue in transcript.cues])}',
            f'"engine": {_json(asdict(transcript.engine))}',
            f'"notes": {_rows(transcript.notes)}',
            f'"account": {_json(_account(transcript.account))}',
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


def _account(account: Account) -> dict[str, object]:
    """Its members by their names; a span as `[start_ms, end_ms]`."""
    return {
        name: [[span.start_ms, span.end_ms] for span in value] if isinstance(value, tuple) else value
        for name, value in ((each.name, getattr(account, each.name)) for each in fields(account))
    }


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
        account=_read_account(data.get("account", {})),
    )


def _read_word(row: dict[str, Any]) -> Word:
    return Word(
        text=str(row["text"]),
        start_ms=int(row["start_ms"]),
        end_ms=int(row["end_ms"]),
        timing=Timing(row["timing"]),
        space_before=bool(row.get("space_before", True)),
    )


def _read_account(row: dict[str, Any]) -> Account:
    """What is not there, as in the files of older versions, is as nothing had happened."""
    return Account(
        decoded_frames=int(row.get("decoded_frames", 0)),
        skipped=_read_spans(row.get("skipped", ())),
        uncovered=_read_spans(row.get("uncovered", ())),
        retried=int(row.get("retried", 0)),
        repaired=int(row.get("repaired", 0)),
        over_silence=int(row.get("over_silence", 0)),
        looped=int(row.get("looped", 0)),
    )


def _read_spans(rows: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    return tuple(Span(int(start), int(end)) for start, end in rows)
