"""Jobs in and out of lanes, driven by hand: one thread, and a block of work at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass, field, replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.errors import CheckpointInvalid, EngineError
from subgen.model import FRAME_SAMPLES, Chunk, ChunkFrames, Pcm, Priority
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.geometry import TAIL_FRAMES, Geometry
from subgen.speech.voxtral.lanes import Beginnings, Encoded, Lanes
from subgen.speech.voxtral.pool import AHEAD, BLOCK, LanePool
from subgen.speech.voxtral.queue import Job, JobQueue
from tests.checkpoints import Shape, varied_sound, write_checkpoint

LIVE = Geometry.of_delay(480)
TINY = Shape(
    layers=1, hidden=64, decoder_layers=2, decoder_heads=2, kv_heads=1, decoder_hidden=64, decoder_window=200
)  # fmt: skip
LENGTHS = st.sampled_from((0, 1, 2, 5, 6, 16, 33, 60))  # in frames; 5 and 21 tokens end with a block
OUT_OF_MEMORY = "[malloc] Unable to allocate 123 bytes."
Flawed = Callable[[type, str, Callable[..., None]], None]
QUIET: Callable[[int], None] = lambda _: None  # noqa: E731


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(str(write_checkpoint(tmp_path_factory.mktemp("weights"), TINY)))


@dataclass
class Hand:
    """A pool and its queue. `step` advances once; every chunk is another sound."""

    checkpoint: Checkpoint
    pool: LanePool
    queue: JobQueue[Encoded] = field(default_factory=JobQueue)
    jobs: list[Job[Encoded]] = field(default_factory=list)

    def add(
        self,
        frames: int,
        priority: Priority = Priority.NEW,
        *,
        geometry: Geometry = LIVE,
        heard: Callable[[int], None] = QUIET,
    ) -> Job[Encoded]:
        number = len(self.jobs)
        chunk = Chunk(number * FRAME_SAMPLES, sound(frames, number))
        self.jobs.append(self.queue.add(chunk, geometry, priority, heard))
        return self.jobs[-1]

    def step(self) -> None:
        self.pool.advance(self.queue)

    def run(self, most: int = 200) -> None:
        """Until nothing is left; a pool that turns in circles fails."""
        for _ in range(most):
            if not (self.pool.busy or len(self.queue)):
                return
            self.step()
        raise AssertionError(f"work is left after {most} blocks")

    def check(self, jobs: list[Job[Encoded]] | None = None) -> None:
        """All `jobs` have the tokens that they have alone."""
        for job in self.jobs if jobs is None else jobs:
            assert job.future.done(), f"chunk {job.key} has no end"
            assert tokens(job) == alone(self.checkpoint, job)


@pytest.fixture
def hand(checkpoint: Checkpoint) -> Callable[..., Hand]:
    """Time stands still in it, so that blocks are of full length."""
    return lambda lanes=2, **more: Hand(checkpoint, still(checkpoint, lanes, **more))


def still(checkpoint: Checkpoint, lanes: int, **more: Any) -> LanePool:
    return LanePool(checkpoint, most_lanes=lanes, **{"clock": lambda: 0.0} | more)


@pytest.fixture
def flawed(monkeypatch: pytest.MonkeyPatch) -> Flawed:
    """`flawed(Lanes, "run", check)`: `check` is called with the arguments first, and may raise."""

    def install(owner: type, name: str, check: Callable[..., None]) -> None:
        original = getattr(owner, name)

        def wrapped(self: Any, *arguments: Any, **more: Any) -> Any:
            check(self, *arguments, **more)
            return original(self, *arguments, **more)

        monkeypatch.setattr(owner, name, wrapped)

    return install


def sound(frames: int, seed: int) -> Pcm:
    """`frames` frames, of the last of which a part is missing."""
    return varied_sound(max(frames, 1) * FRAME_SAMPLES / 16_000, seed)[: max(frames * FRAME_SAMPLES - 17, 0)]


def tokens(job: Job[Encoded]) -> list[int]:
    return [frame.token_id for frame in job.future.result(timeout=0).frames]


_ALONE: dict[tuple[int, int, int, int], list[int]] = {}


def alone(checkpoint: Checkpoint, job: Job[Encoded]) -> list[int]:
    """The tokens of a job's chunk in a pool of its own."""
    key = (id(checkpoint), job.chunk.first_sample, len(job.chunk.pcm), job.geometry.delay_frames)
    if key not in _ALONE:
        queue: JobQueue[Encoded] = JobQueue()
        single = LanePool(checkpoint, most_lanes=1)
        again = queue.add(job.chunk, job.geometry, Priority.NEW, QUIET)
        while not again.future.done():
            single.advance(queue)
        _ALONE[key] = tokens(again)
    return _ALONE[key]


