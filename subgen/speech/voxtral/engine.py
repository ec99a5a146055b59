"""The engine: chunks in, timed tokens out (`subgen.speech.engine.Engine`).

engine = VoxtralEngine(load("samples/tiny"))
future = engine.submit(chunk); frames = future.result()
stream = engine.stream(); stream.feed(pcm); ...; stream.finish()
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from subgen.model import Chunk, ChunkFrames, EngineInfo, Priority
from subgen.speech.engine import Heard
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.device import device
from subgen.speech.voxtral.geometry import FILE_DELAY_MS, Geometry
from subgen.speech.voxtral.live import LiveStream
from subgen.speech.voxtral.pool import LanePool, Work
from subgen.speech.voxtral.speed import Speed, chosen_speed
from subgen.speech.voxtral.worker import Worker

LIVE_BLOCK_FRAMES = 1
"""Live input is encoded frame by frame, so that nothing waits."""


class VoxtralEngine:
    """One checkpoint, by default at `delay_ms`.

    What is not given of `lanes`, `chunk_seconds` and `cache_bits` (16: as the weights are computed; 8) is
    found out by a short probe at first use, and remembered in the file `speeds`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        delay_ms: int = FILE_DELAY_MS,
        lanes: int | None = None,
        chunk_seconds: int | None = None,
        cache_bits: int | None = None,
        speeds: Path | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._geometry = Geometry.of_delay(delay_ms)
        self._delay_ms = delay_ms
        self._given = (lanes, chunk_seconds, cache_bits)
        self._speeds = speeds
        self._worker = Worker()
        self.close = weakref.finalize(self, self._worker.close)  # at the latest when Python ends

    @property
    def info(self) -> EngineInfo:
        """Name, checkpoint, delay and device."""
        return EngineInfo("voxtral-realtime", self._checkpoint.name, self._delay_ms, str(device()))

    @cached_property
    def speed(self) -> Speed:
        """Lanes, chunk length and cache type; measured now if they are not known."""
        return self._chosen(fresh=False)

    def measure(self) -> Speed:
        """Measure the machine anew, and remember what came of it for the next engine."""
        return self._chosen(fresh=True)

    @property
    def lanes(self) -> int:
        """How many chunks are decoded side by side."""
        return self.speed.lanes

    @property
    def chunk_seconds(self) -> int:
        """The longest chunk that suits the machine."""
        return self.speed.chunk_seconds

    @property
    def work(self) -> Work:
        """What the device did so far."""
        return self._pool.work

    @property
    def device_seconds(self) -> float:
        """How long the device has been at work since the start."""
        return self.work.seconds

    def bias_ms(self, delay_ms: int | None = None) -> int:
        """The checkpoint's own, for this delay."""
        return self._checkpoint.bias_ms(delay_ms or self._delay_ms)

    def stream(self, block_frames: int = LIVE_BLOCK_FRAMES) -> LiveStream:
        """A stream of its own that encodes `block_frames` frames of 80 ms at a time."""
        return LiveStream(self._checkpoint, self._geometry, block_frames, self._call)

    def submit(
        self,
        chunk: Chunk,
        *,
        priority: Priority = Priority.NEW,
        delay_ms: int | None = None,
        heard: Heard = lambda _: None,
    ) -> Future[ChunkFrames]:
        """Decode `chunk` when it is its turn. A future that is cancelled frees its lane at once.

        `heard` is called from another thread.
        """
        geometry = self._geometry if delay_ms is None else Geometry.of_delay(delay_ms)
        _ = self._pool
        return self._worker.submit(chunk, geometry, priority, partial(self._told, heard))

    def _told(self, heard: Heard, frames: int) -> None:
        """A method, so that a job holds on to the engine, which would be closed when nobody does."""
        heard(frames)

    def _call(self, function: Callable[[], Any]) -> Any:
        """On the thread that MLX belongs to; whoever holds on to this holds on to the engine."""
        return self._worker.call(function)

    def _chosen(self, *, fresh: bool) -> Speed:
        return self._worker.call(
            lambda: chosen_speed(
                self._checkpoint, self._geometry, *self._given, file=self._speeds, fresh=fresh
            )
        )

    @cached_property
    def _pool(self) -> LanePool:
        speed = self.speed
        return self._worker.start_pool(
            lambda: LanePool(
                self._checkpoint,
                most_lanes=speed.lanes,
                cache_bits=speed.cache_bits,
                pipelined=speed.pipelined,
                step_ms=speed.step_ms,
            )
        )
