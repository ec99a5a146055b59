"""Streams side by side, each at a place of its own, one token per lane and pass.

    lanes = Lanes(checkpoint, Beginnings(checkpoint))
    lanes.rearrange([None] * 8, room=512)
    lanes.begin(0, encoded)            # takes effect in the next pass
    tokens = lanes.run(16)             # [8, 16], lazy; the first after `begin` is the stream's token 0
    lanes.free(0)

All lanes share each reading of the weights. A lane's stream may end and another one begin while the
others go on: every lane has its own rotary position and its own slot in the rings of keys and values,
and the prompt of a new stream goes through the layers together with the others' next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from subgen.model import FRAME_SAMPLES, Pcm
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.decoder import Prompts, decode, decode_lanes, delay_scales, new_caches
from subgen.speech.voxtral.device import device
from subgen.speech.voxtral.encoder import EncoderState, encode
from subgen.speech.voxtral.frontend import AFTER, BEFORE, log_mel
from subgen.speech.voxtral.geometry import COMMON_FRAMES, LEFT_FRAMES, Geometry
from subgen.speech.voxtral.prompt import check_window, prompt_tokens
from subgen.speech.voxtral.rings import EightBitRing, Places, Ring

ROOM_STEP = 64


@dataclass(frozen=True, slots=True)
class Encoded:
    """A stream's frames from the last of the left pad on, [frames, width], and its delay."""

    audio: mx.array
    geometry: Geometry

    @property
    def positions(self) -> int:
        """Positions of the whole stream."""
        return COMMON_FRAMES + self.audio.shape[0]


@dataclass(frozen=True, slots=True)
class _Beginning:
    past: list[tuple[mx.array, mx.array]]
    scales: list[mx.array]
    tokens: mx.array


class Beginnings:
    """What all streams of a checkpoint have in common, computed once: the zeros before the audio."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model: Any = checkpoint.model
        self._checkpoint = checkpoint
        self._state = EncoderState(self._model.encoder, 1)
        zeros = np.zeros((1, BEFORE + COMMON_FRAMES * FRAME_SAMPLES + AFTER), np.float32)
        self._audio = encode(self._model.encoder, log_mel(zeros), self._state)
        self._of_delay: dict[int, _Beginning] = {}
        mx.eval(self._audio, *self._state.arrays)

    def encode(self, pcm: Pcm, geometry: Geometry) -> Encoded:
        """All of a stream at once, lazily: `pcm`, padded, through the encoder.

        Raises `CheckpointInvalid` where the prompt does not fit into the decoder's window.
        """
        check_window(self._checkpoint, geometry)
        frames = geometry.total_frames(len(pcm)) - COMMON_FRAMES
        block = np.zeros((1, BEFORE + frames * FRAME_SAMPLES + AFTER), np.float32)
        first = BEFORE + (LEFT_FRAMES - COMMON_FRAMES) * FRAME_SAMPLES
        block[0, first : first + len(pcm)] = pcm
        return Encoded(encode(self._model.encoder, log_mel(block), self._state.fork())[0], geometry)

    def of(self, geometry: Geometry) -> _Beginning:
        """The decoder's side of the common frames at this delay."""
        if geometry.delay_frames not in self._of_delay:
            self._of_delay[geometry.delay_frames] = self._begun(geometry)
        return self._of_delay[geometry.delay_frames]

    def _begun(self, geometry: Geometry) -> _Beginning:
        decoder = self._model.decoder
        scales, caches = delay_scales(decoder, geometry.delay_frames), new_caches(decoder)
        tokens = prompt_tokens(self._checkpoint, geometry)
        logits = decode(decoder, self._audio, tokens[None, :COMMON_FRAMES], scales, caches)
        past = [(cache.arrays[0], cache.arrays[1]) for cache in caches]
        tokens = tokens[COMMON_FRAMES:]
        mx.eval(logits, tokens, past, scales)
        return _Beginning(past, scales, tokens)


