from __future__ import annotations

import unicodedata
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from subgen.captions.words import WordStream, join
from subgen.levels import Levels
from subgen.model import FRAME_MS, FRAME_SAMPLES, ChunkFrames, Frame, Timing, TokenKind, Word

W = None  # a frame of the kind `word`
Script = dict[int, str | bytes | None]


def frames(script: Script, count: int) -> tuple[Frame, ...]:
    """Frames with `script`'s tokens at their indices and padding elsewhere."""

    def frame(index: int) -> Frame:
        if index not in script:
            return Frame(index, 32, TokenKind.PAD)
        said = script[index]
        if said is None:
            return Frame(index, 33, TokenKind.WORD)
        return Frame(index, 1000, TokenKind.TEXT, said.encode() if isinstance(said, str) else said)

    return tuple(map(frame, range(count)))


def chunk(script: Script, seconds: int = 8, at: int = 0, extra: int = 10) -> ChunkFrames:
    """A chunk that begins at frame `at`; `extra` frames come after its audio."""
    count = seconds * 1000 // FRAME_MS
    return ChunkFrames(at * FRAME_SAMPLES, count, frames(script, count + extra))


def steady(chunk: ChunkFrames) -> Levels:
    return np.full(chunk.chunk_frames * 8, -30, np.float32)


def words(*chunks: ChunkFrames, bias_ms: int = -40) -> list[Word]:
    stream = WordStream(bias_ms)
    return [*(word for c in chunks for word in stream.feed(c, steady(c))), *stream.finish()]


def texts(*chunks: ChunkFrames) -> list[str]:
    return [word.text for word in words(*chunks)]


def test_a_word_ends_where_its_frame_says() -> None:
    (word,) = words(chunk({24: W, 25: " Hel", 26: "lo"}))
    assert (word.text, word.end_ms, word.timing) == ("Hello", 25 * 80 - 40, Timing.MEASURED)


def test_the_chunk_begins_somewhere_in_the_file() -> None:
    (word,) = words(chunk({24: W, 25: " Hello"}, at=1000), bias_ms=0)
    assert word.end_ms == 1000 * 80 + 25 * 80


def test_the_start_is_the_onset_of_the_sound() -> None:
    told = chunk({24: W, 25: " Hello"})
    levels = np.full(800, -70, np.float32)
    levels[150:196] = -20
    stream = WordStream(-40)
    assert stream.feed(told, levels) == []
    (word,) = stream.finish()
    assert (word.start_ms, word.end_ms) == (1500, 1960)


def test_the_next_word_starts_where_the_one_before_ended() -> None:
    first, second = words(chunk({24: W, 25: " good", 26: W, 27: " day"}))
    assert second.start_ms == first.end_ms == 1960


def test_a_group_with_several_words_shares_its_time() -> None:
    first, second, third = words(chunk({20: W, 21: " I", 22: " am", 23: " happy"}))
    assert third.end_ms == 1640
    assert {word.timing for word in (first, second, third)} == {Timing.SHARED}
    assert first.end_ms - first.start_ms < third.end_ms - third.start_ms
    assert (first.end_ms, second.end_ms) == (second.start_ms, third.start_ms)


def test_padding_and_control_tokens_do_not_end_a_word() -> None:
    told = chunk({20: W, 21: " Hel", 25: "lo", 26: " you"})
    ended = [Frame(f.index, 2, TokenKind.CONTROL) if f.index == 23 else f for f in told.frames]
    assert [w.text for w in words(ChunkFrames(0, told.chunk_frames, tuple(ended)))] == ["Hello", "you"]


def test_text_without_a_word_frame_is_a_group_of_its_own_frame() -> None:
    (word,) = words(chunk({10: " Hel", 11: "lo"}))
    assert (word.text, word.end_ms) == ("Hello", 11 * 80 - 40)


def test_word_frames_without_text_say_nothing() -> None:
    (word,) = words(chunk({10: W, 11: W, 12: " yes", 15: W}))
    assert (word.text, word.end_ms) == ("yes", 12 * 80 - 40)


def test_a_character_may_be_spread_over_tokens_and_groups() -> None:
    snow = "雪".encode()
    assert texts(chunk({10: W, 11: b" caf\xc3", 12: b"\xa9"})) == ["café"]
    assert "".join(texts(chunk({10: W, 11: snow[:1], 12: W, 13: snow[1:]}))) == "雪"


