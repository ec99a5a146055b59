"""Who is next: chunks that wait for a lane, and what is known of each until its last token.

Pure bookkeeping without MLX; `worker` moves the chunks from here into the lanes and back.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from subgen.errors import SubgenError
from subgen.model import Chunk, ChunkFrames, Priority
from subgen.speech.voxtral.geometry import Geometry

Audio = TypeVar("Audio")
Ids = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Job(Generic[Audio]):
    """One chunk on its way. `encoded` once it went through the encoder; `scheduled` tokens are under way.

    `key` orders jobs: priority first, then the order of arrival.
    """

    key: tuple[int, int]
    chunk: Chunk
    geometry: Geometry
    heard: Callable[[int], None]
    future: Future[ChunkFrames]
    encoded: Audio | None = None
    scheduled: int = 0
    ids: list[Ids] = field(default_factory=list)
    told: int = 0
    dropped: bool = False

    @property
    def due(self) -> int:
        """Tokens it needs."""
        return self.geometry.token_count(len(self.chunk.pcm))

    @property
    def remaining(self) -> int:
        """Tokens that are still to be scheduled."""
        return self.due - self.scheduled

    def take(self, ids: Ids) -> bool:
        """Add tokens that the device has made; True when these were the last."""
        self.ids.append(ids)
        self._tell()
        return sum(map(len, self.ids)) == self.due

    def restart(self) -> None:
        """Forget all tokens: they have to be made again."""
        self.ids, self.scheduled, self.encoded = [], 0, None
        self._tell()

    def fail(self, error: SubgenError) -> None:
        """End it with `error`, if it has not ended."""
        if self.future.cancelled():
            self.drop()
        elif not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def drop(self) -> None:
        """Tell those who wait for a future that was cancelled that it is over."""
        if not self.dropped:
            self.dropped = True
            self.future.set_running_or_notify_cancel()

    def _tell(self) -> None:
        lead = self.chunk.lead_frames  # that much was told of the chunk before
        done = max(0, min(sum(map(len, self.ids)), self.chunk.frames) - lead) - self.told
        if done:
            self.told += done
            try:
                self.heard(done)
            except Exception:
                # Event dispatch: a listener's fault must cost nobody a chunk.
                logging.getLogger(__name__).exception("the listener to progress failed")


class JobQueue(Generic[Audio]):
    """Jobs by priority, then by arrival, for any number of threads. Cancelled ones are never given out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[tuple[int, int], Job[Audio]]] = []
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting())

    def add(
        self, chunk: Chunk, geometry: Geometry, priority: Priority, heard: Callable[[int], None]
    ) -> Job[Audio]:
        """A new job at the end of those of its priority."""
        job: Job[Audio] = Job((priority, next(self._arrivals)), chunk, geometry, heard, Future())
        self.put_back(job)
        return job

    def put_back(self, job: Job[Audio]) -> None:
        """A job that lost its lane: to the place that it had."""
        with self._lock:
            heapq.heappush(self._heap, (job.key, job))

    def next(self) -> Job[Audio] | None:
        """Take the first; None where nobody waits."""
        with self._lock:
            return heapq.heappop(self._heap)[1] if self._waiting() else None

    def first(self, count: int) -> list[Job[Audio]]:
        """Look at the first `count`, in order, and leave them."""
        with self._lock:
            return [job for _, job in heapq.nsmallest(count, self._waiting())]

    def fail(self, error: SubgenError) -> None:
        """End all that wait with `error`."""
        while (job := self.next()) is not None:
            job.fail(error)

    def remove(self, job: Job[Audio]) -> None:
        """Take out a job that waits."""
        with self._lock:
            self._keep(lambda other: other is not job)

    def _waiting(self) -> list[tuple[tuple[int, int], Job[Audio]]]:
        cancelled = [job for _, job in self._heap if job.future.cancelled()]
        if cancelled:
            self._keep(lambda job: job not in cancelled)
            for job in cancelled:
                job.drop()
        return self._heap

    def _keep(self, wanted: Callable[[Job[Audio]], bool]) -> None:
        self._heap = [entry for entry in self._heap if wanted(entry[1])]
        heapq.heapify(self._heap)
