"""Who is next, and what a job knows of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgen.model import FRAME_SAMPLES, LEGAL_DELAYS_MS, Chunk, Priority
from subgen.speech.voxtral.geometry import TAIL_FRAMES, Geometry
from subgen.speech.voxtral.queue import Job, JobQueue

LIVE = Geometry.of_delay(480)
PRIORITIES = st.sampled_from(Priority)


def silence(samples: int = FRAME_SAMPLES) -> Chunk:
    return Chunk(0, np.zeros(samples, np.float32))


def add(
    queue: JobQueue[str],
    priority: Priority = Priority.NEW,
    chunk: Chunk | None = None,
    heard: Callable[[int], None] = lambda _: None,
) -> Job[str]:
    return queue.add(chunk or silence(), LIVE, priority, heard)


def drained(queue: JobQueue[str]) -> list[Job[str]]:
    return list(iter(queue.next, None))


def test_nobody_waits() -> None:
    queue: JobQueue[str] = JobQueue()
    assert (len(queue), queue.next(), queue.first(3)) == (0, None, [])


@given(priorities=st.lists(PRIORITIES, max_size=30))
def test_by_priority_then_by_arrival(priorities: list[Priority]) -> None:
    queue: JobQueue[str] = JobQueue()
    jobs = [add(queue, priority) for priority in priorities]
    expected = sorted(jobs, key=lambda job: priorities[jobs.index(job)])  # sorting is stable
    assert len(queue) == len(jobs)
    assert queue.first(len(jobs) + 1) == expected
    assert drained(queue) == expected


def test_one_who_waits_overtakes_all_backfill() -> None:
    queue: JobQueue[str] = JobQueue()
    old = [add(queue, Priority.BACKFILL) for _ in range(50)]
    new = add(queue, Priority.NEW)
    waited_for = add(queue, Priority.WAITED_FOR)
    assert drained(queue) == [waited_for, new, *old]


@given(priorities=st.lists(PRIORITIES, min_size=1, max_size=20), data=st.data())
def test_looking_changes_nothing_and_sees_what_is_taken_next(
    priorities: list[Priority], data: st.DataObject
) -> None:
    queue: JobQueue[str] = JobQueue()
    for priority in priorities:
        add(queue, priority)
    count = data.draw(st.integers(0, len(priorities)))
    seen = queue.first(count)
    assert [queue.next() for _ in range(count)] == seen


@given(priorities=st.lists(PRIORITIES, min_size=1, max_size=20), data=st.data())
def test_what_is_put_back_has_its_old_place(priorities: list[Priority], data: st.DataObject) -> None:
    queue: JobQueue[str] = JobQueue()
    for priority in priorities:
        add(queue, priority)
    order = queue.first(len(priorities))
    taken = [queue.next() for _ in range(data.draw(st.integers(0, len(priorities))))]
    for job in data.draw(st.permutations(taken)):
        assert job is not None
        queue.put_back(job)
    assert drained(queue) == order


@given(priorities=st.lists(PRIORITIES, min_size=1, max_size=20), data=st.data())
def test_what_is_cancelled_or_removed_is_never_given_out(
    priorities: list[Priority], data: st.DataObject
) -> None:
    queue: JobQueue[str] = JobQueue()
    jobs = [add(queue, priority) for priority in priorities]
    order = queue.first(len(jobs))
    cancelled = data.draw(st.sets(st.sampled_from(jobs)))
    removed = data.draw(st.sets(st.sampled_from(jobs)))
    for job in cancelled:
        job.future.cancel()
    for job in removed:
        queue.remove(job)
    left = [job for job in order if job not in cancelled | removed]
    assert len(queue) == len(left)
    assert queue.first(len(jobs)) == left
    assert drained(queue) == left


def test_a_cancelled_job_that_is_put_back_is_not_given_out() -> None:
    queue: JobQueue[str] = JobQueue()
    job = add(queue)
    assert queue.next() is job
    job.future.cancel()
    queue.put_back(job)
    assert (len(queue), queue.next()) == (0, None)


def test_removing_a_job_that_does_not_wait() -> None:
    queue: JobQueue[str] = JobQueue()
    job, other = add(queue), add(queue)
    assert queue.next() is job
    queue.remove(job)
    assert drained(queue) == [other]


def test_many_threads_lose_and_double_nothing() -> None:
    queue: JobQueue[str] = JobQueue()
    start, taken, lock = threading.Barrier(6), list[Job[str]](), threading.Lock()

    def put() -> None:
        start.wait()
        for _ in range(200):
            add(queue)

    def take() -> None:
        start.wait()
        got = 0
        while got < 400:
            if (job := queue.next()) is not None:
                got += 1
                with lock:
                    taken.append(job)

    threads = [threading.Thread(target=put) for _ in range(4)] + [threading.Thread(target=take) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(job) for job in taken}) == len(taken) == 800
    assert sorted(job.key for job in taken) == [(Priority.NEW, number) for number in range(800)]


def test_takers_get_their_own_in_the_order_of_arrival() -> None:
    """One of several takers may be late, but never sees an older job after a younger one."""
    queue: JobQueue[str] = JobQueue()
    for _ in range(500):
        add(queue)
    taken: dict[int, list[Job[str]]] = {}

    def take(number: int) -> None:
        taken[number] = drained(queue)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(map(len, taken.values())) == 500
    assert all(a.key < b.key for jobs in taken.values() for a, b in pairwise(jobs))


@given(samples=st.integers(0, 20 * FRAME_SAMPLES), delay_ms=st.sampled_from(LEGAL_DELAYS_MS))
def test_a_job_needs_a_token_for_each_frame_and_the_tail(samples: int, delay_ms: int) -> None:
    queue: JobQueue[str] = JobQueue()
    job = queue.add(silence(samples), Geometry.of_delay(delay_ms), Priority.NEW, lambda _: None)
    assert job.due == job.remaining == job.chunk.frames + TAIL_FRAMES
    job.scheduled = 5
    assert job.remaining == job.due - 5


@given(
    samples=st.integers(0, 20 * FRAME_SAMPLES),
    sizes=st.lists(st.integers(1, 9), min_size=32),
    restart=st.none() | st.integers(0, 6),
    lead=st.just(0) | st.integers(0, 25),
)
def test_heard_adds_up_to_the_frames_of_audio(
    samples: int, sizes: list[int], restart: int | None, lead: int
) -> None:
    """Without the run-up, once, also where all has to be made again; never more than there is audio."""
    told: list[int] = []
    job = add(JobQueue(), chunk=Chunk(0, silence(samples).pcm, lead), heard=told.append)
    if restart is not None:
        made = 0
        for size in sizes[:restart]:
            if made + size >= job.due:
                break
            assert not job.take(np.zeros(size, np.int64))
            made += size
        job.restart()
        assert sum(told) == 0
    made, last = 0, False
    for size in sizes:
        assert not last
        size = min(size, job.due - made)
        last = job.take(np.full(size, made))
        made += size
        assert sum(told) == max(0, min(made, job.chunk.frames) - lead)
        if last:
            break
    assert last == (made == job.due)
    assert last
    assert sum(told) == max(0, job.chunk.frames - lead)
    assert 0 not in told


def test_a_restarted_job_begins_anew() -> None:
    job = add(JobQueue(), chunk=silence(3 * FRAME_SAMPLES))
    job.encoded, job.scheduled = "encoded", 6
    job.take(np.arange(6))
    job.restart()
    assert (str(job.encoded), job.scheduled, len(job.ids), job.remaining) == ("None", 0, 0, job.due)


@pytest.mark.parametrize("samples", [0, 1, FRAME_SAMPLES - 1])
def test_less_than_a_frame(samples: int) -> None:
    told: list[int] = []
    job = add(JobQueue(), chunk=silence(samples), heard=told.append)
    assert job.take(np.zeros(job.due, np.int64))
    assert told == ([1] if samples else [])