def test_stray_bytes_do_no_harm() -> None:
    assert texts(chunk({10: W, 11: b" a\xff", 12: b"b", 13: W, 14: b"\xe9"})) == ["a�b�"]


def test_text_is_composed() -> None:
    assert texts(chunk({10: W, 11: " cafe", 12: W, 13: "\u0301"})) == ["café"]


@pytest.mark.parametrize("mark", [".", "?!", " ?", "…", " –", "”"])
def test_punctuation_belongs_to_the_word_before_and_takes_no_time(mark: str) -> None:
    first, second = words(chunk({10: W, 11: " Yes", 20: W, 21: mark, 30: W, 31: " No"}))
    assert (first.text, first.end_ms, first.timing) == ("Yes" + mark, 840, Timing.MEASURED)
    assert second.text == "No"


@pytest.mark.parametrize("mark", [" ¿", " «", " („", ' "', " -"])
def test_opening_punctuation_belongs_to_the_word_after(mark: str) -> None:
    told = chunk({10: W, 11: " Yes", 20: W, 21: mark, 30: W, 31: "No"})
    first, second = words(told)
    assert (first.text, second.text, second.end_ms) == ("Yes", mark.strip() + "No", 30 * 80 + 80 - 40)


def test_a_group_without_a_space_continues_the_word_before() -> None:
    (word,) = words(chunk({10: W, 11: " sub", 20: W, 21: "title", 22: ","}))
    assert (word.text, word.end_ms) == ("subtitle,", 21 * 80 - 40)
    assert texts(chunk({10: W, 11: " don", 14: W, 15: "'t", 20: W, 21: " 3", 24: W, 25: ".5"})) == [
        "don't",
        "3.5",
    ]


def test_a_group_continues_nothing_after_punctuation() -> None:
    told = words(chunk({10: W, 11: " end.", 20: W, 21: "Then", 30: W, 31: " twenty-", 40: W, 41: "one"}))
    assert [(w.text, w.end_ms) for w in told] == [("end.", 840), ("Then", 1640), ("twenty-one", 3240)]
    assert join(told) == "end.Then twenty-one"
    assert texts(chunk({10: W, 11: " दु", 20: W, 21: "निया"})) == ["दुनिया"]


def test_a_space_may_come_at_the_end_of_a_group() -> None:
    assert texts(chunk({10: W, 11: "yes ", 20: W, 21: "no", 30: W, 31: " ", 32: W, 33: "so"})) == [
        "yes",
        "no",
        "so",
    ]


def test_words_announced_after_the_audio_end_with_it() -> None:
    told = chunk({96: W, 97: " one", 100: W, 101: " two", 103: W, 104: " three"}, seconds=8)
    one, two, three = words(told)
    assert one.end_ms == 97 * 80 - 40
    assert three.end_ms == 8000
    assert (two.timing, three.timing) == (Timing.SHARED, Timing.SHARED)
    assert three.end_ms - three.start_ms > 40


def test_the_audio_may_end_within_the_last_frame() -> None:
    told = chunk({105: W, 106: " end"})
    stream = WordStream(-40)
    stream.feed(told, np.full(795, -30, np.float32))
    assert stream.finish()[0].end_ms == 7950


def test_a_full_stop_at_the_beginning_belongs_to_the_chunk_before() -> None:
    first = chunk({10: W, 11: " Yes", 20: W, 21: " sir"})
    second = chunk({5: W, 6: ".", 7: " Then"}, at=100)
    stream = WordStream(-40)
    assert [w.text for w in stream.feed(first, steady(first))] == ["Yes"]
    assert [w.text for w in stream.feed(second, steady(second))] == ["sir."]
    assert [w.text for w in stream.finish()] == ["Then"]
    assert stream.finish() == []


def test_punctuation_at_the_very_beginning_stays() -> None:
    assert texts(chunk({10: W, 11: "…", 20: W, 21: " and"})) == ["… and"]
    assert texts(chunk({10: W, 11: "?!"})) == ["?!"]


