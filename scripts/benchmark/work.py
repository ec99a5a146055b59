"""What the model needs, from its shape alone: operations and bytes. A multiplication and an addition
are two operations.

A stream hears `audio` frames of 80 ms, and `overhead` frames beside them: the zeros before them, the
delay, and the zeros after them (`subgen/speech/voxtral/MODEL.md`, "The stream"). Only the former count
as useful.
"""

from __future__ import annotations

from dataclasses import dataclass

from subgen.model import FRAME_MS
from subgen.speech.voxtral.geometry import COMMON_FRAMES, Geometry
from tests.checkpoints import Shape

FRAMES_PER_SECOND = 1000 / FRAME_MS
POSITIONS = 4
"""Positions of the encoder's transformer in a frame: 50 a second."""
MEL_BANDS = 128


@dataclass(frozen=True, slots=True)
class Stream:
    """One chunk on its way through the model, `audio_frames` long."""

    audio_frames: int
    delay_ms: int

    @property
    def prompt_frames(self) -> int:
        """Positions whose tokens are given."""
        return Geometry.of_delay(self.delay_ms).prompt_frames

    @property
    def frames(self) -> int:
        """All positions: zeros, audio, delay, tail."""
        return self.prompt_frames + self.steps - 1

    @property
    def steps(self) -> int:
        """Positions at which a token is made."""
        return Geometry.of_delay(self.delay_ms).token_count(self.audio_frames * 1280)


def encoder_matrix_parameters(shape: Shape) -> int:
    """Of the transformer's layers, each used once a position."""
    attention = 4 * shape.dim * shape.heads * shape.head_dim
    return shape.layers * (attention + 3 * shape.dim * shape.hidden)


def decoder_matrix_parameters(shape: Shape) -> int:
    """Of the layers and the output head, each used once a position."""
    attention = 2 * shape.width * (shape.decoder_heads + shape.kv_heads) * shape.decoder_head_dim
    layers = shape.decoder_layers * (attention + 3 * shape.width * shape.decoder_hidden)
    return layers + shape.vocabulary * shape.width


def encoder_operations(shape: Shape, context: float) -> float:
    """For one frame: convolutions, four positions that each attend to `context` others, adapter."""
    convolutions = 2 * 2 * POSITIONS * 3 * MEL_BANDS * shape.dim + 2 * POSITIONS * 3 * shape.dim**2
    adapter = 2 * (POSITIONS * shape.dim * shape.width + shape.width**2)
    attending = 4 * shape.layers * shape.heads * shape.head_dim * context
    return convolutions + POSITIONS * (2 * encoder_matrix_parameters(shape) + attending) + adapter


def head_operations(shape: Shape) -> float:
    """For the logits of one position."""
    return 2 * shape.vocabulary * shape.width


def decoder_operations(shape: Shape, context: float) -> float:
    """For one frame, output head included, that attends to `context` positions."""
    attending = 4 * shape.decoder_layers * shape.decoder_heads * shape.decoder_head_dim * context
    return 2 * decoder_matrix_parameters(shape) + attending


def mean_context(first: int, last: int, window: int) -> float:
    """How many positions are attended to on average from position `first` up to, not including,
    `last`: position p sees itself and those before it, `window` at most."""
    full = max(last - max(first, window), 0)
    growing = (last - first) - full
    return (full * window + growing * (first + 1 + first + growing) / 2) / (last - first)


def step_context(shape: Shape, stream: Stream) -> float:
    """The mean context of the steps that make a token."""
    return mean_context(stream.prompt_frames - 1, stream.frames, shape.decoder_window)


def encoding_operations(shape: Shape, stream: Stream) -> float:
    """For one frame of this stream, on average."""
    return encoder_operations(shape, mean_context(0, POSITIONS * stream.frames, shape.window))


def useful_operations(shape: Shape, stream: Stream) -> float:
    """What the audio itself needs, per second of it."""
    decoding = decoder_operations(shape, step_context(shape, stream))
    return FRAMES_PER_SECOND * (encoding_operations(shape, stream) + decoding)


def operations_before_steps(shape: Shape, stream: Stream) -> float:
    """Encoding the whole stream, and the prompt, whose last position alone has logits."""
    prompt = decoder_operations(shape, mean_context(0, stream.prompt_frames, shape.decoder_window))
    idle_heads = (stream.prompt_frames - 1) * head_operations(shape)
    return stream.frames * encoding_operations(shape, stream) + stream.prompt_frames * prompt - idle_heads


def operations_of_steps(shape: Shape, stream: Stream) -> float:
    """All tokens but the first, which comes with the prompt."""
    return (stream.steps - 1) * decoder_operations(shape, step_context(shape, stream))


def decoding_operations(shape: Shape, stream: Stream, rows: int, prompts: int) -> float:
    """What subgen's lanes compute: `rows` lane-steps, and the prompts, which pass through beside them.

    A lane whose prompt passes through makes no step of its own. The frames that all streams have in common
    are not computed again, and only a prompt's last position has logits.
    """
    steps = (rows - prompts) * decoder_operations(shape, step_context(shape, stream))
    own = stream.prompt_frames - COMMON_FRAMES
    context = mean_context(COMMON_FRAMES, stream.prompt_frames, shape.decoder_window)
    idle_heads = (own - 1) * head_operations(shape)
    return steps + prompts * (own * decoder_operations(shape, context) - idle_heads)


def all_operations(shape: Shape, stream: Stream) -> float:
    """Of the whole stream, overhead included."""
    return operations_before_steps(shape, stream) + operations_of_steps(shape, stream)


def cache_bytes(shape: Shape, item_bytes: int) -> int:
    """Keys and values of one position."""
    return 2 * shape.decoder_layers * shape.kv_heads * shape.decoder_head_dim * item_bytes


def step_bytes(shape: Shape, stream: Stream, weight_bytes: int, item_bytes: int, lanes: float) -> float:
    """What one decode step of `lanes` streams reads: the weights once, every lane's keys and values."""
    return weight_bytes + lanes * step_context(shape, stream) * cache_bytes(shape, item_bytes)


def at_length(
    shape: Shape, heard: Stream, seconds: float, whole: Stream, step_seconds: float | None = None
) -> float:
    """How long `whole` takes a program that took `seconds` for `heard`, at the same operations a second.

    So the zeros around a short stretch are not held against it. `step_seconds` is the part of the time
    that went into single steps; where it is known, they and what comes before them are taken each at
    its own rate.
    """
    if step_seconds is None:
        return seconds * all_operations(shape, whole) / all_operations(shape, heard)
    before = operations_before_steps(shape, whole) / operations_before_steps(shape, heard)
    steps = operations_of_steps(shape, whole) / operations_of_steps(shape, heard)
    return (seconds - step_seconds) * before + step_seconds * steps
