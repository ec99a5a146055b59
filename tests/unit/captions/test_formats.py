from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
import srt
from hypothesis import given
from hypothesis import strategies as st
from webvtt import WebVTT

from subgen.captions.formats import FORMATS, format_named
from subgen.captions.formats.transcript import parse
from subgen.errors import UsageError
from subgen.model import (
    Account,
    ChunkFrames,
    Cue,
    EngineInfo,
    Frame,
    Span,
    Timing,
    TokenKind,
    Transcript,
    Word,
)

ENGINE = EngineInfo("voxtral", "some/check-->point\n\nname", 2400, "cpu")
SILENT = Transcript("und", 5000, (), (), ENGINE)


def cues(*lines: str, start_ms: int = 1000) -> Transcript:
    return replace(SILENT, cues=(Cue(start_ms, start_ms + 1500, lines),))


def test_every_format_is_found_by_its_name() -> None:
    assert list(FORMATS) == ["srt", "vtt", "json", "tokens"]
    assert all(format_named(name).name == name for name in FORMATS)
    assert [each.extension for each in FORMATS.values()] == ["srt", "vtt", "json", "tokens.jsonl"]


def test_an_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="no format 'ass': choose from srt, vtt, json, tokens"):
        format_named("ass")


@pytest.mark.parametrize("name", ["srt", "vtt", "json"])
def test_text_is_composed(name: str) -> None:
    text = format_named(name).render(cues("cafe\u0301"))
    assert "café" in text
    assert "\u0301" not in text


def test_srt() -> None:
    assert format_named("srt").render(cues("Hello", "you", start_ms=3_661_007)) == (
        "1\n01:01:01,007 --> 01:01:02,507\nHello\nyou\n\n"
    )


def test_srt_after_99_hours() -> None:
    assert "123:00:00,000 --> 123:00:01,500" in format_named("srt").render(
        cues("late", start_ms=123 * 3_600_000)
    )


def test_srt_text_is_never_read_as_a_time() -> None:
    text = format_named("srt").render(cues("00:00:01,000 --> 00:00:02,000", "<3 & {}"))
    (only,) = srt.parse(text)
    assert only.content == "00:00:01,000 → 00:00:02,000\n<3 & {}"


def test_srt_without_speech_shows_nothing_but_is_no_empty_file() -> None:
    text = format_named("srt").render(SILENT)
    assert text == "1\n00:00:00,000 --> 00:00:00,001\n\n\n"
    assert [only.content for only in srt.parse(text)] == [""]


def test_vtt_says_what_made_it() -> None:
    text = format_named("vtt").render(SILENT)
    assert text.startswith("WEBVTT\n\nNOTE made by subgen ")
    assert text.endswith("engine voxtral, checkpoint some/check→point name, delay 2400 ms\n")
    assert len(WebVTT.from_string(text)) == 0


def test_vtt_escapes_text() -> None:
    text = format_named("vtt").render(cues("a --> b <i> & c", "NOTE so"))
    assert "\na --&gt; b &lt;i&gt; &amp; c\nNOTE so\n" in text
    only = WebVTT.from_string(text)[0]
    assert (only.start, only.end) == ("00:00:01.000", "00:00:02.500")


def test_vtt_after_99_hours() -> None:
    assert "\n123:00:00.000 --> 123:00:01.500\n" in format_named("vtt").render(
        cues("late", start_ms=123 * 3_600_000)
    )


def test_json_leaves_out_what_is_usual() -> None:
    words = (Word("今日は", 10, 20, space_before=False), Word("x", 30, 40, Timing.SHARED))
    data = json.loads(format_named("json").render(replace(SILENT, words=words, notes=("levelled",))))
    assert data["words"] == [
        {"text": "今日は", "start_ms": 10, "end_ms": 20, "timing": "measured", "space_before": False},
        {"text": "x", "start_ms": 30, "end_ms": 40, "timing": "shared"},
    ]
    assert list(data) == ["language", "duration_ms", "words", "cues", "engine", "notes", "account"]
    assert data["engine"]["delay_ms"] == 2400


TEXT = st.text(st.characters(max_codepoint=0x24F), min_size=1)  # composed as it is
WORDS = st.builds(
    Word, TEXT, st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(Timing), st.booleans()
)
CUES = st.builds(Cue, st.integers(0, 10**9), st.integers(0, 10**9), st.lists(TEXT).map(tuple))