class Lanes:
    """Lanes 0 to `size` - 1. All calls belong to one thread.

    `room`: positions that a lane can hold, at most the decoder's window. `dtype`: what is computed in.
    `pipelined`: the device starts on a pass while Python builds the next one. A CPU has nothing to gain from
    that, and rings that an unfinished pass still holds are copied in order to be written.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        beginnings: Beginnings,
        *,
        cache_bits: int = 16,
        pipelined: bool = True,
    ) -> None:
        self._decoder: Any = checkpoint.model.decoder
        self._beginnings = beginnings
        self._pipelined = pipelined and not device().is_cpu
        self._ring = EightBitRing if cache_bits == 8 else Ring
        self._width = int(self._decoder.config.dim)
        self.dtype = self._decoder.norm.weight.dtype
        self._rings: list[Ring] = []
        self._streams: list[Encoded | None] = []
        self._positions: list[int] = []
        self._beginning: list[int] = []
        self._last = mx.zeros((0,), mx.uint32)
        self._scales: list[mx.array] | None = None
        self.room = 0

    @property
    def size(self) -> int:
        """How many there are, free ones included."""
        return len(self._streams)

    @property
    def window(self) -> int:
        """Positions that a step can see."""
        return int(self._decoder.config.sliding_window)

    def rearrange(self, lanes: Sequence[int | None], room: int) -> None:
        """Go on with `lanes`, old numbers in a new order; None is a new, free lane. Room never shrinks."""
        room = min(max(self.room, -(-room // ROOM_STEP) * ROOM_STEP), self.window)
        if self._rings:
            order = mx.array([lane or 0 for lane in lanes])
            for ring in self._rings:
                ring.rearrange(order, room)
            self._last = self._last[order]
        else:
            heads, width = self._decoder.config.n_kv_heads, self._decoder.config.head_dim
            self._rings = [
                self._ring(len(lanes), heads, room, width, self.dtype) for _ in self._decoder.layers
            ]
            self._last = mx.zeros((len(lanes),), mx.uint32)
        self._beginning = [new for new, old in enumerate(lanes) if old is not None and old in self._beginning]
        self._streams = [None if lane is None else self._streams[lane] for lane in lanes]
        self._positions = [0 if lane is None else self._positions[lane] for lane in lanes]
        self._scales = None
        self.room = room
        mx.eval(self._last, [ring.arrays for ring in self._rings])

    def begin(self, lane: int, stream: Encoded, position: int | None = None) -> None:
        """Give a free lane a stream, from its prompt on; to try speed, as if it was at `position`."""
        self._streams[lane] = stream
        self._scales = None
        if position is None:
            self._beginning.append(lane)
            self._positions[lane] = 0
        else:
            self._positions[lane] = position

    def free(self, lane: int) -> None:
        """Nobody listens to this lane any more."""
        self._streams[lane] = None
        self._positions[lane] = 0
        self._beginning = [other for other in self._beginning if other != lane]

    def run(self, passes: int) -> mx.array:
        """The next `passes` tokens of every lane, [lanes, passes]; nothing of a free lane's means anything.

        No stream may end before the last of them. On a GPU the result is still being computed.
        """
        audio = mx.stack([self._upcoming(lane, passes) for lane in range(self.size)])
        prompts = self._prompts()
        made = []
        for step in range(passes):
            made.append(self._step(audio[:, step], prompts if step == 0 else []))
            if step == 0:
                self._begun()
        tokens = mx.stack(made, axis=1)
        mx.async_eval(tokens)
        return tokens

    def _step(self, audio: mx.array, prompts: list[Prompts]) -> mx.array:
        logits = decode_lanes(
            self._decoder,
            audio + self._decoder.tok_embeddings(self._last),
            self._all_scales(),
            self._rings,
            Places.at(self._positions, self.room),
            prompts,
        )
        tokens = mx.argmax(logits, axis=-1)
        if prompts:
            tokens = tokens[mx.array(self._sources())]
        self._last = tokens
        (mx.async_eval if self._pipelined else mx.eval)(tokens)
        self._positions = [
            position if stream is None or lane in self._beginning else position + 1
            for lane, (stream, position) in enumerate(zip(self._streams, self._positions, strict=True))
        ]
        return tokens

    def _begun(self) -> None:
        for lane in self._beginning:
            stream = self._streams[lane]
            assert stream is not None
            self._positions[lane] = stream.geometry.prompt_frames
        self._beginning = []

    def _upcoming(self, lane: int, passes: int) -> mx.array:
        """The audio of a lane's next `passes` positions, [passes, width]; zeros in place of a prompt."""
        stream = self._streams[lane]
        if stream is None:
            return mx.zeros((passes, self._width), self.dtype)
        if lane not in self._beginning:
            first = self._positions[lane] - COMMON_FRAMES
            return stream.audio[first : first + passes]
        first = stream.geometry.prompt_frames - COMMON_FRAMES
        return mx.pad(stream.audio[first : first + passes - 1], [(1, 0), (0, 0)])

    def _prompts(self) -> list[Prompts]:
        """Those of the lanes that begin, one for each delay."""
        prompts = []
        for geometry in self._delays_beginning():
            lanes, streams = self._beginners(geometry)
            beginning = self._beginnings.of(geometry)
            steps = geometry.prompt_frames - COMMON_FRAMES
            audio = mx.stack([stream.audio[:steps] for stream in streams])
            x = audio + self._decoder.tok_embeddings(beginning.tokens)
            prompts.append(Prompts(mx.array(lanes), x, beginning.past, beginning.scales))
        return prompts

    def _delays_beginning(self) -> list[Geometry]:
        found = (self._streams[lane] for lane in self._beginning)
        return list(dict.fromkeys(stream.geometry for stream in found if stream is not None))

    def _beginners(self, geometry: Geometry) -> tuple[list[int], list[Encoded]]:
        pairs = [
            (lane, stream)
            for lane in self._beginning
            if (stream := self._streams[lane]) is not None and stream.geometry == geometry
        ]
        return [lane for lane, _ in pairs], [stream for _, stream in pairs]

    def _sources(self) -> list[int]:
        """Which row of the logits is which lane's: a prompt's, for those that begin."""
        sources = list(range(self.size))
        row = self.size
        for geometry in self._delays_beginning():
            for lane in self._beginners(geometry)[0]:
                sources[lane] = row
                row += 1
        return sources

    def _all_scales(self) -> list[mx.array]:
        """[width] a layer where all streams have one delay, else [lanes, width]."""
        if self._scales is None:
            geometries = [s.geometry if s is not None else None for s in self._streams]
            known = [g for g in geometries if g is not None]
            of_lane = [self._beginnings.of(g or known[0]).scales for g in geometries]
            if all(scales is of_lane[0] for scales in of_lane):
                self._scales = of_lane[0]
            else:
                self._scales = [mx.stack(list(layer)) for layer in zip(*of_lane, strict=True)]
        return self._scales