def running(jobs: list[Job[Encoded]]) -> list[int]:
    """Which of the jobs hold a lane or are done."""
    return [number for number, job in enumerate(jobs) if job.scheduled or job.future.done()]


# Priority and cancelling


def test_one_who_waits_takes_the_next_free_lane(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    backfill = [two.add(40, Priority.BACKFILL) for _ in range(2 * AHEAD + 2)]
    for _ in range(2):  # so that others are encoded already
        two.step()
    assert running(backfill) == [0, 1]
    waited_for = two.add(20, Priority.WAITED_FOR)
    while not any(job.future.done() for job in backfill):
        assert len(running(backfill)) <= 2
        two.step()
    two.step()
    assert waited_for.scheduled > 0
    assert len(running(backfill)) <= 3  # two lanes became free at once; one of them was for who waits
    two.run()
    two.check()


@settings(max_examples=15)
@given(
    lanes=st.integers(1, 4),
    arrivals=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Priority), LENGTHS), max_size=12),
)
def test_lanes_are_taken_by_priority(
    checkpoint: Checkpoint, lanes: int, arrivals: list[tuple[int, Priority, int]]
) -> None:
    """Whenever a job begins, none of a better key waits."""
    hand = Hand(checkpoint, still(checkpoint, lanes))
    waiting: list[Job[Encoded]] = []
    for steps, priority, frames in [*arrivals, (100, Priority.NEW, 1)]:
        for _ in range(steps):
            hand.step()
            begun = [job for job in waiting if job.scheduled]
            waiting = [job for job in waiting if not job.scheduled]
            assert all(one.key < other.key for one in begun for other in waiting)
        waiting.append(hand.add(frames, priority))
    hand.run()
    hand.check()


