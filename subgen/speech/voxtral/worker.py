"""The one thread that MLX belongs to.

    worker = Worker()
    worker.call(lambda: ...)                         # anything that needs MLX; waits for the answer
    worker.start_pool(lambda: LanePool(checkpoint, most_lanes=16))
    future = worker.submit(chunk, geometry, Priority.NEW, heard)
    worker.close()

MLX's streams belong to a thread: what is not yet computed in one cannot be used in another. So all of
it happens here, and everybody else hands in work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np

from subgen.errors import EngineError
from subgen.model import Chunk, ChunkFrames, Priority
from subgen.speech.voxtral.geometry import Geometry
from subgen.speech.voxtral.lanes import Encoded
from subgen.speech.voxtral.pool import LanePool
from subgen.speech.voxtral.queue import JobQueue

T = TypeVar("T")


class Worker:
    """A thread with a queue of jobs for the lanes and one of calls, which come first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._queue: JobQueue[Encoded] = JobQueue()
        self._pool: LanePool | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="subgen-mlx", daemon=True)
        self._thread.start()

    @property
    def pool(self) -> LanePool | None:
        """The lanes, once they were started."""
        return self._pool

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the worker's thread between two blocks, and return what it returns or raises."""
        if threading.current_thread() is self._thread:
            return function()
        future: Future[T] = Future()
        with self._changed:
            self._check_open()
            self._calls.append((function, future))
            self._changed.notify()
        return future.result()

    def start_pool(self, make: Callable[[], LanePool]) -> LanePool:
        """Make the lanes, if nobody did yet."""

        def start() -> LanePool:
            if self._pool is None:
                self._pool = make()
            return self._pool

        return self.call(start)

    def submit(
        self, chunk: Chunk, geometry: Geometry, priority: Priority, heard: Callable[[int], None]
    ) -> Future[ChunkFrames]:
        """Decode `chunk` when it is its turn; what is no sound fails at once, and alone."""
        if fault := _fault(chunk):
            failed: Future[ChunkFrames] = Future()
            failed.set_exception(EngineError(fault, "report this: it is a defect"))
            return failed
        with self._changed:
            self._check_open()
            job = self._queue.add(chunk, geometry, priority, heard)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Fail what is not done and end the thread. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _check_open(self) -> None:
        if self._closing:
            raise EngineError("the engine was closed", "make a new one")

    def _run(self) -> None:
        closed = EngineError("the engine was closed", "make a new one")
        while not self._closing:
            self._wait()
            while self._calls:
                _answer(*self._calls.popleft())
            if self._pool is not None and not self._closing:
                self._advance(self._pool)
        for _, future in self._calls:
            future.set_exception(closed)
        if self._pool is not None:
            self._pool.clear(self._queue, closed)
        self._queue.fail(closed)
        self._pool = None

    def _wait(self) -> None:
        with self._changed:
            while not (self._closing or self._calls or self._has_work()):
                self._changed.wait()

    def _has_work(self) -> bool:
        return self._pool is not None and (self._pool.busy or len(self._queue) > 0)

    def _advance(self, pool: LanePool) -> None:
        try:
            pool.advance(self._queue)
        except Exception as error:  # noqa: BLE001 - the worker loop: nobody may wait for ever for a dead thread
            defect = EngineError(f"{type(error).__name__}: {error}", "report this: it is a defect")
            pool.clear(self._queue, defect)


def _answer(function: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asked
        future.set_exception(error)


def _fault(chunk: Chunk) -> str | None:
    """What is wrong with the samples of `chunk`."""
    pcm = chunk.pcm
    if pcm.ndim != 1 or pcm.dtype != np.float32:
        return f"samples of the shape {pcm.shape} and the type {pcm.dtype} are no mono float32"
    if not np.isfinite(pcm).all():
        return f"a sample near {chunk.first_sample / 16_000:.1f} s is no number"
    return None
