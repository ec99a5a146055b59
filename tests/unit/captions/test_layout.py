from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from subgen.captions.languages import limits, text_width
from subgen.captions.layout import layout
from subgen.captions.lines import lines_of
from subgen.captions.words import join
from subgen.model import Cue, Word


def said(text: str, start_ms: int = 0, each_ms: int = 300, pause_ms: int = 0) -> list[Word]:
    """The words of `text`, `each_ms` long; "|" stands for a pause of `pause_ms`."""
    result, at = [], start_ms
    for part in text.split():
        if part == "|":
            at += pause_ms
            continue
        result.append(Word(part, at, at + each_ms))
        at += each_ms
    return result


def shown(cues: list[Cue]) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues]


def test_nothing_said_nothing_shown() -> None:
    assert layout([], "en") == []


def test_what_fits_is_one_line() -> None:
    (cue,) = layout(said("How do you do?", 2000), "en")
    assert cue.lines == ("How do you do?",)
    assert cue.start_ms == 2000


def test_two_lines_are_balanced_with_the_lower_longer() -> None:
    (cue,) = layout(said(" ".join(["word"] * 11), each_ms=200), "en")
    assert [len(line.split()) for line in cue.lines] == [5, 6]


def test_lines_break_after_punctuation() -> None:
    words = said("When the rain had stopped, we went out to look for mushrooms")
    assert lines_of(words, "en", limits("en")) == (
        "When the rain had stopped,",
        "we went out to look for mushrooms",
    )


def test_a_cue_ends_at_the_end_of_a_sentence() -> None:
    text = "This is a first sentence that is fairly long. And the second one is quite as long as that."
    assert [" ".join(lines) for lines in shown(layout(said(text, each_ms=250), "en"))] == [
        "This is a first sentence that is fairly long.",
        "And the second one is quite as long as that.",
    ]


def test_a_long_silence_parts_cues() -> None:
    words = said("one two | three", pause_ms=1500)
    assert shown(layout(words, "en")) == [("one two",), ("three",)]
    assert shown(layout(said("one two | three", pause_ms=1490), "en")) == [("one two three",)]


def test_a_cue_lasts_seven_seconds_at_most() -> None:
    cues = layout(said(" ".join(["so"] * 20), each_ms=1000), "en")
    assert all(cue.end_ms - cue.start_ms <= 7000 for cue in cues)
    assert [len(cue.lines[0].split()) for cue in cues] == [7, 7, 6]


def test_a_short_cue_stays_for_its_minimum() -> None:
    (cue,) = layout([Word("No.", 1000, 1200)], "en")
    assert (cue.start_ms, cue.end_ms) == (1000, 1833)


def test_a_cue_stays_to_be_read_but_not_long_after_the_sound() -> None:
    text = "Incomprehensibilities notwithstanding everybody"
    (fast,) = layout(said(text, each_ms=400), "en")
    assert fast.end_ms == 1200 + 500
    (slow,) = layout(said(text, each_ms=750), "en")
    assert slow.end_ms == pytest.approx(1000 * len(text) / 20, abs=1)


def test_the_next_cue_cuts_it_short() -> None:
    words = [Word("x" * 42, 0, 200), Word("y" * 42, 200, 400), Word("z" * 42, 500, 900)]
    cues = layout(words, "en")
    assert [(c.start_ms, c.end_ms) for c in cues] == [(0, 500 - 83), (500, 900 + 500)]


def test_a_short_sentence_before_fast_talk_is_not_a_flash() -> None:
    text = "No. I really do not believe that anybody would ever have wanted to go into that old house"
    first, *_ = layout(said(text, each_ms=220), "en")
    assert first.lines[0].startswith("No. I really")
    late = [Word("No.", 0, 200), Word("x" * 42, 500, 900), Word("y" * 42, 900, 1300)]
    assert layout(late, "en")[0].lines == ("No.", "x" * 42)  # the minimum is not to be had: the longest


def test_a_word_longer_than_a_line_stays_whole() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitänswitwe"
    assert shown(layout(said(f"Die {word} schlief.", each_ms=900), "de")) == [("Die", word), ("schlief.",)]


