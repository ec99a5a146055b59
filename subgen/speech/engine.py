"""What subgen asks of a speech engine.

To add one: a class with these members, and a test that runs `subgen.testing.check_engine` on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from subgen.model import Chunk, ChunkFrames, EngineInfo, Frame, Pcm


class Stream(Protocol):
    """One continuous stretch of audio; however it is cut on its way in, the frames are the same."""

    def feed(self, pcm: Pcm) -> list[Frame]:
        """Take samples, any number of them; return the frames that became certain."""

    def finish(self) -> list[Frame]:
        """No more samples: return all that is left."""


class Engine(Protocol):
    """Samples to frames."""

    @property
    def info(self) -> EngineInfo:
        """What makes the transcript."""

    @property
    def bias_ms(self) -> int:
        """What to add to `(k + 1) * 80 ms` for the end of a word that is announced in frame k."""

    def stream(self) -> Stream:
        """A new stream, for input that arrives piece by piece."""

    def transcribe(
        self, chunks: Iterable[Chunk], heard: Callable[[int], None] = lambda _: None
    ) -> Iterator[ChunkFrames]:
        """Every chunk's frames, in the order of the chunks; reads ahead as far as it has lanes.

        `heard` is told now and then how many more frames of audio are done, over all lanes.
        """