def test_marks_that_go_on_and_on_have_their_own_times() -> None:
    script: Script = {10: W, 11: " Hello", 300: W, 301: " world"}
    for index in range(20, 290, 9):
        script |= {index: W, index + 1: " ♪"}
    heard = words(chunk(script, seconds=30))
    assert (heard[0].text, heard[-1].text) == ("Hello ♪", "world")
    assert all(len(word.text) <= 7 for word in heard[1:-1])
    assert all(later.end_ms - sooner.end_ms < 2400 for sooner, later in pairwise(heard))
    assert join(heard) == " ".join(["Hello", *["♪"] * 30, "world"])


@pytest.mark.parametrize("mark", [" ♪", " (", " –"])
def test_no_word_takes_more_than_a_few_marks(mark: str) -> None:
    told = chunk({10: W, 11: " Yes", **{12 + n: mark for n in range(40)}, 90: W, 91: " No"})
    assert max(len(text.split()) for text in texts(told)) <= 5
    assert join(words(told)).split() == ["Yes", *[mark.strip()] * 40, "No"]


def test_a_late_opening_mark_at_the_end_is_no_part_of_the_word_long_before() -> None:
    assert [w.text for w in words(chunk({10: W, 11: " Yes", 80: W, 81: " («"}))] == ["Yes", "(«"]
    assert texts(chunk({10: W, 11: " Yes", 12: " («"})) == ["Yes («"]


def test_a_late_mark_of_the_next_chunk_is_no_part_of_the_word_before() -> None:
    first: Script = {98: W, 99: " sir"}
    near: Script = {5: W, 6: " ♪"}
    far: Script = {50: W, 51: " ♪"}
    assert texts(chunk(first), chunk(near, at=100)) == ["sir ♪"]
    assert texts(chunk(first), chunk(far, at=100)) == ["sir", "♪"]


def test_a_mark_after_a_skipped_silence() -> None:
    """The next chunk begins long after the end of this one."""
    first: Script = {90: W, 91: " sir"}
    assert texts(chunk(first), chunk({5: W, 6: ".", 20: W, 21: " Then"}, at=400)) == ["sir.", "Then"]
    assert texts(chunk(first), chunk({5: W, 6: " ♪", 20: W, 21: " Then"}, at=400)) == ["sir", "♪ Then"]
    second = words(chunk(first), chunk({5: W, 6: " Then"}, at=400))[1]
    assert 400 * 80 <= second.start_ms < second.end_ms == 406 * 80 - 40


def overlapping(script: Script, lead: int, seconds: int = 8, at: int = 0) -> ChunkFrames:
    """A chunk whose first `lead` frames belong to the chunk before."""
    return replace(chunk(script, seconds, at), lead_frames=lead)


def stitched(*chunks: ChunkFrames, run_up_ms: int = 2000) -> list[Word]:
    stream = WordStream(-40, run_up_ms)
    return [*(word for c in chunks for word in stream.feed(c, steady(c))), *stream.finish()]


def test_words_heard_twice_are_written_once() -> None:
    first = chunk({60: W, 61: " one", 85: W, 86: " two", 99: W, 100: " thr"})
    second = overlapping({10: W, 11: " Two", 26: W, 27: " three", 40: W, 41: " four"}, 25, at=75)
    told = stitched(first, second)
    assert [w.text for w in told] == ["one", "two", "three", "four"]
    assert [w.end_ms for w in told] == [61 * 80 - 40, 86 * 80 - 40, 102 * 80 - 40, 116 * 80 - 40]


def test_a_word_after_the_seam_begins_no_sooner_than_the_one_before_ends() -> None:
    first = chunk({60: W, 61: " one", 85: W, 86: " two"})
    second = overlapping({10: W, 11: " two", 14: W, 15: " internationalisation"}, 25, at=75)
    _, two, long = stitched(first, second)
    assert long.start_ms == two.end_ms == 86 * 80 - 40


def test_the_mark_after_the_last_word_is_heard_by_the_next_chunk() -> None:
    first = chunk({60: W, 61: " one", 97: W, 98: " two"})
    second = overlapping({22: W, 23: " two", 28: W, 29: ".", 50: W, 51: " Three"}, 25, at=75)
    assert [w.text for w in stitched(first, second)] == ["one", "two.", "Three"]