def test_japanese_breaks_between_phrases() -> None:
    parts = ["今日は", "とても", "いい", "天気ですから、", "公園へ"]
    words = [Word(part, 300 * n, 300 * n + 300, space_before=False) for n, part in enumerate(parts)]
    assert shown(layout(words, "ja")) == [("今日はとてもいい", "天気ですから、公園へ")]


def test_limits_may_be_given() -> None:
    words = said("one two three four", each_ms=400)
    narrow = replace(limits("en"), chars_per_line=9)
    assert shown(layout(words, "en", limits=narrow)) == [("one two", "three"), ("four",)]
    single = replace(limits("en"), chars_per_line=9, lines=1)
    assert shown(layout(words, "en", limits=single)) == [("one two",), ("three",), ("four",)]


TEXTS = st.text("abc,.?!'日本は。", min_size=1, max_size=16) | st.sampled_from(
    ["I", "yes.", "x" * 50, "नमस्ते"]
)


@st.composite
def transcripts(draw: st.DrawFn) -> list[Word]:
    """Any words that ascend without overlap, crowded ones and slow ones."""
    words, at = [], draw(st.integers(0, 5000))
    for text in draw(st.lists(TEXTS, max_size=60)):
        at += draw(st.sampled_from([0, 0, 0, 50, 400, 1499, 1500, 4000]))
        length = draw(st.sampled_from([1, 40, 300, 900, 8000]) | st.integers(1, 2000))
        words.append(Word(text, at, at + length, space_before=draw(st.booleans())))
        at += length
    return words


LANGUAGE = st.sampled_from(["en", "ja", "ko", "hi", "ar", "und"])


@given(transcripts(), LANGUAGE)
def test_cues_hold_the_words_of_the_transcript(words: list[Word], language: str) -> None:
    text = "".join(line for cue in layout(words, language) for line in cue.lines)
    assert text.replace(" ", "") == join(words).replace(" ", "")


@given(transcripts(), LANGUAGE)
def test_the_limits_hold(words: list[Word], language: str) -> None:
    cues, bound = layout(words, language), limits(language)
    whole = {word.text for word in words if " " not in word.text}
    for cue in cues:
        assert 0 < cue.end_ms - cue.start_ms <= 7000
        assert 1 <= len(cue.lines) <= 2
        assert all(text_width(x, language) <= bound.chars_per_line or x in whole for x in cue.lines)
    assert all(later.start_ms - sooner.end_ms >= 83 for sooner, later in pairwise(cues))


@given(transcripts(), LANGUAGE)
@example(said("No. I really do not believe that anybody " + "would ever have gone " * 4, each_ms=150), "en")
def test_a_cue_is_short_only_where_no_longer_one_fits(words: list[Word], language: str) -> None:
    bound, place = limits(language), {word.start_ms: n for n, word in enumerate(words)}
    for cue, following in pairwise(layout(words, language)):
        if cue.end_ms - cue.start_ms >= bound.min_ms or not {cue.start_ms, following.start_ms} <= {*place}:
            continue
        first = place[cue.start_ms]
        for after in range(place[following.start_ms] + 1, len(words)):
            longer = words[first:after]
            if longer[-1].end_ms - cue.start_ms > 7000 or not lines_of(longer, language, bound):
                break
            assert words[after].start_ms - cue.start_ms < bound.min_ms + 83


@given(transcripts(), LANGUAGE)
def test_cues_come_with_their_words(words: list[Word], language: str) -> None:
    cues = layout(words, language)
    starts = {word.start_ms for word in words}
    previous = -1000
    for cue in cues:
        late = cue.start_ms not in starts
        assert not late or cue.start_ms == previous + 83  # only where there is no room at all
        previous = cue.end_ms
    if words:
        assert cues[-1].end_ms <= words[-1].end_ms + 833 or any(c.start_ms not in starts for c in cues)


@given(transcripts())
def test_no_cue_lasts_across_a_long_silence(words: list[Word]) -> None:
    cues = layout(words, "en")
    silences = [(a.end_ms, b.start_ms) for a, b in pairwise(words) if b.start_ms - a.end_ms >= 1500]
    for cue in cues:
        assert not any(cue.start_ms < first and last < cue.end_ms for first, last in silences)
