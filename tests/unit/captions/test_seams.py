"""From which word on the next chunk is believed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from subgen.captions.seams import change_over
from subgen.model import Span, Word

OVERLAP = Span(10_000, 13_000)


def said(*words: tuple[str, int, int]) -> list[Word]:
    return [Word(*word) for word in words]


def changed(left: Sequence[Word], right: Sequence[Word], overlap: Span = OVERLAP) -> list[str]:
    keep, leave_out = change_over(left, right, overlap)
    return [word.text for word in [*left[:keep], *right[leave_out:]]]


def test_both_heard_the_same() -> None:
    left = said(("one", 10_200, 10_600), ("two", 10_800, 11_300), ("three", 11_900, 12_300))
    right = [*left, Word("four", 13_200, 13_500)]
    assert changed(left, right) == ["one", "two", "three", "four"]


def test_case_and_punctuation_aside() -> None:
    left = said(("so", 10_200, 10_600), ("well,", 10_800, 11_300))
    right = said(("Well", 10_900, 11_380), ("then", 13_200, 13_500))
    assert changed(left, right) == ["so", "well,", "then"]


def test_what_was_cut_off_is_heard_out_by_the_next_chunk() -> None:
    left = said(("very", 12_000, 12_300), ("inter", 12_500, 13_000))
    right = said(("airy", 10_000, 10_200), ("very", 12_000, 12_300), ("interesting.", 12_500, 13_700))
    assert changed(left, right) == ["very", "interesting."]


def test_the_last_word_has_the_punctuation_that_only_the_next_chunk_could_hear() -> None:
    left = said(("yes", 12_000, 12_400), ("sir", 12_500, 12_900))
    right = said(("yes", 12_000, 12_400), ("sir.", 12_500, 12_900), ("Then", 13_500, 13_900))
    assert changed(left, right) == ["yes", "sir.", "Then"]


def test_a_word_said_twice_stays_twice() -> None:
    left = said(("no", 11_900, 12_100), ("no", 12_150, 12_350), ("no", 12_400, 12_600))
    right = said(
        ("no", 11_950, 12_180), ("no", 12_180, 12_430), ("no", 12_430, 12_680), ("go", 13_000, 13_300)
    )
    assert changed(left, right) == ["no", "no", "no", "go"]


def test_a_word_is_paired_with_the_nearest() -> None:
    left = said(("no", 11_800, 12_000))
    right = said(("no", 11_500, 11_700), ("no", 11_800, 12_000), ("go", 13_000, 13_300))
    assert changed(left, right) == ["no", "go"]


def test_the_same_text_at_another_time_is_another_word() -> None:
    left = said(("the", 10_200, 10_300), ("cat", 10_400, 10_700))
    right = said(("the", 12_000, 12_100), ("dog", 12_200, 12_500))
    assert changed(left, right) == ["the", "cat", "the", "dog"]


def test_without_a_common_word_between_words() -> None:
    left = said(("first", 9_800, 10_500), ("hal", 12_600, 13_000))
    right = said(("irst", 10_000, 10_500), ("half", 12_600, 13_100))
    assert changed(left, right) == ["first", "half"]


def test_without_a_pause_in_the_middle() -> None:
    left = said(("abc", 9_900, 11_000), ("def", 11_000, 13_000))
    right = said(("bd", 10_000, 12_000), ("ef", 12_000, 14_000))
    assert changed(left, right) == ["abc", "bd", "ef"]


def test_what_only_one_heard_is_not_lost() -> None:
    heard = said(("one", 11_000, 11_300), ("two", 12_000, 12_300))
    after = said(("three", 13_500, 13_900))
    assert changed(heard, after) == changed([], [*heard, *after]) == ["one", "two", "three"]
    # The second chunk missed "one", the first one missed "three"; "two" is common.
    left = said(("one", 11_000, 11_300), ("two", 11_400, 11_700))
    right = said(("two", 11_400, 11_700), ("three", 11_800, 12_100))
    assert changed(left, right) == ["one", "two", "three"]


def test_marks_agree_with_nothing() -> None:
    left = said(("♪", 11_000, 11_100), ("la", 11_200, 11_600))
    right = said(("♪", 11_050, 11_100), ("la", 11_200, 11_600), ("…", 13_100, 13_200))
    assert changed(left, right) == ["♪", "la", "…"]


def test_nothing_and_nothing() -> None:
    assert change_over([], [], OVERLAP) == (0, 0)
    assert change_over([], [], Span(5, 5)) == (0, 0)


LENGTHS_AND_PAUSES = st.lists(st.tuples(st.integers(120, 640), st.integers(0, 900)), min_size=1, max_size=30)


@given(LENGTHS_AND_PAUSES, st.integers(0, 12_000), st.integers(2000, 5000), st.randoms())
def test_no_word_is_doubled_or_lost(
    spoken: list[tuple[int, int]], first_ms: int, overlap_ms: int, random: Random
) -> None:
    """Each hears what lies in it, a frame sooner or later, and something else of a word that is cut."""
    truth, at = [], 0
    for number, (length, pause) in enumerate(spoken):
        truth.append(Word(f"w{number}", at, at + length))
        at += length + pause
    overlap = Span(first_ms, first_ms + overlap_ms)
    assume(overlap.end_ms < at)

    def shifted(word: Word) -> Word:
        end = word.end_ms + random.choice((-80, 0, 80))
        return Word(word.text, min(word.start_ms, end - 1), end)

    left = [shifted(w) for w in truth if w.end_ms <= overlap.end_ms]
    left += [Word("cut", w.start_ms, overlap.end_ms) for w in truth if w.start_ms < overlap.end_ms < w.end_ms]
    right = [
        Word("rest", overlap.start_ms, w.end_ms) for w in truth if w.start_ms < overlap.start_ms < w.end_ms
    ]
    right += [shifted(w) for w in truth if w.start_ms >= overlap.start_ms]
    assert changed(left, right, overlap) == [w.text for w in truth]
