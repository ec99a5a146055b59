"""Several streams in lock-step, one token per lane and 80 ms frame.

    lanes = LockStep(checkpoint, Geometry.of_delay(2400), lanes=8)
    tokens = lanes.advance(blocks)     # blocks [8, samples], of eight Framers; tokens [8, steps]

All lanes share each reading of the weights. A stream fed piece by piece is the case of one lane.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from subgen.errors import CheckpointInvalid, EngineError
from subgen.model import FRAME_SAMPLES
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.decoder import decode, delay_scales, new_caches
from subgen.speech.voxtral.encoder import EncoderState, encode
from subgen.speech.voxtral.frontend import log_mel
from subgen.speech.voxtral.geometry import Geometry

FRAMES_PER_CLEARING = 256


class LockStep:
    """`lanes` streams that start together; memory does not grow beyond the two windows."""

    def __init__(self, checkpoint: Checkpoint, geometry: Geometry, lanes: int) -> None:
        self._model: Any = checkpoint.model
        if self._model.decoder.config.sliding_window < geometry.prompt_frames:
            raise CheckpointInvalid(
                f"{checkpoint.name}: its window of {self._model.decoder.config.sliding_window} positions is"
                f" shorter than the prompt of {geometry.prompt_frames}",
                "use a shorter delay",
            )
        self._geometry = geometry
        self._encoder = EncoderState(self._model.encoder, lanes)
        self._caches = new_caches(self._model.decoder)
        self._scales = delay_scales(self._model.decoder, geometry.delay_frames)
        prompt = [checkpoint.tokens.bos] + [checkpoint.tokens.pad] * (geometry.prompt_frames - 1)
        self._prompt = mx.broadcast_to(mx.array(prompt), (lanes, len(prompt)))
        self._waiting: mx.array | None = None  # encoded frames before the prompt is complete
        self._last: mx.array | None = None  # the newest token of each lane, [lanes, 1]
        self._uncleared = 0

    def advance(self, blocks: NDArray[np.float32]) -> NDArray[np.int64]:
        """Take the next block of every lane; return the tokens that follow, [lanes, steps].

        There are none until the prompt is complete; then one for each frame, and the first of all
        together with the prompt.
        """
        try:
            tokens = self._decoded(blocks)
        except RuntimeError as error:  # what MLX raises when memory runs out
            reason = str(error).splitlines()[0]
            raise EngineError(f"MLX gave up ({reason})", "set fewer `lanes` in the settings") from error
        self._uncleared += blocks.shape[1] // FRAME_SAMPLES
        if self._uncleared >= FRAMES_PER_CLEARING:
            mx.clear_cache()  # buffers of shapes that do not come again
            self._uncleared = 0
        return tokens

    def _decoded(self, blocks: NDArray[np.float32]) -> NDArray[np.int64]:
        audio = encode(self._model.encoder, log_mel(blocks), self._encoder)
        if self._waiting is not None:
            audio = mx.concatenate([self._waiting, audio], axis=1)
        made = []
        if self._last is None:
            length = self._geometry.prompt_frames
            if audio.shape[1] < length:
                self._waiting = audio
                mx.eval(audio, *self._state())
                return np.zeros((audio.shape[0], 0), np.int64)
            made.append(self._step(audio[:, :length], self._prompt))
            self._waiting, audio = None, audio[:, length:]
        for position in range(audio.shape[1]):
            made.append(self._step(audio[:, position : position + 1], self._last))
        tokens = mx.concatenate(made, axis=1)
        mx.eval(tokens, *self._state())
        return np.array(tokens).astype(np.int64)

    def _step(self, audio: mx.array, tokens: Any) -> mx.array:
        logits = decode(self._model.decoder, audio, tokens, self._scales, self._caches)
        self._last = mx.argmax(logits, axis=-1, keepdims=True)
        # The device starts on this step while Python builds the next one.
        mx.async_eval(self._last)
        return self._last

    def _state(self) -> list[mx.array]:
        """The encoder's memory, to be computed now: a lazy one would hold on to all it came from."""
        state = [self._encoder.mel, self._encoder.conv]
        return state + [array for cache in self._encoder.caches for array in cache.arrays]
