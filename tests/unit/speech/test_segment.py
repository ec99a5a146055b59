"""Where a file is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.model import FRAME_SAMPLES, SAMPLE_RATE, Chunk, Pcm
from subgen.speech.segment import Segmenter, quietest_cut

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(400 * SAMPLE_RATE).astype(np.float32) * np.float32(0.1)


def segmented(pcm: Pcm, cuts: list[int], low: int = 30, high: int = 60) -> list[Chunk]:
    segmenter = Segmenter(low, high)
    chunks = [chunk for piece in np.split(pcm, cuts) for chunk in segmenter.feed(piece)]
    return chunks + segmenter.finish()


@settings(max_examples=40, deadline=None)
@given(seconds=st.floats(0, 400), data=st.data())
def test_every_sample_in_exactly_one_chunk_of_legal_length(seconds: float, data: st.DataObject) -> None:
    pcm = NOISE[: int(seconds * SAMPLE_RATE)]
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=5).map(sorted))
    chunks = segmented(pcm, cuts)
    whole = np.concatenate([c.pcm for c in chunks]) if chunks else np.zeros(0, np.float32)
    assert np.array_equal(whole, pcm)
    starts = np.cumsum([0, *(len(c.pcm) for c in chunks)])[:-1]
    assert [c.first_sample for c in chunks] == starts.tolist()
    assert all(c.first_sample % FRAME_SAMPLES == 0 for c in chunks)
    assert all(len(c.pcm) <= 60 * SAMPLE_RATE for c in chunks)
    if len(chunks) > 1:
        assert all(len(c.pcm) >= 30 * SAMPLE_RATE for c in chunks)


@settings(max_examples=30, deadline=None)
@given(seconds=st.floats(0, 200), low=st.integers(5, 60), more=st.integers(0, 60))
def test_no_chunk_is_longer_than_allowed_whatever_the_limits(seconds: float, low: int, more: int) -> None:
    pcm = NOISE[: int(seconds * SAMPLE_RATE)]
    chunks = segmented(pcm, [], low, low + more)
    assert sum(len(c.pcm) for c in chunks) == len(pcm)
    assert all(len(c.pcm) <= (low + more) * SAMPLE_RATE for c in chunks)
    assert all(c.first_sample % FRAME_SAMPLES == 0 for c in chunks)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_chunks_do_not_depend_on_the_pieces(data: st.DataObject) -> None:
    pcm = NOISE[: 150 * SAMPLE_RATE]
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=20).map(sorted))
    assert [c.first_sample for c in segmented(pcm, cuts)] == [c.first_sample for c in segmented(pcm, [])]


def test_cut_in_the_middle_of_the_pause() -> None:
    pcm = NOISE[: 100 * SAMPLE_RATE].copy()
    pcm[40 * SAMPLE_RATE : 42 * SAMPLE_RATE] = 0
    pcm[50 * SAMPLE_RATE : int(50.1 * SAMPLE_RATE)] = 0  # a gap is no pause
    first = segmented(pcm, [])[0]
    assert abs(len(first.pcm) - 41 * SAMPLE_RATE) <= FRAME_SAMPLES


def test_the_quieter_of_two_pauses() -> None:
    pcm = NOISE[: 20 * SAMPLE_RATE].copy()
    pcm[5 * SAMPLE_RATE : 6 * SAMPLE_RATE] *= 0.1
    pcm[12 * SAMPLE_RATE : 13 * SAMPLE_RATE] *= 0.01
    assert 12 * SAMPLE_RATE < quietest_cut(pcm, 3 * SAMPLE_RATE, 18 * SAMPLE_RATE) < 13 * SAMPLE_RATE


def test_looks_ahead_no_further_than_both_limits() -> None:
    segmenter = Segmenter(30, 60)
    given_out = 0
    for second in range(300):
        given_out += sum(
            len(c.pcm) for c in segmenter.feed(NOISE[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE])
        )
        assert (second + 1) * SAMPLE_RATE - given_out < 91 * SAMPLE_RATE
