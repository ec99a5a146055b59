"""Words against the sound, on the words of the demo, on sentences, and on what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgen.captions.guard import holes, patched, retry_span, summary, without_loops, without_silent
from subgen.model import FRAME_MS, Account, Span, Timing, Word

ROOT = Path(__file__).parents[3]
DEMO = [
    Word(word["text"], word["start_ms"], word["end_ms"])
    for word in json.loads((ROOT / "samples/demo.words.json").read_text("utf-8"))["words"]
]
SENTENCES = (ROOT / "scripts/train_sample/sentences.txt").read_text("utf-8").splitlines()
END_MS = 89_200


def speech_of(words: Sequence[Word], tail_ms: int = 130, bridged_ms: int = 320) -> list[Span]:
    """What a detector makes of words: pauses between them are bridged, ends come late."""
    spans: list[Span] = []
    for word in words:
        span = Span(word.start_ms, word.end_ms + tail_ms)
        if spans and span.start_ms - spans[-1].end_ms <= bridged_ms:
            span = Span(spans.pop().start_ms, span.end_ms)
        spans.append(span)
    return spans


def silence_of(words: Sequence[Word], end_ms: int) -> list[Span]:
    speech = [Span(0, 0), *speech_of(words), Span(end_ms, end_ms)]
    gaps = [Span(a.end_ms + 160, b.start_ms - 160) for a, b in pairwise(speech)]
    return [gap for gap in gaps if gap.duration_ms > 480]


def spoken(text: str, at_ms: int = 0, per_word_ms: int = 300, gap_ms: int = 0) -> list[Word]:
    return [
        Word(word, at_ms + n * (per_word_ms + gap_ms), at_ms + n * (per_word_ms + gap_ms) + per_word_ms)
        for n, word in enumerate(text.split())
    ]


def unspaced(pieces: Sequence[str], per_piece_ms: int) -> list[Word]:
    return [replace(word, space_before=False) for word in spoken(" ".join(pieces), 0, per_piece_ms)]


def text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def in_order(words: Sequence[Word]) -> bool:
    times = [0, *(t for word in words for t in (word.start_ms, word.end_ms))]
    return times == sorted(times) and all(word.start_ms < word.end_ms for word in words)


@st.composite
def inexact(draw: st.DrawFn, words: Sequence[Word]) -> list[Word]:
    """The words with times as wrong as they come: ends by 90 ms, starts late by up to 300 ms."""
    result: list[Word] = []
    for word in words:
        floor = result[-1].end_ms if result else 0
        end = max(floor + 20, word.end_ms + draw(st.integers(-90, 90)))
        start = min(word.start_ms + draw(st.integers(-80, 300)), end - 20)
        result.append(Word(word.text, max(floor, start), end))
    return result


@st.composite
def timelines(draw: st.DrawFn) -> list[Word]:
    """Any words in order, some touching, some far apart."""
    words: list[Word] = []
    for label in draw(
        st.lists(st.sampled_from(["no", "No.", "yes", "and", "はは", "♪", "you"]), max_size=40)
    ):
        start = (words[-1].end_ms if words else 0) + draw(st.sampled_from([0, 0, 0, 80, 170, 600, 3000]))
        words.append(Word(label, start, start + draw(st.sampled_from([1, 40, 160, 300, 1200]))))
    return words


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    edges = sorted(draw(st.sets(st.integers(0, 30_000), max_size=12)))
    return [Span(*pair) for pair in zip(edges[::2], edges[1::2], strict=False)]


# Holes


@given(inexact(DEMO))
def test_well_covered_speech_has_no_holes(words: list[Word]) -> None:
    assert holes(words, speech_of(DEMO), 0, END_MS) == []


@given(st.data())
def test_slow_speech_with_breaths_has_no_holes(data: st.DataObject) -> None:
    slow = spoken(" ".join(SENTENCES[:4]), 500, per_word_ms=900, gap_ms=300)
    assert holes(data.draw(inexact(slow)), speech_of(slow), 0, slow[-1].end_ms + 500) == []


@given(st.integers(0, len(DEMO) - 1), st.integers(1, 30), inexact(DEMO))
def test_every_long_hole_is_found_and_no_short_one(first: int, count: int, words: list[Word]) -> None:
    left = [*words[:first], *words[first + count :]]
    missing = DEMO[first : first + count]
    spoken_ms = sum(span.duration_ms for span in speech_of(missing, tail_ms=0))
    found = holes(left, speech_of(DEMO), 0, END_MS)
    if spoken_ms > 3200:
        (hole,) = found
        assert hole.start_ms <= missing[1].start_ms + 400  # a short word may hide beside its neighbour
        assert hole.end_ms >= missing[-2].end_ms - 200
        assert all(word.end_ms < hole.start_ms or hole.end_ms < word.start_ms for word in left)
    if spoken_ms < 1000:
        assert found == []


def test_a_hole_lies_between_words_and_is_trimmed_to_the_speech() -> None:
    words = [Word("one", 0, 1000), Word("two", 9000, 9500)]
    speech = [Span(0, 1100), Span(3000, 4500), Span(5000, 6000), Span(8950, 9600)]
    assert holes(words, speech, 0, 20_000) == [Span(3000, 6000)]
    assert holes(words, speech, 0, 20_000, longest_ms=2500) == []


def test_the_border_of_a_hole() -> None:
    words = [Word("one", 0, 1000), Word("two", 4000, 4500)]
    for end, found in ((3239, 0), (3241, 1)):
        assert len(holes(words, [Span(0, end)], 0, 5000)) == found


def test_holes_at_the_borders_and_without_any_word() -> None:
    assert holes([], [Span(0, 9000)], 1000, 8000) == [Span(1000, 8000)]
    assert holes([], [], 0, 8000) == []
    word = [Word("one", 4000, 5000)]
    assert holes(word, [Span(0, 9000)], 0, 9000) == [Span(0, 3920), Span(5240, 9000)]


def test_words_beyond_the_borders_cover_what_they_cover() -> None:
    words = [Word("one", 0, 6000), Word("two", 6000, 6500), Word("three", 30_000, 31_000)]
    assert holes(words, [Span(0, 40_000)], 5000, 9000) == [Span(6740, 9000)]


def test_scattered_speech_is_one_hole() -> None:
    speech = [Span(n * 2000, n * 2000 + 500) for n in range(8)]
    assert holes([], speech, 0, 20_000) == [Span(0, 14_500)]


def test_minutes_of_deafness_come_in_parts() -> None:
    found = holes([], [Span(0, 70_000), Span(95_000, 150_000)], 0, 200_000)
    assert all(hole.duration_ms <= 40_000 for hole in found)
    assert found == [Span(0, 37_500), Span(37_500, 70_000), Span(95_000, 112_500), Span(112_500, 150_000)]


# Where to decode again

POINTS = st.integers(0, 10**7)


@given(POINTS, st.integers(0, 60_000), st.integers(2100, 40_000), st.integers(0, 60_000), st.data())
def test_where_to_decode_again(start: int, before: int, length: int, after: int, data: st.DataObject) -> None:
    within = Span(start, start + before + length + after)
    hole = Span(start + before, start + before + length)
    tried = data.draw(st.sets(st.integers(0, 20).map(lambda n: (hole.start_ms // 80 - n) * 80), max_size=3))
    made = [retry_span(hole, attempt, within, tried) for attempt in (1, 2, 3)]
    first = [retry_span(hole, attempt, within) for attempt in (1, 2, 3)]
    assert len({span.start_ms for span in first}) == 3
    for span in [*made, *first]:
        assert span.start_ms % FRAME_MS == 0
        assert span.end_ms % FRAME_MS == 0 or span.end_ms == within.end_ms
        assert within.start_ms < span.start_ms
        assert hole.end_ms <= span.end_ms <= within.end_ms
        assert span.duration_ms <= 60_000
        assert span.duration_ms >= min(5000, within.duration_ms - 3 * 80 - 80 - 320)
        assert span.start_ms <= max(hole.start_ms, start + 4 * FRAME_MS) + len(tried) * FRAME_MS
        assert span.start_ms <= hole.start_ms - 5000 + len(tried) * FRAME_MS or before < 5400
    assert not tried & {span.start_ms for span in made}


def test_some_seconds_before_and_after() -> None:
    within = Span(0, 100_000)
    assert retry_span(Span(40_010, 43_000), 1, within) == Span(28_000, 47_040)
    assert retry_span(Span(40_010, 43_000), 2, within) == Span(32_000, 47_040)
    assert retry_span(Span(40_010, 43_000), 1, within, tried=[28_000]) == Span(28_080, 47_040)
    assert retry_span(Span(0, 3000), 2, within) == Span(160, 7040)


# Patching

SAID = spoken("the cold river never heard the green window again today", 1000, 400)


def without(words: Sequence[Word], first: int, end: int) -> list[Word]:
    return [*words[:first], *words[end:]]


@pytest.mark.parametrize(("first", "end"), [(0, 4), (3, 7), (6, 10), (0, 10)])
def test_a_hole_is_filled(first: int, end: int) -> None:
    hole = Span(SAID[first].start_ms, SAID[end - 1].end_ms)
    assert patched(without(SAID, first, end), hole, SAID) == SAID


@given(st.integers(0, len(DEMO) - 6), st.integers(5, 30), inexact(DEMO), inexact(DEMO))
def test_another_hearing_doubles_and_loses_nothing(
    first: int, count: int, words: list[Word], again: list[Word]
) -> None:
    missing = DEMO[first : first + count]
    hole = Span(missing[0].start_ms + 100, missing[-1].end_ms - 100)
    result = patched(without(words, first, first + count), hole, again)
    assert text(result) == text(DEMO)
    assert in_order(result)


def test_a_repeated_word_is_told_from_its_neighbour() -> None:
    said = spoken("no no no no no no no", 1000, 450)
    hole = Span(1500, 3600)
    again = [replace(word, start_ms=word.start_ms + 70, end_ms=word.end_ms + 70) for word in said]
    assert text(patched(without(said, 1, 6), hole, again)) == text(said)


def test_a_neighbour_that_is_heard_later_is_not_doubled() -> None:
    words = [Word("window.", 600, 1000), Word("and", 4000, 4200)]
    again = [Word("Window", 800, 1280), *spoken("was never closed", 1500), Word("and", 3700, 3900)]
    assert text(patched(words, Span(1400, 3600), again)) == "window. was never closed and"


def test_a_neighbour_that_was_misheard_does_not_hide_a_repetition() -> None:
    words = [Word("no", 600, 1000), Word("more", 4000, 4200)]
    again = [Word("know", 600, 1000), *spoken("no no", 1400, 500), Word("more", 4000, 4200)]
    assert text(patched(words, Span(1400, 3600), again)) == "no no no more"


def test_only_words_of_the_hole_are_taken() -> None:
    words = [Word("one", 0, 500), Word("two", 20_000, 20_500)]
    again = spoken("music again", 3000) + spoken("real words", 8000) + spoken("more music", 15_000)
    assert text(patched(words, Span(8000, 8600), again)) == "one real words two"


def test_a_hole_that_was_filled_in_part_is_filled_up() -> None:
    hole = Span(SAID[1].start_ms, SAID[8].end_ms)
    half = patched(without(SAID, 1, 9), hole, SAID[:7])
    assert half == without(SAID, 7, 9)
    assert patched(half, hole, SAID) == SAID


def test_nothing_new_changes_nothing() -> None:
    left = without(SAID, 3, 7)
    hole = Span(SAID[3].start_ms, SAID[6].end_ms)
    assert patched(left, hole, []) == left
    assert patched(left, hole, left) == left


def test_words_that_reach_into_a_neighbour_are_cut() -> None:
    words = [Word("one", 0, 1000), Word("three", 4000, 4500)]
    again = [Word("Two", 900, 4100), Word("tree", 4100, 4600)]
    assert patched(words, Span(1300, 3900), again) == [
        words[0],
        Word("Two", 1000, 4000, Timing.SHARED),
        words[1],
    ]


@given(timelines(), timelines(), spans())
def test_patching_keeps_all_words_and_their_order(
    words: list[Word], again: list[Word], speech: list[Span]
) -> None:
    for hole in holes(words, speech, 0, 60_000, longest_ms=300):
        result = patched(words, hole, again)
        assert in_order(result)
        assert [word for word in result if word in words] == words
        ends = [word.end_ms for word in result]
        assert all(a < b for a, b in pairwise(ends))


# Silence


@given(inexact(DEMO))
def test_spoken_words_are_never_over_silence(words: list[Word]) -> None:
    assert without_silent(words, silence_of(DEMO, END_MS)) == (words, [])


def test_words_over_music_are_dropped() -> None:
    before, after = spoken("that was all", 0), spoken("and now", 20_000)
    babble = [*spoken("thank you for watching", 2500), *spoken("la la la", 9000, 200, gap_ms=300)]
    words = [*before, *babble, *after]
    assert without_silent(words, [Span(1100, 19_800)]) == ([*before, *after], babble)


def test_a_phrase_goes_as_a_whole() -> None:
    """Its last word alone would be too near the speech."""
    phrase = spoken("thank you for watching this", 8000)
    assert without_silent(phrase, [Span(0, 9700)]) == ([], phrase)
    assert without_silent([*phrase, Word("now", 9500, 10_000)], [Span(0, 9700)])[0] == [
        phrase[4],
        Word("now", 9500, 10_000),
    ]


@pytest.mark.parametrize(
    "word", [Word("x", 900, 1200), Word("x", 9300, 9600), Word("x", 400, 12_000), Word("x", 9900, 10_300)]
)
def test_a_word_near_an_edge_stays(word: Word) -> None:
    assert without_silent([word], [Span(0, 10_000)]) == ([word], [])


def test_a_writer_who_is_behind_is_no_babbler() -> None:
    fast = spoken("one two three four five six seven eight nine ten", 4000, per_word_ms=240)
    assert without_silent(fast, [Span(4700, 20_000)]) == (fast, [])
    longer = spoken(" ".join(["talk"] * 30), 4000, per_word_ms=240)
    kept, dropped = without_silent(longer, [Span(4700, 20_000)])
    assert kept[-1].end_ms <= 8700
    assert len(dropped) > 8


# Loops

REAL = [
    "no, no, no, no! No, no, no.",
    "it was very very very very very very big",
    "ha ha ha ha ha ha ha ha ha ha ha ha",
    "one two three four one two three four one two three four one two three four",
    "thank you thank you thank you thank you so much",
    "work work work work work work he said me haffi work work work work work work",
    "na na na na na na na na na na na na na na na na Batman",
    "go go go go go go go go go go run",
    "Yaaaaaaaaaaaay nooooooooooooo hahahahahahahahaha la-la-la-la-la-la",
    "100 000 000 000 000 000 000 euros",
]


@pytest.mark.parametrize("said", REAL)
@pytest.mark.parametrize("per_word_ms", [160, 200, 300, 500])
def test_real_repetitions_are_kept(said: str, per_word_ms: int) -> None:
    words = spoken(said, 0, per_word_ms)
    assert without_loops(words) == (words, [])


@pytest.mark.parametrize("refrain", ["around the world", "gucci gang", "all you need is love"])
def test_a_chorus_is_kept(refrain: str) -> None:
    words = spoken(" ".join([refrain] * 14), 0, per_word_ms=280)
    assert without_loops(words) == (words, [])


@pytest.mark.parametrize(
    ("pieces", "per_piece_ms"),
    [
        (["はは"] * 10, 300),
        (["ハハハハハハハハハハ"], 1500),
        (["ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ"], 900),
        (["哈"] * 16, 180),
        (["いや"] * 8, 250),
        (["頑張れ"] * 20, 600),
    ],
)
def test_real_repetitions_without_spaces_are_kept(pieces: list[str], per_piece_ms: int) -> None:
    words = unspaced(pieces, per_piece_ms)
    assert without_loops(words) == (words, [])


@given(st.lists(st.sampled_from([*SENTENCES, *REAL]), min_size=1, max_size=12), st.integers(160, 600))
def test_speech_has_no_loops(said: list[str], per_word_ms: int) -> None:
    words = spoken(" ".join(said), 0, per_word_ms)
    spoken_twice = [a for a, b in pairwise(said) if a == b]
    if not spoken_twice:
        assert without_loops(words) == (words, [])


def test_the_demo_has_no_loops() -> None:
    assert without_loops(DEMO) == (DEMO, [])


TWELVE = "this is a round of twelve words that goes on for ever"


@pytest.mark.parametrize(
    ("unit", "rounds", "kept"),
    [
        ("you", 60, 4),
        ("thank you.", 40, 4),
        ("and so on", 20, 3),
        ("one two three four", 12, 4),
        (TWELVE, 8, 12),
    ],
)
def test_a_loop_is_cut_after_its_first_rounds(unit: str, rounds: int, kept: int) -> None:
    before = spoken("it was a cold winter", 0)
    loop = spoken(" ".join([unit] * rounds), before[-1].end_ms, per_word_ms=160)
    after = spoken("then spring came", loop[-1].end_ms)
    assert without_loops([*before, *loop, *after]) == ([*before, *loop[:kept], *after], loop[kept:])


def test_case_and_punctuation_do_not_hide_a_loop() -> None:
    loop = spoken("You, you. YOU " * 12, 0, 160)
    assert without_loops(loop) == (loop[:4], loop[4:])


def test_a_loop_that_the_end_cuts_short_is_dropped_to_its_end() -> None:
    loop = spoken("and so on " * 20 + "and so", 0, 160)
    assert without_loops(loop) == (loop[:3], loop[3:])


def test_what_may_begin_the_next_sentence_is_kept() -> None:
    loop = spoken("and so on " * 20 + "and so it ended", 0, 160)
    assert without_loops(loop)[0] == [*loop[:3], *loop[60:]]


@pytest.mark.parametrize(
    "pieces", [["あ"] * 60, ["はは", "ははは", "はははは"] * 12, ["ご視聴", "ありがとう"] * 20]
)
def test_loops_without_spaces(pieces: list[str]) -> None:
    words = unspaced(pieces, 160)
    assert without_loops(words) == (words[:4], words[4:])


def test_long_words_loop_slower_and_still_faster_than_anybody() -> None:
    words = spoken("Entschuldigung " * 30, 0, 480)
    assert without_loops(words) == (words[:4], words[4:])


def test_words_of_one_moment_have_no_speed() -> None:
    words = [replace(word, timing=Timing.SHARED) for word in spoken("you " * 30, 0, 400)]
    assert without_loops(words) == (words[:4], words[4:])


def test_nobody_says_one_word_for_half_a_minute_without_a_pause() -> None:
    words = spoken("la " * 70, 0, 450)
    assert without_loops(words) == (words[:4], words[4:])


def test_pauses_make_it_speech() -> None:
    words = [word for n in range(10) for word in spoken("no no no", n * 2000, 160)]
    assert without_loops(words) == (words, [])


@pytest.mark.parametrize(
    "endless", ["a" * 90, "B" + "a" * 90 + "h", "ハ" * 45, "ㅋ" * 45, "haha" * 30, "no-" * 40]
)
def test_a_word_that_never_ends_is_dropped(endless: str) -> None:
    words = [Word("so", 0, 300), Word(endless, 300, 9000), Word("then", 9000, 9300)]
    assert without_loops(words) == ([words[0], words[2]], [words[1]])


def any_loops() -> st.SearchStrategy[list[Word]]:
    part = st.tuples(
        st.sampled_from(["you", "no no yes", "はは はは はは はは", "a" * 90, "and then we", *SENTENCES[:3]]),
        st.integers(1, 40),
    )
    texts = st.lists(part, max_size=4).map(lambda parts: " ".join(" ".join([t] * n) for t, n in parts))
    return st.builds(spoken, texts, st.just(0), st.sampled_from([1, 160, 240, 400]), st.sampled_from([0, 80]))


# Both


@given(any_loops() | timelines(), spans())
def test_kept_and_dropped_are_all_words_in_order(words: list[Word], silence: list[Span]) -> None:
    for kept, dropped in (without_loops(words), without_silent(words, silence)):
        assert sorted([*kept, *dropped], key=lambda word: word.end_ms) == words
        for part in (kept, dropped):
            assert [word.end_ms for word in part] == sorted(word.end_ms for word in part)


@given(any_loops() | timelines(), spans())
def test_a_second_time_drops_nothing(words: list[Word], silence: list[Span]) -> None:
    kept, _ = without_loops(words)
    assert without_loops(kept) == (kept, [])
    kept, _ = without_silent(words, silence)
    assert without_silent(kept, silence) == (kept, [])


# The account


def test_nothing_to_say() -> None:
    assert summary(Account(decoded_frames=500, retried=2, repaired=2), 40_000) == ()
    assert summary(Account(skipped=(Span(0, 400),)), 40_000) == ()


def test_everything_to_say() -> None:
    account = Account(
        skipped=(Span(0, 1_000_000), Span(2_000_000, 3_470_000)),
        uncovered=(Span(72_000, 74_200), Span(80_000, 83_000), Span(3_700_000, 3_703_000)),
        over_silence=12,
        looped=40,
    )
    assert summary(account, 5_400_000) == (
        "0:41:10 of 1:30:00 has no speech and was not decoded",
        "3 stretches of speech have no words: 0:01:12 to 0:01:15, 0:01:20 to 0:01:23, 1:01:40 to 1:01:43",
        "12 words over silence and 40 words of a loop were dropped",
    )


def test_one_and_many() -> None:
    many = tuple(Span(n * 10_000, n * 10_000 + 3000) for n in range(8))
    assert summary(Account(uncovered=many[:1], looped=1), 90_000) == (
        "1 stretch of speech has no words: 0:00:00 to 0:00:03",
        "1 word of a loop was dropped",
    )
    (note,) = summary(Account(uncovered=many), 90_000)
    assert note.startswith("8 stretches of speech have no words: 0:00:00 to 0:00:03, ")
    assert note.endswith("0:00:40 to 0:00:43, and 3 more")
