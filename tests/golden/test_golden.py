"""Recorded tokens and the files that come of them.

A folder holds `film.tokens.jsonl`, what a model said; `sound.json`, the language, how many frames
of audio each chunk has, and from when to when there is sound (ms); and the files to expect. After
a change on purpose, `python tests/golden/test_golden.py` writes them anew: read the difference.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from subgen.captions.formats import FORMATS
from subgen.captions.formats.transcript import parse
from subgen.captions.languages import detect
from subgen.captions.layout import layout
from subgen.captions.words import WordStream, join
from subgen.levels import Levels
from subgen.model import (
    FRAME_MS,
    FRAME_SAMPLES,
    Account,
    ChunkFrames,
    EngineInfo,
    Frame,
    TokenKind,
    Transcript,
)

HERE = Path(__file__).parent
RECORDINGS = ("english", "japanese")


def recorded(folder: Path, counts: list[int]) -> list[ChunkFrames]:
    rows = [json.loads(line) for line in (folder / "film.tokens.jsonl").read_text("utf-8").splitlines()]
    chunks = groupby(rows, lambda row: row["frame"] - row["chunk_frame"])
    return [
        ChunkFrames(first * FRAME_SAMPLES, count, tuple(map(frame, said)))
        for (first, said), count in zip(chunks, counts, strict=True)
    ]


def frame(row: dict[str, str]) -> Frame:
    piece = base64.b64decode(row["piece"]) if "piece" in row else row.get("text", "").encode()
    return Frame(int(row["chunk_frame"]), int(row["token"]), TokenKind(row["kind"]), piece)


def loudness(chunk: ChunkFrames, sounds: list[tuple[int, int]]) -> Levels:
    """-20 dBFS where there is sound, else -65."""
    first = chunk.first_sample // 16
    times = first + 10 * np.arange(chunk.chunk_frames * FRAME_MS // 10)
    loud = np.any([(times >= start) & (times < end) for start, end in sounds], axis=0)
    return np.where(loud, -20, -65).astype(np.float32)


def transcript(name: str) -> Transcript:
    about = json.loads((HERE / name / "sound.json").read_text())
    chunks = recorded(HERE / name, about["chunk_frames"])
    stream = WordStream(bias_ms=-40)
    words = [w for chunk in chunks for w in stream.feed(chunk, loudness(chunk, about["sounds"]))]
    words += stream.finish()
    return Transcript(
        language=about["language"],
        duration_ms=sum(about["chunk_frames"]) * FRAME_MS,
        words=tuple(words),
        cues=tuple(layout(words, about["language"])),
        engine=EngineInfo("recording", "made by hand", 2400),
        frames=tuple(chunks),
        account=Account(decoded_frames=sum(about["chunk_frames"])),
    )


def rendered(made: Transcript, name: str) -> str:
    return re.sub(r"(?<=made by subgen )[^,]+", "VERSION", FORMATS[name].render(made))


def expected(recording: str, name: str) -> Path:
    return HERE / recording / f"film.{FORMATS[name].extension}"


@pytest.mark.parametrize("recording", RECORDINGS)
@pytest.mark.parametrize("name", FORMATS)
def test_recordings_give_the_expected_files(recording: str, name: str) -> None:
    assert rendered(transcript(recording), name) == expected(recording, name).read_text("utf-8")


@pytest.mark.parametrize("recording", RECORDINGS)
def test_the_expected_transcript_is_read_back(recording: str) -> None:
    made = transcript(recording)
    read = parse(expected(recording, "json").read_text("utf-8"))
    assert (read.words, read.cues, read.engine) == (made.words, made.cues, made.engine)
    assert read.account == made.account
    assert detect(join(read.words)) == made.language


if __name__ == "__main__":
    for each in RECORDINGS:
        for kind in ("srt", "vtt", "json"):
            expected(each, kind).write_text(rendered(transcript(each), kind), "utf-8")