COUNTS = st.integers(0, 10**9)
SPANS = st.lists(st.builds(Span, COUNTS, COUNTS)).map(tuple)
ACCOUNTS = st.builds(Account, COUNTS, SPANS, SPANS, COUNTS, COUNTS, COUNTS, COUNTS)


@given(st.lists(WORDS).map(tuple), st.lists(CUES).map(tuple), st.lists(TEXT).map(tuple), ACCOUNTS)
def test_json_is_read_back(
    words: tuple[Word, ...], shown: tuple[Cue, ...], notes: tuple[str, ...], account: Account
) -> None:
    transcript = replace(SILENT, words=words, cues=shown, notes=notes, account=account)
    assert parse(format_named("json").render(transcript)) == transcript


def test_the_account_in_json() -> None:
    account = Account(750, (Span(60_000, 80_000),), (Span(1000, 4000), Span(5000, 9000)), 3, 1, 12, 40)
    data = json.loads(format_named("json").render(replace(SILENT, account=account)))
    assert data["account"] == {
        "decoded_frames": 750,
        "skipped": [[60_000, 80_000]],
        "uncovered": [[1000, 4000], [5000, 9000]],
        "retried": 3,
        "repaired": 1,
        "over_silence": 12,
        "looped": 40,
    }


def test_a_transcript_without_an_account_is_an_older_one() -> None:
    data = json.loads(format_named("json").render(SILENT))
    del data["account"]
    assert parse(json.dumps(data)).account == Account()


@pytest.mark.parametrize(
    "account", [{"skipped": [[1]]}, {"uncovered": [1, 2]}, {"retried": "many"}, [], None]
)
def test_a_wrong_account_is_refused(account: object) -> None:
    data = json.loads(format_named("json").render(SILENT))
    with pytest.raises(UsageError):
        parse(json.dumps({**data, "account": account}))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"language": "en"}', "[" * 100_000, "1e999"],
)
def test_what_is_no_transcript_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a transcript in JSON"):
        parse(text)


def test_a_transcript_with_a_wrong_value_is_refused() -> None:
    text = format_named("json").render(replace(SILENT, words=(Word("x", 1, 2),)))
    for wrong in (text.replace("measured", "guessed"), text.replace("5000", "1e999")):
        with pytest.raises(UsageError):
            parse(wrong)


def test_tokens() -> None:
    said = (
        Frame(0, 32, TokenKind.PAD),
        Frame(1, 33, TokenKind.WORD),
        Frame(2, 1500, TokenKind.TEXT, b" caf"),
        Frame(3, 1195, TokenKind.TEXT, b"\xc3"),
    )
    text = format_named("tokens").render(replace(SILENT, frames=(ChunkFrames(1280 * 50, 4, said),)))
    assert [json.loads(line) for line in text.splitlines()] == [
        {"frame": 50, "chunk_frame": 0, "token": 32, "kind": "pad"},
        {"frame": 51, "chunk_frame": 1, "token": 33, "kind": "word"},
        {"frame": 52, "chunk_frame": 2, "token": 1500, "kind": "text", "text": " caf"},
        {
            "frame": 53,
            "chunk_frame": 3,
            "token": 1195,
            "kind": "text",
            "text": "�",
            "piece": base64.b64encode(b"\xc3").decode(),
        },
    ]
    assert format_named("tokens").render(SILENT) == ""


LINES = (
    st.text("a<>&-: \u0301\r\n\x00N0→", min_size=1, max_size=12)
    .map(lambda s: " ".join(s.split()))
    .filter(bool)
)


@given(st.lists(st.lists(LINES, min_size=1, max_size=2), max_size=5), st.integers(0, 4 * 10**8))
def test_subtitles_are_read_back(texts: list[list[str]], start: int) -> None:
    shown = tuple(Cue(start + 2000 * n, start + 2000 * n + 1500, tuple(x)) for n, x in enumerate(texts))
    transcript = replace(SILENT, cues=shown)
    captions = WebVTT.from_string(format_named("vtt").render(transcript))
    assert [len(each.lines) for each in captions.captions] == [len(cue.lines) for cue in shown]
    if shown:
        blocks = list(srt.parse(format_named("srt").render(transcript)))
        assert [b.content.count("\n") + 1 for b in blocks] == [len(cue.lines) for cue in shown]
        assert [round(b.start.total_seconds() * 1000) for b in blocks] == [cue.start_ms for cue in shown]
