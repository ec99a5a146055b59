"""The engine without a model: it keeps to its script, and misbehaves where it is told to."""

from __future__ import annotations

import numpy as np
import pytest

from subgen.captions.words import WordStream, join
from subgen.errors import EngineError
from subgen.model import FRAME_SAMPLES, Chunk, ChunkFrames, Priority, Span, TokenKind, Word
from subgen.speech.engine import Engine, transcribe
from subgen.speech.scripted import Babble, Deaf, Ends, Fails, Loop, ScriptedEngine, Short

TEXT = "one two three four five six seven eight nine ten".split()
SCRIPT = [(word, 800 * n) for n, word in enumerate(TEXT, 1)]


def chunk(from_frame: int = 0, frames: int = 125, lead: int = 0) -> Chunk:
    return Chunk(from_frame * FRAME_SAMPLES, np.zeros(frames * FRAME_SAMPLES, np.float32), lead)


def decoded(engine: Engine, part: Chunk, delay_ms: int | None = None) -> ChunkFrames:
    return engine.submit(part, delay_ms=delay_ms).result(timeout=0)


def words(heard: ChunkFrames) -> list[Word]:
    stream = WordStream(bias_ms=0)
    return [*stream.feed(heard, np.full(heard.chunk_frames * 8, -90, np.float32)), *stream.finish()]


def said(engine: Engine, part: Chunk, delay_ms: int | None = None) -> str:
    return join(words(decoded(engine, part, delay_ms)))


def test_the_script_is_said_when_it_is_due() -> None:
    heard = words(decoded(ScriptedEngine(SCRIPT), chunk()))
    assert [(word.text, word.end_ms) for word in heard] == SCRIPT


def test_a_chunk_says_what_ends_in_it() -> None:
    first, second = transcribe(ScriptedEngine(SCRIPT), [chunk(0, 50), chunk(50, 75)])
    assert [(word.text, word.end_ms) for word in [*words(first), *words(second)]] == SCRIPT


def test_a_run_up_is_heard_again() -> None:
    heard = decoded(ScriptedEngine(SCRIPT), chunk(45, 80, lead=6))
    assert (heard.first_sample, heard.chunk_frames, heard.lead_frames) == (45 * FRAME_SAMPLES, 80, 6)
    assert [frame.piece for frame in heard.frames if frame.piece][:2] == [b" five", b" six"]


def test_what_it_says_of_itself() -> None:
    engine = ScriptedEngine(SCRIPT, -40, delay_ms=480)
    assert (engine.info.name, engine.info.delay_ms) == ("scripted", 480)
    assert (engine.bias_ms(), engine.bias_ms(960)) == (-40, -40)
    assert engine.device_seconds is None
    engine.close()


def test_a_future_is_done_and_the_frames_were_told() -> None:
    told: list[int] = []
    future = ScriptedEngine(SCRIPT).submit(chunk(frames=7), priority=Priority.BACKFILL, heard=told.append)
    assert future.done()
    assert told == [7]


def test_deaf_for_ever() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Deaf(Span(1600, 4000))])
    expected = "one two six seven eight nine ten"
    assert said(engine, chunk()) == expected
    assert said(engine, chunk(1, 124), 960) == expected


def test_deaf_until_another_start() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Deaf(Span(1600, 4000), cured_by="start")])
    assert said(engine, chunk(0, 40)) == "one two"
    assert said(engine, chunk(40, 40)) == "six seven eight"  # missed `five` is the fault of this one
    assert said(engine, chunk(0, 40), 960) == "one two"
    assert said(engine, chunk(20, 60)) == "three four five six seven eight"


def test_deaf_until_another_delay() -> None:
    engine = ScriptedEngine(SCRIPT, delay_ms=480, faults=[Deaf(Span(1600, 4000), cured_by="delay")])
    assert said(engine, chunk()) == said(engine, chunk(), 480) == "one two six seven eight nine ten"
    assert said(engine, chunk(10, 115)) == "two six seven eight nine ten"
    assert said(engine, chunk(), 960) == " ".join(TEXT)


def test_babble_over_a_span() -> None:
    engine = ScriptedEngine(SCRIPT[:2], faults=[Babble(Span(4000, 8000), "thank you for watching")])
    heard = words(decoded(engine, chunk()))[2:]
    assert [(word.text, word.end_ms) for word in heard] == [
        ("thank", 5040),
        ("you", 6000),
        ("for", 7040),
        ("watching", 8000),
    ]


def test_a_loop_goes_on_to_the_end_of_its_chunk() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Loop(2000, "thank you")])
    heard = decoded(engine, chunk(0, 50))
    kinds = {frame.kind for frame in heard.frames[25:]}
    assert kinds == {TokenKind.WORD, TokenKind.TEXT}
    assert join(words(heard)).startswith("one two thank you thank you thank")
    assert said(engine, chunk(50, 75)) == "six seven eight nine ten"


def test_a_loop_cured_by_another_start() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Loop(2000, "you", cured_by="start")])
    assert said(engine, chunk()).startswith("one two you you you")
    assert said(engine, chunk(5, 120)) == " ".join(TEXT)


def test_a_chunk_fails_as_often_as_it_is_told_to() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Fails(Span(1000, 2000), times=1)])
    failed, other, again = (engine.submit(part) for part in (chunk(0, 20), chunk(40, 20), chunk(0, 20)))
    assert isinstance(failed.exception(timeout=0), EngineError)
    assert join(words(other.result(timeout=0))) == "five six"
    assert join(words(again.result(timeout=0))) == "one two"


def test_a_chunk_that_always_fails() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Fails(Span(1000, 2000))])
    for _ in range(3):
        with pytest.raises(EngineError):
            decoded(engine, chunk())


def test_too_few_frames() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Short(Span(0, 100), 12)])
    assert len(decoded(engine, chunk()).frames) == 12
    assert len(decoded(engine, chunk(50, 30)).frames) == 30 + 11


def test_the_end_of_the_stream_is_said_in_mid_stream() -> None:
    engine = ScriptedEngine(SCRIPT, faults=[Ends(800), Ends(1600)])
    heard = decoded(engine, chunk())
    assert [frame.index for frame in heard.frames if frame.kind is TokenKind.CONTROL] == [10, 20]
    assert join(words(heard)) == " ".join(TEXT)


def test_a_stream_misbehaves_as_a_chunk_does() -> None:
    faults = (Loop(2000, "you"), Ends(800))
    stream = ScriptedEngine(SCRIPT, faults=faults).stream()
    pcm = chunk().pcm
    fed = [*stream.feed(pcm[:777]), *stream.feed(pcm[777:]), *stream.finish()]
    assert tuple(fed) == decoded(ScriptedEngine(SCRIPT, faults=faults), chunk()).frames
