"""An engine without a model: replays words at given times. For tests, here and in plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from subgen.model import FRAME_MS, FRAME_SAMPLES, Chunk, ChunkFrames, EngineInfo, Frame, Pcm, TokenKind

PAD_ID, WORD_ID, TEXT_ID = 32, 33, 1000
TAIL_FRAMES = 11


class ScriptedEngine:
    """Says `script`, (text, end in ms on the file's clock), one token a frame as the model would."""

    def __init__(self, script: Sequence[tuple[str, int]], bias_ms: int = 0) -> None:
        self.script = sorted(script, key=lambda word: word[1])
        self._bias_ms = bias_ms

    @property
    def info(self) -> EngineInfo:
        """Says that no model was at work."""
        return EngineInfo("scripted", "script", 0)

    @property
    def bias_ms(self) -> int:
        """As given."""
        return self._bias_ms

    def stream(self) -> ScriptedStream:
        """A stream that begins at the beginning of the file."""
        return ScriptedStream(self)

    def transcribe(
        self, chunks: Iterable[Chunk], heard: Callable[[int], None] = lambda _: None
    ) -> Iterator[ChunkFrames]:
        """Each chunk's frames."""
        for chunk in chunks:
            heard(chunk.frames)
            yield ChunkFrames(
                chunk.first_sample, chunk.frames, self._frames(chunk.first_sample, len(chunk.pcm))
            )

    def _frames(self, first_sample: int, samples: int) -> tuple[Frame, ...]:
        first_ms, frames = first_sample * FRAME_MS // FRAME_SAMPLES, -(-samples // FRAME_SAMPLES)
        due = [
            (-(-(end - first_ms) // FRAME_MS) - 1, text)
            for text, end in self.script
            if first_ms < end <= first_ms + frames * FRAME_MS
        ]
        out: list[Frame] = []
        writing: list[str] = []
        for k in range(frames + TAIL_FRAMES):
            if writing:
                out.append(Frame(k, TEXT_ID, TokenKind.TEXT, f" {writing.pop(0)}".encode()))
                continue
            while due and due[0][0] <= k:
                writing.append(due.pop(0)[1])
            out.append(Frame(k, WORD_ID, TokenKind.WORD) if writing else Frame(k, PAD_ID, TokenKind.PAD))
        return tuple(out)


class ScriptedStream:
    """The script, as one stream."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._pcm: list[Pcm] = []
        self._given = 0

    def feed(self, pcm: Pcm) -> list[Frame]:
        """Frames of the audio so far that were not yet given."""
        self._pcm.append(pcm)
        return self._new(sum(len(p) for p in self._pcm) // FRAME_SAMPLES)

    def finish(self) -> list[Frame]:
        """All that is left."""
        return self._new(None)

    def _new(self, until: int | None) -> list[Frame]:
        pcm = np.concatenate(self._pcm) if self._pcm else np.zeros(0, np.float32)
        (heard,) = self._engine.transcribe([Chunk(0, pcm)])
        new = list(heard.frames[self._given : until])
        self._given += len(new)
        return new