def test_words_are_held_no_longer_than_the_next_chunk_may_hear_them() -> None:
    first = chunk({50: W, 51: " one", 60: W, 61: " two", 80: W, 81: " three", 90: W, 91: " four"})
    for run_up_ms, certain in ((0, 3), (400, 3), (1000, 3), (2000, 2), (8000, 0)):
        stream = WordStream(-40, run_up_ms)
        assert len(stream.feed(first, steady(first))) == certain
        assert len(stream.finish()) == 4 - certain


def test_without_a_run_up_words_that_were_held_stay() -> None:
    first, second = chunk({85: W, 86: " one", 95: W, 96: " two"}), chunk({10: W, 11: " three"}, at=100)
    assert stitched(first, second) == words(first, second)


@given(st.lists(st.integers(4, 14), min_size=8, max_size=40), st.data())
def test_no_word_is_doubled_or_lost_at_a_seam(gaps: list[int], data: st.DataObject) -> None:
    """A word's text comes in one go; chunks hear of it what lies in them, and garble what is cut."""
    ends = np.cumsum(gaps)
    total = int(ends[-1]) + 10
    seam = data.draw(st.integers(30, total - 1))
    lead = data.draw(st.integers(25, 30))

    def part(first: int, end: int, lead: int) -> ChunkFrames:
        script: Script = {}
        for number, at in enumerate(ends.tolist()):
            if first < at + 1 and at - 4 < end:  # what is said in the 4 frames up to its end
                text = f" w{number}" if first <= at - 4 and at < end else " garbled"
                script |= {at - first: W, at - first + 1: text}
        count = end - first
        return ChunkFrames(first * FRAME_SAMPLES, count, frames(script, count + 10), lead)

    told = stitched(part(0, seam, 0), part(seam - lead, total, lead), run_up_ms=lead * FRAME_MS)
    assert [w.text for w in told] == [f"w{number}" for number in range(len(gaps))]


def test_chunks_are_parted_by_a_space() -> None:
    told = words(chunk({10: W, 11: "Yes"}), chunk({10: W, 11: "and"}, at=100))
    assert join(told) == "Yes and"


def test_japanese_is_parted_into_phrases() -> None:
    told = words(chunk({10: W, 11: "今日は天気です。", 20: W, 21: "「明日」も"}, extra=0))
    assert [w.text for w in told] == ["今日は", "天気です。", "「明日」も"]
    assert not any(w.space_before for w in told)
    assert [w.timing for w in told] == [Timing.SHARED, Timing.SHARED, Timing.MEASURED]
    assert join(told) == "今日は天気です。「明日」も"


def test_chinese_is_parted_into_phrases() -> None:
    told = words(chunk({10: W, 11: "今天是晴天，我们去公园吧"}))
    assert len(told) > 3
    assert join(told) == "今天是晴天，我们去公园吧"
    assert told[-1].end_ms == 840


def test_latin_words_and_numbers_inside_japanese_stay_whole() -> None:
    told = words(chunk({10: W, 11: "私はPythonを2024年から使う"}))
    assert any(w.text.startswith("Python") for w in told)
    assert any("2024" in w.text for w in told)


def test_korean_has_spaces() -> None:
    told = words(chunk({10: W, 11: " 안녕", 12: "하세요", 20: W, 21: " 여러분"}))
    assert [(w.text, w.space_before) for w in told] == [("안녕하세요", True), ("여러분", True)]


def test_chinese_chunks_join_without_a_space() -> None:
    assert join(words(chunk({10: W, 11: "今天"}), chunk({10: W, 11: "晴天"}, at=100))) == "今天晴天"


