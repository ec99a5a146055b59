"""The thread that MLX belongs to: nobody waits for ever, whatever happens in it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subgen.errors import EngineError
from subgen.model import FRAME_SAMPLES, Chunk, ChunkFrames, Pcm, Priority
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.speech.voxtral.geometry import TAIL_FRAMES, Geometry
from subgen.speech.voxtral.lanes import Lanes
from subgen.speech.voxtral.pool import LanePool
from subgen.speech.voxtral.worker import Worker
from tests.checkpoints import Shape, varied_sound, write_checkpoint

LIVE = Geometry.of_delay(480)
TINY = Shape(layers=1, hidden=64, decoder_layers=2, decoder_heads=2, kv_heads=1, decoder_hidden=64)
BOUND = 20  # seconds after which somebody is taken to wait for ever; never reached where all is well


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(str(write_checkpoint(tmp_path_factory.mktemp("weights"), TINY)))


@pytest.fixture
def engine(checkpoint: Checkpoint) -> Iterator[VoxtralEngine]:
    made = VoxtralEngine(checkpoint, delay_ms=480, lanes=2)
    yield made
    made.close()


class Gate:
    """Holds the worker before a block of work, so that a test can arrange what it finds there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        real = LanePool.advance

        def advance(pool: LanePool, queue: Any) -> None:
            self.reached.set()
            assert self.opened.wait(BOUND)
            real(pool, queue)

        monkeypatch.setattr(LanePool, "advance", advance)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.opened.set()


def chunk(frames: int, seed: int = 0) -> Chunk:
    return Chunk(seed * FRAME_SAMPLES, varied_sound(frames * 0.08, seed))


def ids(future: Future[ChunkFrames]) -> list[int]:
    return [frame.token_id for frame in future.result(BOUND).frames]


