"""What subgen asks of a speech engine.

To add one: a class with these members, and a test that runs `subgen.testing.check_engine` on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Protocol

from subgen.model import Chunk, ChunkFrames, EngineInfo, Frame, Pcm, Priority

AHEAD = 4
"""Chunks that wait for a lane; each holds up to 4 MB of samples."""

Heard = Callable[[int], None]
"""Is told now and then how many more frames of audio are done, run-ups not counted."""


class Stream(Protocol):
    """One continuous stretch of audio; however it is cut on its way in, the frames are the same."""

    def feed(self, pcm: Pcm) -> list[Frame]:
        """Take samples, any number of them; return the frames that became certain."""

    def finish(self) -> list[Frame]:
        """No more samples: return all that is left."""


class Engine(Protocol):
    """Samples to frames, for any number of threads at once."""

    @property
    def info(self) -> EngineInfo:
        """What makes the transcript."""

    @property
    def lanes(self) -> int:
        """How many chunks are decoded side by side."""

    @property
    def chunk_seconds(self) -> int:
        """The longest chunk that suits the machine."""

    @property
    def device_seconds(self) -> float | None:
        """How long the device has been at work since the start, in seconds; None: not known."""

    def bias_ms(self, delay_ms: int | None = None) -> int:
        """What to add to `(k + 1) * 80 ms` for the end of a word that is announced in frame k.

        `delay_ms` is that of the chunk, None the engine's own.
        """

    def stream(self) -> Stream:
        """A new stream, for input that arrives piece by piece."""

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

    def close(self) -> None:
        """Cancel what is not done and give back the memory."""


def transcribe(
    engine: Engine,
    chunks: Iterable[Chunk],
    *,
    priority: Priority = Priority.NEW,
    heard: Heard = lambda _: None,
) -> Generator[ChunkFrames, None, None]:
    """Every chunk's frames, in the order of the chunks; takes chunks ahead to keep all lanes busy.

    `heard` is called in the caller's thread. Whoever stops iterating cancels what is still under way.
    """
    ahead = engine.lanes + AHEAD
    done: SimpleQueue[int] = SimpleQueue()
    under_way: deque[Future[ChunkFrames]] = deque()

    def first() -> ChunkFrames:
        while not (under_way[0].done() and done.empty()):
            heard(done.get())
        return under_way.popleft().result()

    try:
        for chunk in chunks:
            under_way.append(engine.submit(chunk, priority=priority, heard=done.put))
            under_way[-1].add_done_callback(lambda _: done.put(0))
            while under_way and (len(under_way) > ahead or under_way[0].done()):
                yield first()
        while under_way:
            yield first()
    finally:
        for future in under_way:
            future.cancel()