LETTERS = st.sampled_from(
    [
        " the",
        " a",
        "ing",
        " ",
        ".",
        "?",
        " «",
        "»",
        "'s",
        " 42",
        "東京",
        "は",
        "。",
        "「",
        "다",
        " नम",
        "\u0301",
        "\n",
    ]
)
PIECES = st.one_of(LETTERS.map(str.encode), st.binary(max_size=4), st.text(max_size=6).map(str.encode))
FRAMES = st.tuples(st.sampled_from(TokenKind), PIECES)
CHUNKS = st.lists(
    st.tuples(st.lists(FRAMES, max_size=40), st.integers(0, 40), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=4,
)
Random = list[tuple[list[tuple[TokenKind, bytes]], int, int]]


def told(random: Random) -> list[tuple[ChunkFrames, Levels]]:
    """Chunks of random frames one after the other, with random loudness."""
    result, at = [], 0
    for tokens, count, seed in random:
        said = tuple(Frame(k, 1000 + k, kind, piece) for k, (kind, piece) in enumerate(tokens))
        levels = np.random.default_rng(seed).uniform(-100, 0, count * 8).repeat(20)[: count * 8]
        result.append((ChunkFrames(at * FRAME_SAMPLES, count, said), levels.astype(np.float32)))
        at += count
    return result


def written(chunk: ChunkFrames) -> str:
    """What the model wrote, by decoding all of it at once."""
    raw = b"".join(f.piece for f in chunk.frames if f.kind is TokenKind.TEXT)
    text = unicodedata.normalize("NFC", raw.decode("utf-8", errors="replace"))
    return unicodedata.normalize("NFC", " ".join(text.split()))


@given(CHUNKS, st.integers(-200, 200))
@example([([(TokenKind.TEXT, b" a b c d e f g h i j k l m n")], 0, 0)], 0)
def test_words_ascend_and_never_overlap(random: Random, bias_ms: int) -> None:
    stream = WordStream(bias_ms)
    heard = [*(w for c, levels in told(random) for w in stream.feed(c, levels)), *stream.finish()]
    assert all(0 <= w.start_ms < w.end_ms for w in heard)
    assert all(sooner.end_ms <= later.start_ms for sooner, later in pairwise(heard))
    assert all(w.text and w.text == w.text.strip() for w in heard)


@given(CHUNKS, st.integers(-200, 200))
def test_words_stay_inside_their_chunk(random: Random, bias_ms: int) -> None:
    for part, levels in told(random):
        stream = WordStream(bias_ms)
        heard = [*stream.feed(part, levels), *stream.finish()]
        first, length = part.first_sample // 16, part.chunk_frames * FRAME_MS
        if len(heard) <= length:
            assert all(first <= w.start_ms and w.end_ms <= first + length for w in heard)


@given(CHUNKS)
def test_nothing_of_a_chunk_is_lost(random: Random) -> None:
    for part, levels in told(random):
        stream = WordStream(-40)
        assert join([*stream.feed(part, levels), *stream.finish()]) == written(part)


@given(CHUNKS)
def test_nothing_is_lost_between_chunks(random: Random) -> None:
    stream = WordStream(-40)
    heard = [*(w for c, levels in told(random) for w in stream.feed(c, levels)), *stream.finish()]
    expected = "".join(written(c) for c, _ in told(random))
    bare = ["".join(unicodedata.normalize("NFD", text).split()) for text in (join(heard), expected)]
    assert bare[0] == bare[1]


@given(CHUNKS, st.integers(-200, 200), st.integers(0, 4000), st.data())
def test_words_ascend_and_never_overlap_with_any_run_up(
    random: Random, bias_ms: int, run_up_ms: int, data: st.DataObject
) -> None:
    stream, heard, before = WordStream(bias_ms, run_up_ms), [], 0
    for part, levels in told(random):
        lead = data.draw(st.integers(0, min(before, part.chunk_frames)))
        first = part.first_sample - lead * FRAME_SAMPLES
        heard += stream.feed(replace(part, first_sample=first, lead_frames=lead), levels)
        before = part.chunk_frames
    heard += stream.finish()
    assert all(0 <= w.start_ms < w.end_ms for w in heard)
    assert all(sooner.end_ms <= later.start_ms for sooner, later in pairwise(heard))
    assert all(w.text and w.text == w.text.strip() for w in heard)


@given(CHUNKS, st.integers(0, 4000))
def test_a_run_up_that_does_not_come_changes_nothing(random: Random, run_up_ms: int) -> None:
    parts = told(random)
    plain, patient = WordStream(-40), WordStream(-40, run_up_ms)
    sooner = [*(w for c, levels in parts for w in plain.feed(c, levels)), *plain.finish()]
    later = [*(w for c, levels in parts for w in patient.feed(c, levels)), *patient.finish()]
    assert later == sooner