def bounded(function: Callable[[], object]) -> None:
    """Run `function` in a thread, and fail where it does not return."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive(), "it does not return"


def threads_of_workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "subgen-mlx"}


# Calls


def test_a_call_runs_on_the_workers_thread_and_answers() -> None:
    worker = Worker()
    first, second = (worker.call(threading.current_thread) for _ in range(2))
    assert first is second is not threading.current_thread()
    worker.close()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_a_call_raises_where_it_was_asked(error: BaseException) -> None:
    def fail() -> None:
        raise error

    worker = Worker()
    with pytest.raises(type(error)):
        worker.call(fail)
    assert worker.call(lambda: 7) == 7
    worker.close()


def test_a_call_from_the_workers_own_thread_is_answered() -> None:
    """A callback of a future runs there, and may ask something of the engine."""
    worker, answer = Worker(), Future[int]()

    def ask() -> None:
        answer.set_result(worker.call(lambda: worker.call(lambda: 7)))

    threading.Thread(target=ask, daemon=True).start()
    assert answer.result(BOUND) == 7
    worker.close()


def test_calls_of_many_threads_are_all_answered_once() -> None:
    worker, start = Worker(), threading.Barrier(8)
    ran: list[int] = []
    answers: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        def answer(value: int) -> int:
            ran.append(value)
            return value

        start.wait()
        answers[number] = [worker.call(lambda i=i: answer(100 * number + i)) for i in range(50)]  # type: ignore[misc]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == sorted(100 * n + i for n in range(8) for i in range(50))
    assert all(answers[n] == [100 * n + i for i in range(50)] for n in range(8))
    worker.close()


def test_a_call_comes_between_two_blocks(engine: VoxtralEngine, gate: Gate) -> None:
    """A stream is opened although the lanes have work for long."""
    _ = engine.work
    futures = [engine.submit(chunk(60, seed)) for seed in range(6)]
    assert gate.reached.wait(BOUND)
    done_before: list[bool] = []
    asker = threading.Thread(
        target=lambda: done_before.append(engine._worker.call(lambda: any(f.done() for f in futures)))
    )
    asker.start()
    gate.opened.set()
    asker.join(BOUND)
    assert done_before == [False]
    assert all(len(ids(future)) == 60 + TAIL_FRAMES for future in futures)


def test_the_lanes_are_made_once(checkpoint: Checkpoint) -> None:
    worker = Worker()
    assert not worker.pool
    pools = [worker.start_pool(lambda: LanePool(checkpoint, most_lanes=1)) for _ in range(2)]
    assert pools[0] is pools[1] is worker.pool
    worker.close()


# Chunks


def test_many_threads_submit_at_once(checkpoint: Checkpoint) -> None:
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=3)
    start, found = threading.Barrier(6), dict[int, list[list[int]]]()
    sounds = [chunk(5 + 9 * seed, seed) for seed in range(4)]

    def submit(number: int) -> None:
        start.wait()
        futures = [engine.submit(sound, priority=Priority(number % 3)) for sound in sounds]
        found[number] = [ids(future) for future in futures]

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = [ids(engine.submit(sound)) for sound in sounds]
    assert [found[number] for number in range(6)] == [alone] * 6
    assert engine.work.prompts == 28
    engine.close()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_fails_alone(engine: VoxtralEngine, bad: float) -> None:
    pcm = varied_sound(3)
    pcm[20_000] = bad
    before, wrong, after = (engine.submit(c) for c in (chunk(30, 1), Chunk(16_000, pcm), chunk(30, 2)))
    with pytest.raises(EngineError, match=r"near 1\.0 s"):
        wrong.result(0)  # at once
    assert len(ids(before)) == len(ids(after)) == 30 + TAIL_FRAMES


@pytest.mark.parametrize(
    "pcm", [np.zeros((2, 1280), np.float32), np.zeros(1280, np.float64), np.zeros(1280, np.int16)]
)
def test_what_is_no_mono_float32_fails_alone(engine: VoxtralEngine, pcm: Pcm) -> None:
    with pytest.raises(EngineError, match="no mono float32"):
        engine.submit(Chunk(0, pcm)).result(0)
    assert len(ids(engine.submit(chunk(3)))) == 3 + TAIL_FRAMES


def test_one_who_waits_is_next(checkpoint: Checkpoint, gate: Gate) -> None:
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=1)
    _ = engine.work
    order: list[str] = []
    futures = []
    for name, priority in [("a", Priority.BACKFILL), ("b", Priority.BACKFILL), ("c", Priority.WAITED_FOR)]:
        future = engine.submit(chunk(10), priority=priority)
        future.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
        futures.append(future)
    gate.opened.set()
    assert all(len(ids(future)) == 10 + TAIL_FRAMES for future in futures)
    engine.close()
    assert order == ["c", "a", "b"]


def test_a_cancelled_future_never_delivers(engine: VoxtralEngine, gate: Gate) -> None:
    futures = [engine.submit(chunk(40, seed)) for seed in range(5)]
    for future in futures[1::2]:
        assert future.cancel()
    gate.opened.set()
    assert all(len(ids(future)) == 40 + TAIL_FRAMES for future in futures[::2])
    for future in futures[1::2]:
        with pytest.raises(CancelledError):
            future.result(0)
    assert engine.work.prompts == 3


def test_heard_adds_up_over_lanes(engine: VoxtralEngine) -> None:
    told: list[list[int]] = [[] for _ in range(5)]
    sounds = [chunk(1 + 20 * number, number) for number in range(5)]
    futures = [engine.submit(c, heard=mine.append) for c, mine in zip(sounds, told, strict=True)]
    assert all(ids(future) for future in futures)
    assert [sum(mine) for mine in told] == [c.frames for c in sounds]


@pytest.mark.parametrize("error", [ValueError("heard"), RuntimeError("heard")])
@pytest.mark.parametrize("frames", [3, 60])
def test_a_heard_that_raises_leaves_nobody_waiting(
    engine: VoxtralEngine, error: Exception, frames: int
) -> None:
    """Its own chunk ends, one way or the other; its neighbours are whole."""

    def heard(_: int) -> None:
        raise error

    bad = engine.submit(chunk(frames, 1), heard=heard)
    good = engine.submit(chunk(frames, 2))
    assert bad.exception(BOUND) is None or isinstance(bad.exception(0), EngineError)
    assert len(ids(good)) == frames + TAIL_FRAMES
    assert len(ids(engine.submit(chunk(4)))) == 4 + TAIL_FRAMES


def test_a_heard_that_raises_when_its_chunk_begins_again_leaves_nobody_waiting(
    engine: VoxtralEngine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out with two lanes, and whoever is told that frames are taken back does not like it."""
    real, passes = Lanes.run, iter(range(1000))

    def run(lanes: Lanes, count: int) -> Any:
        if next(passes) >= 3 and lanes.size > 1:
            raise RuntimeError("[malloc] Unable to allocate")
        return real(lanes, count)

    def heard(frames: int) -> None:
        if frames < 0:
            raise ValueError(frames)

    monkeypatch.setattr(Lanes, "run", run)
    good, bad = engine.submit(chunk(80, 2)), engine.submit(chunk(80, 1), heard=heard)
    gate.opened.set()
    assert bad.exception(BOUND) is None or isinstance(bad.exception(0), EngineError)
    assert len(ids(good)) == 80 + TAIL_FRAMES
    assert len(ids(engine.submit(chunk(4)))) == 4 + TAIL_FRAMES


