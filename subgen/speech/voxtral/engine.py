"""The engine: chunks in, timed tokens out (`subgen.speech.engine.Engine`).

engine = VoxtralEngine(load("samples/tiny"), delay_ms=2400, lanes=8)
for frames in engine.transcribe(chunks): ...
stream = engine.stream(); stream.feed(pcm); ...; stream.finish()
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from subgen.errors import FramesLost
from subgen.model import FRAME_SAMPLES, Chunk, ChunkFrames, EngineInfo, Frame, Pcm
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.device import device
from subgen.speech.voxtral.frontend import AFTER, BEFORE, Framer
from subgen.speech.voxtral.geometry import FILE_DELAY_MS, Geometry
from subgen.speech.voxtral.lanes import LockStep

FILE_BLOCK_FRAMES = 32
"""Frames encoded at a time from a file: 2.56 s."""
LIVE_BLOCK_FRAMES = 1
"""Live input is encoded frame by frame, so that nothing waits."""
LANES = {"cpu": 8, "metal": 16, "cuda": 16}


class VoxtralEngine:
    """One checkpoint at one delay."""

    def __init__(
        self, checkpoint: Checkpoint, *, delay_ms: int = FILE_DELAY_MS, lanes: int | None = None
    ) -> None:
        self._checkpoint = checkpoint
        self._geometry = Geometry.of_delay(delay_ms)
        self._delay_ms = delay_ms
        self.lanes = lanes or LANES[device().kind]

    @property
    def info(self) -> EngineInfo:
        """Name, checkpoint, delay and device."""
        return EngineInfo("voxtral-realtime", self._checkpoint.name, self._delay_ms, str(device()))

    @property
    def bias_ms(self) -> int:
        """The checkpoint's own, for this delay."""
        return self._checkpoint.bias_ms(self._delay_ms)

    def stream(self, block_frames: int = LIVE_BLOCK_FRAMES) -> VoxtralStream:
        """A stream of one lane that encodes `block_frames` frames of 80 ms at a time."""
        return VoxtralStream(self._checkpoint, self._geometry, block_frames)

    def transcribe(
        self, chunks: Iterable[Chunk], heard: Callable[[int], None] = lambda _: None
    ) -> Iterator[ChunkFrames]:
        """Chunks in groups of as many as there are lanes, each group in lock-step."""
        remaining = iter(chunks)
        while group := list(itertools.islice(remaining, self.lanes)):
            tokens = self._decoded(group, heard)
            for chunk, ids in zip(group, tokens, strict=True):
                count = self._geometry.token_count(len(chunk.pcm))
                yield ChunkFrames(chunk.first_sample, chunk.frames, _frames(self._checkpoint, ids, 0, count))

    def _decoded(self, group: Sequence[Chunk], heard: Callable[[int], None]) -> NDArray[np.int64]:
        """The tokens of a group, [lanes, steps]; lanes that end early run on over zeros."""
        silent = np.zeros(BEFORE + FILE_BLOCK_FRAMES * FRAME_SAMPLES + AFTER, np.float32)
        lengths = np.array([chunk.frames for chunk in group])
        step = LockStep(self._checkpoint, self._geometry, len(group))
        made: list[NDArray[np.int64]] = []
        steps = done = 0
        for blocks in itertools.zip_longest(*(self._blocks(c.pcm) for c in group), fillvalue=silent):
            made.append(step.advance(np.stack(blocks)))
            steps += made[-1].shape[1]
            now = int(np.minimum(lengths, steps).sum())
            heard(now - done)
            done = now
        return np.concatenate(made, axis=1)

    def _blocks(self, pcm: Pcm) -> Iterator[Pcm]:
        framer = Framer(self._geometry, FILE_BLOCK_FRAMES)
        yield from framer.feed(pcm)
        yield from framer.finish()


class VoxtralStream:
    """One continuous stretch of audio, in pieces of any size; the tokens are those of the whole."""

    def __init__(self, checkpoint: Checkpoint, geometry: Geometry, block_frames: int) -> None:
        self._checkpoint = checkpoint
        self._geometry = geometry
        self._framer = Framer(geometry, block_frames)
        self._step = LockStep(checkpoint, geometry, 1)
        self._made = 0

    def feed(self, pcm: Pcm) -> list[Frame]:
        """Take samples; return the frames that became certain."""
        return self._advance(self._framer.feed(pcm))

    def finish(self) -> list[Frame]:
        """Return the frames that were still due; raise `FramesLost` if they are not all there."""
        rest = self._advance(self._framer.finish(), self._geometry.token_count(self._framer.samples))
        expected = self._geometry.token_count(self._framer.samples)
        if self._made != expected:
            raise FramesLost(f"{self._made} of {expected} frames were decoded", "report this: it is a defect")
        return rest

    def _advance(self, blocks: Sequence[Pcm], limit: int | None = None) -> list[Frame]:
        frames: list[Frame] = []
        for block in blocks:
            ids = self._step.advance(block[None])[0]
            room = len(ids) if limit is None else max(limit - self._made, 0)
            frames += _frames(self._checkpoint, ids, self._made, room)
            self._made += min(len(ids), room)
        return frames


def _frames(checkpoint: Checkpoint, ids: NDArray[np.int64], first: int, count: int) -> tuple[Frame, ...]:
    return tuple(checkpoint.tokens.frame(first + k, int(token)) for k, token in enumerate(ids[:count]))
