"""Where a file is cut, and what of it is not decoded."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.levels import levels_db
from subgen.model import FRAME_SAMPLES, SAMPLE_RATE, Chunk, Pcm, Silence
from subgen.speech.cuts import best_cut
from subgen.speech.segment import Part, Plan, Planner, Segmenter
from subgen.speech.vad import WINDOW_SAMPLES, Probabilities

NOISE = np.random.default_rng(0).standard_normal(400 * SAMPLE_RATE).astype(np.float32) * np.float32(0.1)
USUAL = Plan()
SMALL = Plan(3, 2, 6, 1.5, 0.3)
"""Everything a tenth as long, so that a short input has many parts."""


class Told:
    """A detector that was told the probabilities beforehand, 0.9 after the last of them."""

    def __init__(self, probabilities: Probabilities) -> None:
        self._probabilities = probabilities
        self._samples = 0
        self._given = 0

    def feed(self, pcm: Pcm) -> Probabilities:
        self._samples += len(pcm)
        return self._up_to(self._samples // WINDOW_SAMPLES)

    def finish(self) -> Probabilities:
        return self._up_to(-(-self._samples // WINDOW_SAMPLES))

    def _up_to(self, count: int) -> Probabilities:
        first, self._given = self._given, count
        known = self._probabilities[first:count]
        return np.append(known, np.full(count - first - len(known), 0.9, np.float32)).astype(np.float32)


def runs(*told: tuple[float, float]) -> Probabilities:
    """Probabilities, each for so many seconds."""
    return np.concatenate([np.full(round(s * SAMPLE_RATE / WINDOW_SAMPLES), p, np.float32) for p, s in told])


SPOKEN = runs((0.9, 0))


def segmented(
    pcm: Pcm, told: Probabilities = SPOKEN, plan: Plan = USUAL, cuts: list[int] | None = None
) -> list[Chunk | Silence]:
    segmenter = Segmenter(plan, Told(told))
    parts = [part for piece in np.split(pcm, cuts or []) for part in segmenter.feed(piece)]
    return parts + segmenter.finish()


def bounds(part: Chunk | Silence) -> tuple[int, int]:
    """First and end sample, without the run-up."""
    if isinstance(part, Silence):
        return part.first_sample, part.first_sample + part.samples
    return part.first_sample + part.lead_frames * FRAME_SAMPLES, part.first_sample + len(part.pcm)


def seconds(parts: list[Chunk | Silence]) -> list[tuple[str, float, float]]:
    edges = ((type(p).__name__, *bounds(p)) for p in parts)
    return [(name, first / SAMPLE_RATE, end / SAMPLE_RATE) for name, first, end in edges]


def chunk_lengths(parts: list[Chunk | Silence]) -> list[float]:
    return [(bounds(p)[1] - bounds(p)[0]) / SAMPLE_RATE for p in parts if isinstance(p, Chunk)]


RUNS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.24, 0.3, 0.4, 0.6, 0.95]), st.floats(0.03, 12)), max_size=25
).map(lambda told: runs(*told) if told else SPOKEN)
PLANS = st.builds(
    Plan,
    target_seconds=st.integers(1, 12),
    shortest_seconds=st.integers(1, 6),
    longest_seconds=st.integers(6, 15),
    skip_after_seconds=st.one_of(st.none(), st.floats(0, 8)),
    margin_seconds=st.floats(0, 2),
    lead_in_seconds=st.floats(0, 5),
)


@given(told=RUNS, plan=PLANS, length=st.integers(0, 60 * SAMPLE_RATE), data=st.data())
def test_every_sample_is_in_one_part_of_legal_length(
    told: Probabilities, plan: Plan, length: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, length), max_size=5).map(sorted))
    pcm = NOISE[:length]
    parts = segmented(pcm, told, plan, cuts)
    edges = [bounds(p) for p in parts]
    assert (
        [x for edge in edges for x in edge] == sorted([0, *(e for _, e in edges)] * 2)[1:-1]
        if edges
        else True
    )
    assert sum(end - first for first, end in edges) == length
    for part, (first, end) in zip(parts, edges, strict=True):
        assert first % FRAME_SAMPLES == 0
        assert first < end
        assert end % FRAME_SAMPLES == 0 or end == length
        if isinstance(part, Chunk):
            assert np.array_equal(part.pcm, pcm[part.first_sample : end])
            assert len(part.pcm) <= plan.longest_seconds * SAMPLE_RATE


@given(told=RUNS, plan=PLANS, length=st.integers(0, 60 * SAMPLE_RATE))
def test_speech_is_never_skipped_nor_what_is_near_it(told: Probabilities, plan: Plan, length: int) -> None:
    told = told[: -(-length // WINDOW_SAMPLES)]
    margin = plan.margin_seconds * SAMPLE_RATE
    for part in segmented(np.zeros(length, np.float32), told, plan):  # even if it is as quiet as can be
        if isinstance(part, Silence):
            first, end = bounds(part)
            near = told[
                int(max(0, first - margin)) // WINDOW_SAMPLES : -(-int(end + margin) // WINDOW_SAMPLES)
            ]
            assert not (near >= 0.5).any()
            assert plan.skip_after_seconds is not None


@given(told=RUNS, length=st.integers(0, 60 * SAMPLE_RATE), lead=st.sampled_from([0, 1]))
def test_chunks_are_short_only_between_silences(told: Probabilities, length: int, lead: int) -> None:
    parts = segmented(NOISE[:length], told, replace(SMALL, lead_in_seconds=lead))
    for before, part in pairwise(parts):
        if isinstance(before, Chunk) and isinstance(part, Chunk):
            shortest = min(bounds(p)[1] - bounds(p)[0] for p in (before, part))
            assert (
                shortest > SMALL.shortest_seconds * SAMPLE_RATE - FRAME_SAMPLES
            )  # the last frame counts whole


@settings(max_examples=40)
@given(told=RUNS, plan=PLANS, data=st.data())
def test_parts_do_not_depend_on_the_pieces(told: Probabilities, plan: Plan, data: st.DataObject) -> None:
    pcm = NOISE[: 60 * SAMPLE_RATE + 77]
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=20).map(sorted))
    every = list(range(0, len(pcm), data.draw(st.integers(997, 30_000))))
    whole = segmented(pcm, told, plan)
    assert seconds(segmented(pcm, told, plan, cuts)) == seconds(whole)
    assert seconds(segmented(pcm, told, plan, every)) == seconds(whole)


@given(told=RUNS, plan=PLANS)
def test_looks_ahead_no_further_than_allowed(told: Probabilities, plan: Plan) -> None:
    """In memory are the limits together, the silence that may be skipped, the run-up and some frames."""
    segmenter = Segmenter(plan, Told(told))
    silence = 0 if plan.skip_after_seconds is None else max(plan.skip_after_seconds, 2 * plan.margin_seconds)
    allowed = plan.longest_seconds + plan.shortest_seconds + silence + plan.lead_in_seconds + 0.5
    step = SAMPLE_RATE // 10
    for at in range(0, 60 * SAMPLE_RATE, step):
        segmenter.feed(NOISE[at : at + step])
        assert segmenter.samples_kept <= allowed * SAMPLE_RATE + step


def test_memory_is_bounded() -> None:
    plan = replace(SMALL, lead_in_seconds=2)
    for told in (runs((0.9, 400)), runs((0, 400)), runs(*[(0.9, 1), (0.1, 4)] * 80)):
        segmenter = Segmenter(plan, Told(told))
        for at in range(0, len(NOISE), SAMPLE_RATE):
            segmenter.feed(NOISE[at : at + SAMPLE_RATE])
            assert segmenter.samples_kept < 14 * SAMPLE_RATE
        assert len(segmenter.probabilities) == len(NOISE) // WINDOW_SAMPLES


def test_the_middle_of_a_silence_is_skipped() -> None:
    parts = segmented(NOISE[: 60 * SAMPLE_RATE], runs((0.9, 24), (0.1, 12), (0.9, 24)))
    assert seconds(parts) == [("Chunk", 0, 25.04), ("Silence", 25.04, 34.96), ("Chunk", 34.96, 60)]


def test_at_the_ends_of_a_file_nothing_stays_of_a_silence() -> None:
    parts = segmented(NOISE[: 60 * SAMPLE_RATE], runs((0.1, 20), (0.9, 24), (0.1, 16)))
    assert [name for name, *_ in seconds(parts)] == ["Silence", "Chunk", "Silence"]
    assert bounds(parts[0])[0] == 0
    assert bounds(parts[2])[1] == 60 * SAMPLE_RATE
    assert segmented(NOISE[: 9 * SAMPLE_RATE + 5], runs((0, 20))) == [Silence(0, 9 * SAMPLE_RATE + 5)]


def test_a_silence_of_just_the_length_stays() -> None:
    for plan, told in ((Plan(), runs((0.9, 24), (0, 7.9), (0.9, 24))), (Plan(), runs((0, 7.9), (0.9, 24)))):
        assert not any(isinstance(p, Silence) for p in segmented(NOISE[: 56 * SAMPLE_RATE], told, plan))


def test_skipping_can_be_turned_off() -> None:
    parts = segmented(NOISE[: 100 * SAMPLE_RATE], runs((0, 100)), Plan(skip_after_seconds=None))
    assert all(isinstance(p, Chunk) for p in parts)


@pytest.mark.parametrize(("blip", "silences"), [(0.2, 1), (0.3, 2), (0.45, 2), (0.9, 2)])
def test_a_short_doubt_ends_a_silence(blip: float, silences: int) -> None:
    told = runs((0.9, 20), (0, 15), (blip, 0.1), (0, 15), (0.9, 20))
    parts = segmented(NOISE[: 70 * SAMPLE_RATE], told)
    assert sum(isinstance(p, Silence) for p in parts) == silences


def test_a_doubt_where_nothing_is_to_be_heard_is_none() -> None:
    told = runs((0.9, 20), (0, 15), (0.4, 0.1), (0, 15), (0.9, 20))
    pcm = NOISE[: 70 * SAMPLE_RATE].copy()
    pcm[34 * SAMPLE_RATE : 37 * SAMPLE_RATE] *= 1e-4
    assert sum(isinstance(p, Silence) for p in segmented(pcm, told)) == 1


def test_a_lone_line_is_a_short_chunk_with_its_silence() -> None:
    parts = segmented(NOISE[: 62 * SAMPLE_RATE], runs((0, 30), (0.9, 2), (0, 30)))
    assert [name for name, *_ in seconds(parts)] == ["Silence", "Chunk", "Silence"]
    assert seconds(parts)[1] == ("Chunk", 28.96, 33.04)  # 30 to 32 s, with 1 s on each side, and whole frames


def test_half_a_film_of_silence_costs_about_half() -> None:
    told = runs(*[(0.9, 20), (0.1, 20)] * 10)
    assert 0.5 <= sum(chunk_lengths(segmented(NOISE, told))) / 400 < 0.56


def test_chunks_are_near_the_target() -> None:
    for target in (25, 30, 45):
        lengths = chunk_lengths(segmented(NOISE, runs((0.1, 400)), Plan(target, skip_after_seconds=None)))
        assert all(0.9 * target <= x <= 1.1 * target for x in lengths[:-2])
        assert all(0.6 * target <= x <= 1.4 * target for x in lengths[-2:])  # the rest is halved


def test_cut_in_the_middle_of_the_pause() -> None:
    pcm = NOISE[: 100 * SAMPLE_RATE].copy()
    pcm[40 * SAMPLE_RATE : 42 * SAMPLE_RATE] = 0
    pcm[35 * SAMPLE_RATE : int(35.1 * SAMPLE_RATE)] = 0  # a gap is no pause
    first = segmented(pcm)[0]
    assert abs(bounds(first)[1] - 41 * SAMPLE_RATE) <= FRAME_SAMPLES


def test_cut_where_nobody_speaks_even_if_it_is_louder() -> None:
    pcm = NOISE[: 100 * SAMPLE_RATE].copy()
    pcm[30 * SAMPLE_RATE : 31 * SAMPLE_RATE] *= 0.01
    told = runs((0.9, 50), (0.2, 1), (0.9, 50))
    assert 50 < chunk_lengths(segmented(pcm, told))[0] < 51
    assert 30 < chunk_lengths(segmented(pcm))[0] < 31


def test_the_quieter_of_two_pauses() -> None:
    pcm = NOISE[: 20 * SAMPLE_RATE].copy()
    pcm[5 * SAMPLE_RATE : 6 * SAMPLE_RATE] *= 0.1
    pcm[12 * SAMPLE_RATE : 13 * SAMPLE_RATE] *= 0.01
    cut = best_cut(levels_db(pcm), np.zeros(250, bool), 40, 225, 100)
    assert 12 < cut * 0.08 < 13


def test_of_equal_pauses_the_one_nearest_the_target() -> None:
    pcm = NOISE[: 100 * SAMPLE_RATE].copy()
    for at in (22, 33, 52):
        pcm[at * SAMPLE_RATE : (at + 1) * SAMPLE_RATE] = 0
    assert 33 < chunk_lengths(segmented(pcm))[0] < 34


def test_a_silence_that_is_not_yet_long_enough_is_waited_for() -> None:
    """Cut at 60 s, what is left before the silence would be too short."""
    lengths = chunk_lengths(segmented(NOISE[: 120 * SAMPLE_RATE], runs((0.9, 75), (0.1, 45)), Plan(60)))
    assert len(lengths) == 2
    assert min(lengths) >= 20


def test_no_cut_where_it_would_make_a_chunk_too_short() -> None:
    assert chunk_lengths(segmented(NOISE[: 30 * SAMPLE_RATE], plan=Plan(20, 18))) == [30]
    assert len(chunk_lengths(segmented(NOISE[: 37 * SAMPLE_RATE], plan=Plan(20, 18)))) == 2


def test_too_long_for_one_chunk_and_too_short_for_two() -> None:
    pcm = NOISE[: 35 * SAMPLE_RATE].copy()
    pcm[20 * SAMPLE_RATE : 21 * SAMPLE_RATE] = 0
    first, second = chunk_lengths(segmented(pcm, plan=Plan(25, 20, 30)))
    assert 20 < first < 21
    assert second == 35 - first


def test_the_run_up_counts_towards_the_longest() -> None:
    parts = segmented(NOISE[: 200 * SAMPLE_RATE], plan=Plan(60, lead_in_seconds=5))
    assert [len(p.pcm) <= 60 * SAMPLE_RATE for p in parts if isinstance(p, Chunk)] == [True] * 4


def test_a_run_up_only_directly_after_a_chunk() -> None:
    told = runs((0.9, 100), (0, 30), (0.9, 70))
    parts = segmented(NOISE[: 200 * SAMPLE_RATE], told, Plan(lead_in_seconds=3))
    for before, part in pairwise([None, *parts]):
        if isinstance(part, Chunk):
            assert part.lead_frames == (38 if isinstance(before, Chunk) else 0)
    assert sum(isinstance(p, Silence) for p in parts) == 1


def test_the_planner_waits_for_levels_and_probabilities_alike() -> None:
    levels, told = levels_db(NOISE[: 100 * SAMPLE_RATE]), runs((0.9, 50), (0, 50))
    one, other = Planner(Plan()), Planner(Plan())
    whole = [*one.feed(told, levels), *one.finish(100 * SAMPLE_RATE)]
    parts = [*other.feed(told, levels[:0]), *other.feed(told[:0], levels), *other.finish(100 * SAMPLE_RATE)]
    assert parts == whole
    assert whole[-1] == Part(whole[-1].first_sample, 100 * SAMPLE_RATE, decode=False)