def test_a_callback_may_hand_in_the_next_chunk(engine: VoxtralEngine) -> None:
    second: Future[Future[ChunkFrames]] = Future()
    first = engine.submit(chunk(5))
    first.add_done_callback(lambda _: second.set_result(engine.submit(chunk(7))))
    assert len(ids(second.result(BOUND))) == 7 + TAIL_FRAMES


# Defects


def test_a_defect_in_a_pass_fails_all_that_is_there_and_nothing_later(
    engine: VoxtralEngine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, passes = Lanes.run, iter(range(1000))

    def run(lanes: Lanes, count: int) -> Any:
        if next(passes) == 2:
            raise TypeError("oops")
        return real(lanes, count)

    monkeypatch.setattr(Lanes, "run", run)
    futures = [engine.submit(chunk(60, seed)) for seed in range(5)]
    gate.opened.set()
    for future in futures:
        error = future.exception(BOUND)
        assert isinstance(error, EngineError)
        assert error.message == "TypeError: oops"
        assert error.way_out == "report this: it is a defect"
    assert len(ids(engine.submit(chunk(20)))) == 20 + TAIL_FRAMES


def test_a_defect_that_stays_fails_everybody_and_ends_nothing(
    engine: VoxtralEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        raise TypeError("oops")

    _ = engine.work
    with monkeypatch.context() as patched:
        patched.setattr(Lanes, "run", run)
        for seed in range(3):
            assert isinstance(engine.submit(chunk(20, seed)).exception(BOUND), EngineError)
    assert len(ids(engine.submit(chunk(20)))) == 20 + TAIL_FRAMES


def test_lanes_that_cannot_be_made_are_made_by_the_next(
    engine: VoxtralEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EngineError("no lanes")

    with monkeypatch.context() as patched, pytest.raises(EngineError, match="no lanes"):
        patched.setattr(LanePool, "__init__", fail)
        engine.submit(chunk(3))
    assert len(ids(engine.submit(chunk(3)))) == 3 + TAIL_FRAMES


# The end


def test_closing_fails_what_waits_and_what_runs(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=2)
    began, go_on, real = threading.Event(), threading.Event(), Lanes.run

    def run(lanes: Lanes, count: int) -> Any:
        began.set()
        assert go_on.wait(BOUND)
        return real(lanes, count)

    monkeypatch.setattr(Lanes, "run", run)
    futures = [engine.submit(chunk(60, seed)) for seed in range(6)]
    assert began.wait(BOUND)
    futures[5].cancel()
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not engine._worker._closing:
        pass
    go_on.set()
    closing.join(BOUND)
    assert not closing.is_alive()
    assert not engine._worker._thread.is_alive()
    for future in futures[:5]:
        error = future.exception(0)
        assert isinstance(error, EngineError)
        assert "closed" in str(error)
    assert futures[5].cancelled()


def test_closing_twice_and_from_many_threads(checkpoint: Checkpoint) -> None:
    worker = Worker()
    worker.start_pool(lambda: LanePool(checkpoint, most_lanes=1))
    threads = [threading.Thread(target=worker.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    bounded(worker.close)
    assert not worker._thread.is_alive()


def test_closing_before_anything_was_done(checkpoint: Checkpoint) -> None:
    engine = VoxtralEngine(checkpoint, lanes=1)
    engine.close()
    engine.close()
    assert not engine._worker._thread.is_alive()


def test_nothing_goes_into_a_closed_engine(checkpoint: Checkpoint) -> None:
    used, unused = (VoxtralEngine(checkpoint, delay_ms=480, lanes=1) for _ in "ab")
    stream = used.stream()
    assert len(ids(used.submit(chunk(2)))) == 2 + TAIL_FRAMES
    for engine in (used, unused):
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            engine.submit(chunk(2))
        with pytest.raises(EngineError, match="closed"):
            engine.stream()
    with pytest.raises(EngineError, match="closed"):
        stream.feed(varied_sound(4))
    assert used.device_seconds > 0


def test_a_worker_without_lanes_leaves_nobody_waiting() -> None:
    worker = Worker()
    future = worker.submit(chunk(2), LIVE, Priority.NEW, lambda _: None)
    worker.close()
    assert future.done()


def test_closing_from_the_workers_own_thread(checkpoint: Checkpoint, gate: Gate) -> None:
    """A callback that closes the engine does not wait for itself."""
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=1)
    first, second = engine.submit(chunk(2)), engine.submit(chunk(40))
    first.add_done_callback(lambda _: engine.close())
    gate.opened.set()
    assert len(ids(first)) == 2 + TAIL_FRAMES
    assert isinstance(second.exception(BOUND), EngineError)
    engine._worker._thread.join(BOUND)
    assert not engine._worker._thread.is_alive()


def test_submitting_while_it_closes(checkpoint: Checkpoint) -> None:
    """Every submit either raises or gives a future that ends."""
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=2)
    _ = engine.work
    start, futures, refused = threading.Barrier(5), list[Future[ChunkFrames]](), list[EngineError]()

    def submit() -> None:
        start.wait()
        try:
            while True:
                futures.append(engine.submit(chunk(1)))
        except EngineError as error:
            refused.append(error)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    engine.close()
    for thread in threads:
        thread.join(BOUND)
    assert len(refused) == 4
    assert all(future.done() for future in futures)


def test_an_engine_that_nobody_holds_ends_its_thread(checkpoint: Checkpoint) -> None:
    before = threads_of_workers()
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=2)
    assert len(ids(engine.submit(chunk(5)))) == 5 + TAIL_FRAMES
    worker, gone = engine._worker, weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None
    assert not worker._thread.is_alive()
    assert threads_of_workers() <= before


def test_a_stream_outlives_the_name_of_its_engine(checkpoint: Checkpoint) -> None:
    stream = VoxtralEngine(checkpoint, delay_ms=80).stream()
    gc.collect()
    assert len(stream.feed(varied_sound(1))) + len(stream.finish()) == 13 + TAIL_FRAMES


def test_the_memory_of_the_lanes_is_given_back(checkpoint: Checkpoint) -> None:
    import mlx.core as mx

    gc.collect()
    before = mx.get_active_memory()
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=8)
    futures = [engine.submit(chunk(60, seed)) for seed in range(8)]
    assert all(ids(future) for future in futures)
    assert mx.get_active_memory() > before
    engine.close()
    gc.collect()
    held = mx.get_active_memory() - before
    rings = 2 * 2 * 32 * 128 * 4  # of a single lane: two layers' keys and values, a head of 32, 128 positions
    assert held < 8 * rings


def test_no_thread_is_left_of_a_checkpoint_that_fails(tmp_path: Path) -> None:
    before = threads_of_workers()
    with pytest.raises(EngineError):
        VoxtralEngine(load(str(tmp_path)), lanes=1)
    with pytest.raises(EngineError):
        VoxtralEngine(None, delay_ms=500, lanes=1)  # type: ignore[arg-type]  # never looked at
    gc.collect()
    assert threads_of_workers() <= before
