"""One stream that is fed piece by piece, for live input.

Samples are encoded in blocks that lie at fixed frames of the stream, so that sums are added up in the
same order however the input was cut, and the tokens are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from subgen.errors import EngineError, FramesLost
from subgen.model import FRAME_SAMPLES, Frame, Pcm
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.decoder import decode, delay_scales, new_caches
from subgen.speech.voxtral.encoder import EncoderState, encode
from subgen.speech.voxtral.frontend import Framer, log_mel
from subgen.speech.voxtral.geometry import Geometry
from subgen.speech.voxtral.prompt import check_window, prompt_tokens

FRAMES_PER_CLEARING = 256


class LiveStream:
    """One continuous stretch of audio, in pieces of any size; memory does not grow beyond the windows.

    `call` runs a function on the thread that MLX belongs to.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        geometry: Geometry,
        block_frames: int,
        call: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._checkpoint = checkpoint
        self._geometry = geometry
        self._framer = Framer(geometry, block_frames)
        self._call = call
        self._steps: _Steps = call(lambda: _Steps(checkpoint, geometry))
        self._made = 0

    def feed(self, pcm: Pcm) -> list[Frame]:
        """Take samples; return the frames that became certain."""
        return self._advance(self._framer.feed(pcm))

    def finish(self) -> list[Frame]:
        """Return the frames that were still due; raise `FramesLost` if they are not all there."""
        expected = self._geometry.token_count(self._framer.samples)
        rest = self._advance(self._framer.finish(), expected)
        if self._made != expected:
            raise FramesLost(f"{self._made} of {expected} frames were decoded", "report this: it is a defect")
        return rest

    def _advance(self, blocks: Sequence[Pcm], limit: int | None = None) -> list[Frame]:
        frames: list[Frame] = []
        for block in blocks:
            ids: NDArray[np.int64] = self._call(partial(self._steps.advance, block))
            room = len(ids) if limit is None else max(limit - self._made, 0)
            numbered = enumerate(ids[:room], self._made)
            frames += [self._checkpoint.tokens.frame(k, int(token)) for k, token in numbered]
            self._made += min(len(ids), room)
        return frames


class _Steps:
    """The stream's state on the device."""

    def __init__(self, checkpoint: Checkpoint, geometry: Geometry) -> None:
        self._model: Any = checkpoint.model
        check_window(checkpoint, geometry)
        self._length = geometry.prompt_frames
        self._encoder = EncoderState(self._model.encoder, 1)
        self._caches = new_caches(self._model.decoder)
        self._scales = delay_scales(self._model.decoder, geometry.delay_frames)
        self._prompt = prompt_tokens(checkpoint, geometry)[None]
        self._waiting: mx.array | None = None  # encoded frames before the prompt is complete
        self._last: mx.array | None = None  # the newest token, [1, 1]
        self._uncleared = 0

    def advance(self, block: Pcm) -> NDArray[np.int64]:
        """Take a block of samples; return the tokens that follow.

        There are none until the prompt is complete; then one for each frame, and the first of all
        together with the prompt.
        """
        try:
            tokens = self._decoded(block)
        except RuntimeError as error:  # what MLX raises when memory runs out
            reason = str(error).splitlines()[0]
            raise EngineError(f"MLX gave up ({reason})", "set fewer `lanes` in the settings") from error
        self._uncleared += len(block) // FRAME_SAMPLES
        if self._uncleared >= FRAMES_PER_CLEARING:
            mx.clear_cache()  # buffers of shapes that do not come again
            self._uncleared = 0
        return tokens

    def _decoded(self, block: Pcm) -> NDArray[np.int64]:
        audio = encode(self._model.encoder, log_mel(block[None]), self._encoder)
        if self._waiting is not None:
            audio = mx.concatenate([self._waiting, audio], axis=1)
        made = []
        if self._last is None:
            if audio.shape[1] < self._length:
                self._waiting = audio
                mx.eval(audio, *self._state())
                return np.zeros(0, np.int64)
            made.append(self._step(audio[:, : self._length], self._prompt))
            self._waiting, audio = None, audio[:, self._length :]
        for position in range(audio.shape[1]):
            made.append(self._step(audio[:, position : position + 1], self._last))
        tokens = mx.concatenate(made, axis=1)
        mx.eval(tokens, *self._state())
        return np.array(tokens[0]).astype(np.int64)

    def _step(self, audio: mx.array, tokens: Any) -> mx.array:
        logits = decode(self._model.decoder, audio, tokens, self._scales, self._caches)
        self._last = mx.argmax(logits, axis=-1, keepdims=True)
        # The device starts on this step while Python builds the next one.
        mx.async_eval(self._last)
        return self._last

    def _state(self) -> list[mx.array]:
        """All that is remembered, to be computed now: a lazy array would hold on to all it came from."""
        return self._encoder.arrays + [array for cache in self._caches for array in cache.arrays]
