"""Jobs in and out of lanes: encodes ahead, refills, hands tokens back. One thread, no locks.

    pool = LanePool(checkpoint, most_lanes=16)
    while pool.busy or len(queue):
        pool.advance(queue)

A job's number of tokens follows from the length of its audio, so lanes are planned without waiting for
the device, and tokens are read one block after they were asked for.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from subgen.errors import EngineError, SubgenError
from subgen.model import ChunkFrames
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.device import device
from subgen.speech.voxtral.lanes import Beginnings, Encoded, Lanes
from subgen.speech.voxtral.queue import Ids, Job, JobQueue

BLOCK = 16
"""Passes between two looks at the queue and at what was cancelled, at most;"""
BLOCK_SECONDS = 0.5
"""and about how long they may take."""
AHEAD = 8
"""Jobs that are encoded in one go, and at most wait encoded for a lane: 3 MB each in the real shape."""
PASSES_PER_CLEARING = 256
_MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)


@dataclass(slots=True)
class Work:
    """What the device did since the start.

    `steps` passes over `padded_rows` lanes, of which `rows` carried a stream, and `prompts` on the way. On a
    GPU, where work is only handed over, encoding and decoding cannot be told apart exactly.
    """

    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    steps: int = 0
    rows: int = 0
    padded_rows: int = 0
    prompts: int = 0
    halvings: int = 0

    @property
    def seconds(self) -> float:
        """How long the device was at work."""
        return self.encode_seconds + self.decode_seconds


@dataclass(frozen=True, slots=True)
class _Block:
    """Tokens under way, [lanes, passes], and whose they are."""

    tokens: mx.array
    jobs: dict[int, Job[Encoded]]


class LanePool:
    """At most `most_lanes` lanes; fewer while there is less to do, or memory runs out.

    `step_ms` tells how long a pass takes with how many lanes, where that was measured: MLX changes its
    kernels with the number of rows, so that more can be faster.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        most_lanes: int,
        cache_bits: int = 16,
        pipelined: bool = True,
        step_ms: Mapping[int, float] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.work = Work()
        self.most_lanes = most_lanes
        self._wanted_lanes = most_lanes
        self._step_ms = step_ms or {}
        self._checkpoint = checkpoint
        self._clock = clock
        self._beginnings = Beginnings(checkpoint)
        self._new_lanes = partial(
            Lanes, checkpoint, self._beginnings, cache_bits=cache_bits, pipelined=pipelined
        )
        self._lanes = self._new_lanes()
        self._active: dict[int, Job[Encoded]] = {}
        self._blocks: deque[_Block] = deque()
        self._passes = 0
        self._block = BLOCK
        self._rested = False
        self._laying_out = 0  # how many lanes are being made

    @property
    def busy(self) -> bool:
        """Whether there is something under way."""
        return bool(self._active or self._blocks)

    def advance(self, queue: JobQueue[Encoded]) -> None:
        """Do one block of work."""
        try:
            self._advance(queue)
        except (RuntimeError, MemoryError) as error:  # what MLX raises, most likely because memory ran out
            self._retreat(queue, error)

    def clear(self, queue: JobQueue[Encoded], error: SubgenError) -> None:
        """Fail all that waits or is under way."""
        for job in self._under_way():
            job.fail(error)
        queue.fail(error)
        self._start_over()

    def _advance(self, queue: JobQueue[Encoded]) -> None:
        self._drop_cancelled()
        if self._rested:
            self.most_lanes = min(2 * self.most_lanes, self._wanted_lanes)  # memory may be there again
        self._fit(queue)
        steps, begun = self.work.steps, self._clock()
        fills = self._encode(queue)
        encoded = self._clock()
        self._refill(queue)
        # Lanes that are free while somebody waits are filled first: a pass costs little less with fewer.
        if self._active and not (fills and self._could_refill(queue)):
            self._run()
        self._read(keep=1 if self._active else 0)
        self.work.encode_seconds += encoded - begun
        decoded = self._clock() - encoded
        self.work.decode_seconds += decoded
        if self.work.steps > steps:
            fit = int(BLOCK_SECONDS / max(decoded / (self.work.steps - steps), 1e-6))
            self._block = max(1, min(BLOCK, fit))
        self._rested = not self.busy and not len(queue)

    def _drop_cancelled(self) -> None:
        for lane, job in list(self._active.items()):
            if job.future.cancelled():
                job.drop()
                del self._active[lane]
                self._lanes.free(lane)

    def _fit(self, queue: JobQueue[Encoded]) -> None:
        """As many lanes as there is work for, each with room for the longest stream that comes next."""
        size = self._best_size(len(self._active) + len(queue))
        room = max((_positions(job, self._lanes.window) for job in queue.first(size)), default=0)
        grows = size > self._lanes.size or room > self._lanes.room
        shrinks = len(queue) == 0 and size <= self._lanes.size * 3 // 4
        if not size or not (grows or shrinks):
            return
        kept = sorted(self._active)
        self._active = {new: self._active[old] for new, old in enumerate(kept)}
        self._laying_out = size
        self._lanes.rearrange([*kept, *[None] * (size - len(kept))], room)
        self._laying_out = 0

    def _best_size(self, streams: int) -> int:
        """The number of lanes for so many streams: the fastest that was measured and holds them."""
        streams = min(streams, self.most_lanes)
        sizes = [size for size in self._step_ms if streams <= size <= self.most_lanes]
        if not streams or not sizes:
            return streams
        return min(sizes, key=lambda size: (self._step_ms[size], size))

    def _could_refill(self, queue: JobQueue[Encoded]) -> bool:
        return len(self._active) < self._lanes.size and len(queue) > 0

    def _encode(self, queue: JobQueue[Encoded]) -> bool:
        """Jobs for free lanes, eight in one go, or else one ahead of its lane; False if there were none."""
        free = self._lanes.size - len(self._active)
        waiting = [job for job in queue.first(min(free, AHEAD) or AHEAD) if job.encoded is None]
        for job in waiting if free else waiting[:1]:
            try:
                job.encoded = self._beginnings.encode(job.chunk.pcm, job.geometry)
                (mx.eval if device().is_cpu else mx.async_eval)(job.encoded.audio)
            except EngineError as error:
                queue.remove(job)
                job.fail(error)
            except (RuntimeError, MemoryError) as error:
                job.encoded = None
                others = self.busy or any(other.encoded is not None for other in waiting)
                if others and _is_memory(error):
                    return False  # there will be room when a lane is done
                queue.remove(job)
                job.fail(_given_up(error))
        return bool(waiting)

    def _refill(self, queue: JobQueue[Encoded]) -> None:
        for lane in range(self._lanes.size):
            if lane in self._active:
                continue
            job = queue.next()
            if job is None:
                return
            if job.encoded is None or _positions(job, self._lanes.window) > self._lanes.room:
                queue.put_back(job)  # it came in after the lanes were laid out
                return
            self._active[lane] = job
            self._lanes.begin(lane, job.encoded)
            self.work.prompts += 1

    def _run(self) -> None:
        passes = min(self._block, *(job.remaining for job in self._active.values()))
        self._blocks.append(_Block(self._lanes.run(passes), dict(self._active)))
        self.work.steps += passes
        self.work.rows += passes * len(self._active)
        self.work.padded_rows += passes * self._lanes.size
        for lane, job in list(self._active.items()):
            job.scheduled += passes
            if not job.remaining:
                job.encoded = None
                del self._active[lane]
                self._lanes.free(lane)
        self._passes += passes
        if self._passes >= PASSES_PER_CLEARING:
            mx.clear_cache()  # buffers of shapes that do not come again
            self._passes = 0

    def _read(self, keep: int) -> None:
        """Take the tokens of all blocks but the newest `keep` off the device, and hand them out."""
        while len(self._blocks) > keep:
            ids = np.array(self._blocks[0].tokens).astype(np.int64)
            for lane, job in self._blocks[0].jobs.items():
                if job.future.cancelled():
                    job.drop()
                elif job.take(ids[lane]):
                    self._finish(job)
            self._blocks.popleft()

    def _finish(self, job: Job[Encoded]) -> None:
        ids: Ids = np.concatenate(job.ids)
        frames = tuple(self._checkpoint.tokens.frame(k, int(token)) for k, token in enumerate(ids))
        chunk = job.chunk
        if job.future.set_running_or_notify_cancel():
            job.future.set_result(ChunkFrames(chunk.first_sample, chunk.frames, frames, chunk.lead_frames))

    def _retreat(self, queue: JobQueue[Encoded], error: Exception) -> None:
        """Begin again what was under way, in half as many lanes; what fails in one lane fails alone."""
        jobs = [job for job in self._under_way() if not job.future.done()]
        size = max(self._laying_out, self._lanes.size)
        if size > 1:
            self.most_lanes = size // 2
            self.work.halvings += 1
            for job in jobs:
                job.restart()
                queue.put_back(job)
        else:
            for job in jobs or queue.first(1):
                queue.remove(job)
                job.fail(_given_up(error))
            if not _is_memory(error):
                self.most_lanes = self._wanted_lanes  # it was that job's own fault
        self._start_over()

    def _under_way(self) -> list[Job[Encoded]]:
        """Jobs in lanes, and those whose last tokens are still to be read."""
        found = [*self._active.values(), *(job for block in self._blocks for job in block.jobs.values())]
        return list(dict.fromkeys(found))

    def _start_over(self) -> None:
        self._active, self._blocks, self._laying_out = {}, deque(), 0
        self._lanes = self._new_lanes()
        mx.clear_cache()


def _positions(job: Job[Any], window: int) -> int:
    """Room that the job's stream needs in a lane."""
    return min(job.geometry.total_frames(len(job.chunk.pcm)), window)


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or bool(_MEMORY.search(str(error)))


def _given_up(error: Exception) -> EngineError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if _is_memory(error):
        return EngineError(f"MLX gave up ({reason})", "close other programs, or use a smaller checkpoint")
    return EngineError(f"MLX gave up ({reason})", "try it again, and report it if it stays")
