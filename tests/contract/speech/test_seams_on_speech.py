"""Wherever speech is cut, its words stay: the sample checkpoint on the demo, judged by the uncut decoding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from subgen.captions.words import WordStream
from subgen.levels import levels_db
from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.model import FRAME_MS, FRAME_SAMPLES, Chunk, Pcm
from subgen.speech.engine import Engine, transcribe
from subgen.speech.segment import Plan, Segmenter
from subgen.speech.voxtral.checkpoint import load
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.testing import word_errors

SAMPLES = Path(__file__).parents[3] / "samples"
RUN_UP_MS = 3000
PASSES = 7
"""How often the demo is cut, each time elsewhere: some 70 seams."""


@pytest.fixture(scope="module")
def demo() -> Pcm:
    media = probe(SAMPLES / "demo.mkv")
    with AudioReader(media, media.audio[0]) as reader:
        return np.concatenate(list(reader))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = VoxtralEngine(load(str(SAMPLES / "tiny")), lanes=8, chunk_seconds=90)
    yield made
    made.close()


@pytest.fixture(scope="module")
def uncut(engine: Engine, demo: Pcm) -> list[str]:
    return heard(engine, [[Chunk(0, demo)]])[0]


def heard(engine: Engine, passes: list[list[Chunk]]) -> list[list[str]]:
    """The words of each pass; all of them go through the lanes as one row of chunks."""
    frames = transcribe(engine, [chunk for chunks in passes for chunk in chunks])
    result = []
    for chunks in passes:
        run_up = max(chunk.lead_frames for chunk in chunks) * FRAME_MS
        stream = WordStream(engine.bias_ms(), run_up)
        words = [w for chunk in chunks for w in stream.feed(next(frames), levels_db(chunk.pcm))]
        result.append([word.text for word in words + stream.finish()])
    return result


def cut_anywhere(pcm: Pcm, run_up_ms: int, seed: int) -> list[Chunk]:
    """Chunks of 6 to 12 s, cut without regard to what is said; the seed has them cut at the same places."""
    total = -(-len(pcm) // FRAME_SAMPLES)
    cuts = np.cumsum(np.random.default_rng(seed).integers(6000 // FRAME_MS, 12_000 // FRAME_MS, 20))
    edges = [0, *(int(cut) for cut in cuts if cut < total - 50), total]
    chunks = []
    for first, end in pairwise(edges):
        lead = -(-run_up_ms // FRAME_MS) if first else 0
        begin = (first - lead) * FRAME_SAMPLES
        chunks.append(Chunk(begin, pcm[begin : end * FRAME_SAMPLES], lead))
    return chunks


def changed(engine: Engine, pcm: Pcm, uncut: list[str], run_up_ms: int) -> tuple[int, int]:
    """How many words are others than without cuts, over all passes, and how many seams there were."""
    passes = [cut_anywhere(pcm, run_up_ms, seed) for seed in range(PASSES)]
    errors = sum(word_errors(uncut, words)[0] for words in heard(engine, passes))
    seams = sum(len(chunks) - 1 for chunks in passes)
    print(
        f"run-up of {run_up_ms} ms: {errors} of {PASSES * len(uncut)} words changed by {seams} seams, "
        f"{errors / PASSES / len(uncut):.2%}"
    )
    return errors, seams


def test_cutting_anywhere_changes_the_words_by_less_than_one_percent(
    engine: Engine, demo: Pcm, uncut: list[str]
) -> None:
    bare, _ = changed(engine, demo, uncut, 0)
    errors, seams = changed(engine, demo, uncut, RUN_UP_MS)
    assert seams >= 60
    assert errors < 0.01 * PASSES * len(uncut)
    assert errors < 0.5 * bare  # it is the run-up that does it


@pytest.mark.parametrize("lead_in_seconds", [0, 3])
def test_cuts_at_planned_places_change_next_to_nothing(
    engine: Engine, demo: Pcm, uncut: list[str], lead_in_seconds: int
) -> None:
    plan = partial(Plan, target_seconds=20, shortest_seconds=15, longest_seconds=30, skip_after_seconds=5)
    segmenter = Segmenter(plan(lead_in_seconds=lead_in_seconds))
    parts = segmenter.feed(demo) + segmenter.finish()
    chunks = [part for part in parts if isinstance(part, Chunk)]
    assert len(chunks) < len(parts)  # the music is skipped
    errors, _ = word_errors(uncut, heard(engine, [chunks])[0])
    print(f"run-up of {lead_in_seconds} s: {errors} of {len(uncut)} words changed by {len(chunks) - 1} cuts")
    assert errors <= 0.01 * len(uncut)