def test_cancelling_frees_the_lane_at_the_next_block(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    first, second, third = two.add(100), two.add(100), two.add(30)
    two.step()
    assert (first.scheduled, second.scheduled, third.scheduled) == (BLOCK, BLOCK, 0)
    first.future.cancel()
    rows = two.pool.work.rows
    two.step()
    assert (first.scheduled, second.scheduled, third.scheduled) == (BLOCK, 2 * BLOCK, BLOCK)
    assert two.pool.work.rows - rows == 2 * BLOCK
    two.run()
    two.check([second, third])
    with pytest.raises(CancelledError):
        first.future.result(timeout=0)


def test_a_lane_that_nobody_wants_does_not_run(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    first, second = two.add(100), two.add(40)
    two.step()
    first.future.cancel()
    two.run()
    two.check([second])
    assert two.pool.work.rows == BLOCK + 40 + TAIL_FRAMES


def test_cancelling_all_leaves_nothing_to_do(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    jobs = [two.add(100) for _ in range(5)]
    two.step()
    for job in jobs:
        job.future.cancel()
    two.run(most=2)
    assert two.pool.work.rows == 2 * BLOCK
    later = two.add(12)
    two.run()
    two.check([later])


def test_whoever_waits_for_a_cancelled_future_with_others_goes_on(hand: Callable[..., Hand]) -> None:
    """`concurrent.futures.wait` knows a cancelled future as done only once it was notified."""
    two = hand(lanes=2)
    jobs = [two.add(20) for _ in range(4)]
    two.step()
    for job in jobs[::2]:  # one in a lane and one that waits
        job.future.cancel()
    two.run()
    assert not wait([job.future for job in jobs], timeout=0).not_done


def test_cancelled_with_its_last_tokens_on_the_way(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    short, long = two.add(1), two.add(50)
    two.step()
    assert short.remaining == 0
    assert short.future.cancel()
    two.run()
    assert short.future.cancelled()
    two.check([long])


@settings(max_examples=12)
@given(data=st.data())
def test_cancelled_neighbours_change_nothing(checkpoint: Checkpoint, data: st.DataObject) -> None:
    hand = Hand(checkpoint, still(checkpoint, data.draw(st.integers(1, 4))))
    for frames in data.draw(st.lists(LENGTHS, min_size=2, max_size=8)):
        hand.add(frames, data.draw(st.sampled_from(Priority)))
    cancelled = set()
    for _ in range(data.draw(st.integers(1, 6))):
        hand.step()
        victim = data.draw(st.sampled_from(hand.jobs))
        if victim.future.cancel():
            cancelled.add(victim)
    hand.run()
    assert all(job.future.cancelled() for job in cancelled)
    hand.check([job for job in hand.jobs if job not in cancelled])


# Room, and what comes in between two looks at the queue


class Door(JobQueue[Encoded]):
    """A queue into which somebody puts a job right after the pool first looked at it."""

    def __init__(self) -> None:
        super().__init__()
        self.then: list[Callable[[], object]] = []

    def first(self, count: int) -> list[Job[Encoded]]:
        found = super().first(count)
        if self.then:
            self.then.pop()()
        return found


def test_a_longer_chunk_that_arrives_while_lanes_are_laid_out(checkpoint: Checkpoint) -> None:
    """The room of the lanes was reckoned without it."""
    door = Door()
    hand = Hand(checkpoint, still(checkpoint, 2), door)
    hand.add(3, geometry=Geometry.of_delay(80))
    door.then = [lambda: hand.add(70, Priority.WAITED_FOR, geometry=Geometry.of_delay(80))]
    hand.run()
    hand.check()


def test_a_chunk_is_cancelled_and_an_encoded_one_takes_its_room(checkpoint: Checkpoint) -> None:
    door = Door()
    hand = Hand(checkpoint, still(checkpoint, 1), door)
    first, short, long = (hand.add(frames, geometry=Geometry.of_delay(80)) for frames in (70, 3, 120))
    while not first.future.done():
        hand.step()
    assert long.encoded is not None
    door.then = [short.future.cancel]
    hand.run()
    hand.check([first, long])


def test_room_grows_while_others_go_on(hand: Callable[..., Hand]) -> None:
    """From 64 positions to the window of 200, with streams under way at every stage."""
    four = hand(lanes=4)
    for frames in (5, 20, 40, 90, 120, 250):
        four.add(frames, geometry=Geometry.of_delay(80))
        four.step()
    four.run()
    four.check()


def test_lanes_come_and_go_with_the_work(hand: Callable[..., Hand]) -> None:
    eight = hand(lanes=8)
    for frames in (60, 2, 2, 40, 2, 2, 90, 2):
        eight.add(frames)
    eight.run()
    eight.add(20)
    eight.run()
    eight.check()
    work = eight.pool.work
    assert work.padded_rows < 2 * work.rows  # the last ones do not drag seven empty lanes along


def test_measured_lanes_are_filled_up_with_empty_ones(hand: Callable[..., Hand]) -> None:
    """Four lanes are faster than three, here: three streams run in four lanes, of which one is empty."""
    pool = hand(lanes=6, step_ms={1: 1.0, 2: 3.0, 3: 9.0, 4: 2.0, 6: 2.5})
    for _ in range(3):
        pool.add(30)
    pool.run()
    pool.check()
    work = pool.pool.work
    assert (work.steps, work.rows, work.padded_rows) == (41, 3 * 41, 4 * 41)


# Accounting


@settings(max_examples=20)
@given(
    lanes=st.integers(1, 6),
    frames=st.lists(LENGTHS, min_size=1, max_size=10),
    pauses=st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
def test_work_is_the_sum_of_the_jobs(
    checkpoint: Checkpoint, lanes: int, frames: list[int], pauses: list[int]
) -> None:
    hand = Hand(checkpoint, still(checkpoint, lanes))
    for count, pause in zip(frames, pauses, strict=False):
        hand.add(count)
        for _ in range(pause):
            hand.step()
    hand.run()
    hand.check()
    work = hand.pool.work
    assert work.rows == sum(job.due for job in hand.jobs)
    assert work.prompts == len(frames)
    assert work.halvings == 0
    longest = max(job.due for job in hand.jobs)
    assert max(longest, work.rows / lanes) <= work.steps <= work.rows
    assert work.rows <= work.padded_rows <= work.steps * lanes


def test_one_lane_wastes_nothing(hand: Callable[..., Hand]) -> None:
    one = hand(lanes=1)
    for frames in (30, 7, 55):
        one.add(frames)
    one.run()
    work = one.pool.work
    assert work.steps == work.rows == work.padded_rows == 30 + 7 + 55 + 3 * TAIL_FRAMES


@dataclass
class Clock:
    """Time that passes with the work."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_seconds_are_those_of_encoding_and_decoding(hand: Callable[..., Hand], flawed: Flawed) -> None:
    clock = Clock()
    flawed(Beginnings, "encode", lambda *_: setattr(clock, "now", clock.now + 2))
    flawed(Lanes, "run", lambda _, passes: setattr(clock, "now", clock.now + passes / 1024))
    two = hand(lanes=2, clock=clock)
    for frames in (40, 20, 30):
        two.add(frames)
    two.run()
    work = two.pool.work
    assert (work.encode_seconds, work.decode_seconds) == (6, work.steps / 1024)
    assert work.seconds == work.encode_seconds + work.decode_seconds


@pytest.mark.parametrize(("pass_seconds", "block"), [(2.0, 1), (0.125, 4), (0.0625, 8), (0.001, BLOCK)])
def test_a_slow_device_is_looked_at_more_often(
    hand: Callable[..., Hand], flawed: Flawed, pass_seconds: float, block: int
) -> None:
    """Half a second a block, once it is known how long a pass takes."""
    clock, blocks = Clock(), list[int]()

    def slow(_: Lanes, passes: int) -> None:
        clock.now += passes * pass_seconds
        blocks.append(passes)

    flawed(Lanes, "run", slow)
    one = hand(lanes=1, clock=clock)
    one.add(60)
    one.run()
    one.check()
    assert set(blocks[1:-1]) == {block}


@settings(max_examples=10)
@given(frames=st.lists(LENGTHS, min_size=1, max_size=6), lanes=st.integers(1, 3))
def test_heard_adds_up_to_the_frames_of_the_chunk(
    checkpoint: Checkpoint, frames: list[int], lanes: int
) -> None:
    hand = Hand(checkpoint, still(checkpoint, lanes))
    told: list[list[int]] = [[] for _ in frames]
    for count, mine in zip(frames, told, strict=True):
        hand.add(count, heard=mine.append)
    hand.run()
    assert [sum(mine) for mine in told] == frames
    assert all(part > 0 for mine in told for part in mine)


# What goes wrong


def out_of_memory_over(lanes: int) -> Callable[[Lanes, int], None]:
    def check(tried: Lanes, _: int) -> None:
        if tried.size > lanes:
            raise RuntimeError(OUT_OF_MEMORY)

    return check


def poisoned(error: Exception) -> Callable[[Lanes, int], None]:
    """A stream of 33 frames is too much."""

    def check(tried: Lanes, _: int) -> None:
        poison = LIVE.total_frames(33 * FRAME_SAMPLES)
        if any(stream and stream.positions == poison for stream in tried._streams):
            raise error

    return check


def failure(job: Job[Encoded]) -> EngineError:
    assert job.future.done(), f"chunk {job.key} has no end"
    error = job.future.exception(timeout=0)
    assert isinstance(error, EngineError)
    return error


@pytest.mark.parametrize(("lanes", "bearable", "halvings"), [(8, 4, 1), (8, 2, 2), (7, 1, 2), (2, 1, 1)])
def test_out_of_memory_halves_the_lanes(
    hand: Callable[..., Hand], flawed: Flawed, lanes: int, bearable: int, halvings: int
) -> None:
    flawed(Lanes, "run", out_of_memory_over(bearable))
    pool = hand(lanes=lanes)
    told: list[list[int]] = [[] for _ in range(11)]
    for number, mine in enumerate(told):
        pool.add(10 + 7 * number, heard=mine.append)
    pool.run()
    pool.check()
    assert pool.pool.work.halvings == halvings
    halved = pool.pool.most_lanes
    assert halved <= bearable
    assert [sum(mine) for mine in told] == [job.chunk.frames for job in pool.jobs]
    pool.add(10)  # after a rest there may be memory again
    pool.step()
    assert pool.pool.most_lanes == min(2 * halved, lanes)


def test_out_of_memory_in_the_midst(hand: Callable[..., Hand], flawed: Flawed) -> None:
    """Tokens that were handed out already are counted once, though they are made again."""
    blocks = iter(range(1000))

    def check(tried: Lanes, _: int) -> None:
        if next(blocks) >= 3 and tried.size > 2:
            raise RuntimeError(OUT_OF_MEMORY)

    flawed(Lanes, "run", check)
    four = hand(lanes=4)
    told: list[list[int]] = [[] for _ in range(7)]
    for number, mine in enumerate(told):
        four.add(30 + 11 * number, heard=mine.append)
    four.run()
    four.check()
    assert four.pool.work.halvings == 1
    assert [sum(mine) for mine in told] == [job.chunk.frames for job in four.jobs]


def test_out_of_memory_when_tokens_are_read(
    hand: Callable[..., Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU a pass fails when its result is fetched, a block later."""
    real, reads = LanePool._read, iter(range(1000))

    def late(pool: LanePool, keep: int) -> None:
        if next(reads) == 2:
            raise RuntimeError(OUT_OF_MEMORY)
        real(pool, keep)

    monkeypatch.setattr(LanePool, "_read", late)
    four = hand(lanes=4)
    for frames in (3, 90, 40, 60, 5, 20):
        four.add(frames)
    four.run()
    four.check()
    assert four.pool.work.halvings == 1


def test_those_halved_keep_their_priority(hand: Callable[..., Hand], flawed: Flawed) -> None:
    flawed(Lanes, "run", out_of_memory_over(1))
    two = hand(lanes=2)
    late, soon = two.add(30, Priority.BACKFILL), two.add(30, Priority.WAITED_FOR)
    while not late.scheduled:
        two.step()
    assert soon.future.done()
    two.run()
    two.check()


def test_out_of_memory_where_nothing_runs_yet(hand: Callable[..., Hand], flawed: Flawed) -> None:
    """The rings of eight lanes find no room: those of four do."""

    def check(_: Lanes, lanes: list[int | None], room: int) -> None:
        if len(lanes) > 4 and room:
            raise RuntimeError(OUT_OF_MEMORY)

    flawed(Lanes, "rearrange", check)
    eight = hand(lanes=8)
    for _ in range(9):
        eight.add(20)
    eight.run()
    eight.check()
    assert eight.pool.most_lanes <= 4


def test_no_room_for_more_lanes_does_not_fail_the_one_that_runs(
    hand: Callable[..., Hand], flawed: Flawed
) -> None:
    def check(_: Lanes, lanes: list[int | None], room: int) -> None:
        if len(lanes) > 2 and room:
            raise RuntimeError(OUT_OF_MEMORY)

    flawed(Lanes, "rearrange", check)
    eight = hand(lanes=8)
    eight.add(60)
    eight.step()
    for _ in range(7):
        eight.add(20)
    eight.run()
    eight.check()


def test_no_room_for_a_single_lane(hand: Callable[..., Hand], flawed: Flawed) -> None:
    """Every chunk fails with the reason; none turns in circles."""

    def check(*_: object) -> None:
        raise RuntimeError(OUT_OF_MEMORY)

    flawed(Lanes, "rearrange", check)
    four = hand(lanes=4)
    for _ in range(5):
        four.add(20)
    four.run()
    assert all("malloc" in failure(job).message for job in four.jobs)


def test_a_chunk_for_which_even_one_lane_is_too_many(hand: Callable[..., Hand], flawed: Flawed) -> None:
    flawed(Lanes, "run", poisoned(RuntimeError(OUT_OF_MEMORY)))
    four = hand(lanes=4)
    for frames in (20, 30, 33, 40, 50, 60):
        four.add(frames)
    four.run()
    bad = four.jobs[2]
    assert OUT_OF_MEMORY in failure(bad).message
    assert failure(bad).way_out
    four.check([job for job in four.jobs if job is not bad])
    later = four.add(25)
    four.run()
    four.check([later])


def test_a_chunk_that_mlx_gives_up_on_costs_no_lanes(hand: Callable[..., Hand], flawed: Flawed) -> None:
    """An error that is not about memory: once the chunk is found, all lanes are used again."""

    flawed(Lanes, "run", poisoned(RuntimeError("[matmul] cannot")))
    four = hand(lanes=4)
    for frames in (20, 30, 33, 40, 50, 60):
        four.add(frames)
    four.run()
    bad = four.jobs[2]
    assert "[matmul] cannot" in failure(bad).message
    assert failure(bad).way_out
    four.check([job for job in four.jobs if job is not bad])
    assert four.pool.most_lanes == 4


def test_encoding_that_fails_fails_alone(hand: Callable[..., Hand], flawed: Flawed) -> None:
    def check(_: Beginnings, pcm: Pcm, __: Geometry) -> None:
        if len(pcm) == len(sound(33, 0)):
            raise RuntimeError(OUT_OF_MEMORY)

    flawed(Beginnings, "encode", check)
    two = hand(lanes=2)
    for frames in (20, 33, 40, 33, 50):
        two.add(frames)
    two.run()
    bad = [job for job in two.jobs if job.chunk.frames == 33]
    assert all(OUT_OF_MEMORY in failure(job).message and failure(job).way_out for job in bad)
    two.check([job for job in two.jobs if job not in bad])
    assert two.pool.work.prompts == 3


def test_encoding_in_one_go_waits_for_memory(hand: Callable[..., Hand], flawed: Flawed) -> None:
    """The third of four finds no room while two are encoded but not begun; it does when they are done."""
    calls = iter(range(1000))

    def check(*_: object) -> None:
        if next(calls) == 2:
            raise RuntimeError(OUT_OF_MEMORY)

    flawed(Beginnings, "encode", check)
    four = hand(lanes=4)
    for frames in (20, 30, 40, 50):
        four.add(frames)
    four.run()
    four.check()


def test_encoding_ahead_waits_for_memory(hand: Callable[..., Hand], flawed: Flawed) -> None:
    """While a lane is busy, one chunk fits beside it; the next is tried again when the lane is done."""

    def check(*_: object) -> None:
        if sum(1 for job in one.jobs if job.encoded is not None) >= 1:
            raise RuntimeError(OUT_OF_MEMORY)

    flawed(Beginnings, "encode", check)
    one = hand(lanes=1)
    for _ in range(3):
        one.add(40)
    one.run()
    one.check()


def test_a_prompt_longer_than_the_window_fails_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With its own error, which knows the way out; those of a shorter delay are not concerned."""
    folder = write_checkpoint(tmp_path_factory.mktemp("narrow"), replace(TINY, decoder_window=50))
    hand = Hand(narrow := load(str(folder)), still(narrow, 3))
    good = [hand.add(20), hand.add(30)]
    bad = hand.add(25, geometry=Geometry.of_delay(2400))
    hand.run()
    assert isinstance(failure(bad), CheckpointInvalid)
    assert failure(bad).way_out == "use a shorter delay"
    hand.check(good)


def test_a_defect_reaches_whoever_drives_and_clear_fails_all(
    hand: Callable[..., Hand], flawed: Flawed
) -> None:
    def check(*_: object) -> None:
        raise TypeError("oops")

    flawed(Lanes, "run", check)
    two = hand(lanes=2)
    for _ in range(4):
        two.add(20)
    with pytest.raises(TypeError):
        two.step()
    two.pool.clear(two.queue, EngineError("a defect"))
    assert [failure(job).message for job in two.jobs] == ["a defect"] * 4
    assert not two.pool.busy
    assert len(two.queue) == 0


def test_clearing_in_the_midst_fails_all_and_later_ones_succeed(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    jobs = [two.add(frames) for frames in (1, 60, 70, 80)]
    two.step()
    jobs[1].future.cancel()
    jobs[3].future.cancel()
    two.pool.clear(two.queue, EngineError("closed"))
    assert [failure(jobs[number]).message for number in (0, 2)] == ["closed"] * 2
    assert all(jobs[number].future.cancelled() for number in (1, 3))
    later = two.add(30)
    two.run()
    two.check([later])


# `heard` is somebody else's code


@pytest.mark.parametrize("error", [ValueError("heard"), RuntimeError("heard"), RuntimeError("out of memory")])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_heard_that_raises_harms_nobody_else(
    hand: Callable[..., Hand], error: Exception, call: int
) -> None:
    """Its own chunk may fail or not, but has an end; the others have their tokens."""
    calls = iter(range(1, 1000))

    def heard(_: int) -> None:
        if next(calls) == call:
            raise error

    three = hand(lanes=3)
    bad = three.add(40, heard=heard)
    good = [three.add(frames) for frames in (40, 60, 20, 30)]
    three.run()
    assert bad.future.done()
    three.check(good)
    assert three.pool.work.halvings == 0


def test_a_heard_that_raises_when_its_chunk_begins_again(hand: Callable[..., Hand], flawed: Flawed) -> None:
    blocks = iter(range(1000))

    def check(tried: Lanes, _: int) -> None:
        if next(blocks) >= 3 and tried.size > 1:
            raise RuntimeError(OUT_OF_MEMORY)

    def heard(frames: int) -> None:
        if frames < 0:
            raise ValueError(frames)

    flawed(Lanes, "run", check)
    two = hand(lanes=2)
    bad, good = two.add(90, heard=heard), two.add(90)
    two.run()
    assert bad.future.done()
    two.check([good])


def test_a_callback_that_raises_harms_nobody(
    hand: Callable[..., Hand], caplog: pytest.LogCaptureFixture
) -> None:
    def callback(_: object) -> None:
        raise RuntimeError("callback")

    two = hand(lanes=2)
    first = two.add(20)
    first.future.add_done_callback(callback)
    two.add(20)
    two.add(20)
    two.run()
    two.check()
    assert "callback" in caplog.text


# Sound that is finite, and yet no sound


def test_overflow_in_a_lane_stays_there(hand: Callable[..., Hand]) -> None:
    """Finite samples whose squares are not: whatever comes of them, neighbours and successors are whole."""
    two = hand(lanes=2)
    two.add(60)
    loud = Chunk(0, np.full(40 * FRAME_SAMPLES, 1e30, np.float32))
    bad = two.queue.add(loud, LIVE, Priority.NEW, QUIET)
    for frames in (40, 70, 50):
        two.add(frames)
    two.run()
    assert len(bad.future.result(timeout=0).frames) == bad.due
    two.check()


def test_a_chunk_of_nothing(hand: Callable[..., Hand]) -> None:
    two = hand(lanes=2)
    for frames in (0, 30, 0, 0, 30):
        two.add(frames)
    two.run()
    two.check()
    found = two.jobs[0].future.result(timeout=0)
    assert isinstance(found, ChunkFrames)
    assert (found.chunk_frames, len(found.frames)) == (0, TAIL_FRAMES)


def test_what_is_given_back_names_the_chunk(hand: Callable[..., Hand]) -> None:
    one = hand(lanes=1)
    chunk = Chunk(7 * FRAME_SAMPLES, sound(20, 3), lead_frames=4)
    job = one.queue.add(chunk, LIVE, Priority.NEW, QUIET)
    one.run()
    found = job.future.result(timeout=0)
    assert (found.first_sample, found.chunk_frames, found.lead_frames) == (7 * FRAME_SAMPLES, 20, 4)
    assert [frame.index for frame in found.frames] == list(range(20 + TAIL_FRAMES))


def test_memory_does_not_grow_with_the_work(hand: Callable[..., Hand]) -> None:
    """After many chunks no more is held than after a few: nothing holds on to what is done."""
    two = hand(lanes=2)

    def held() -> int:
        for _ in range(4):
            two.add(30)
        two.run()
        two.jobs.clear()
        return mx.get_active_memory()

    held()
    before = held()
    for _ in range(4):
        after = held()
    assert after <= before
