"""The tokens that a stream begins with: MODEL.md, "The stream"."""

from __future__ import annotations

import mlx.core as mx

from subgen.errors import CheckpointInvalid
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.geometry import Geometry


def prompt_tokens(checkpoint: Checkpoint, geometry: Geometry) -> mx.array:
    """BOS, and STREAMING_PAD for the left pad and the delay."""
    tokens = checkpoint.tokens
    return mx.array([tokens.bos] + [tokens.pad] * (geometry.prompt_frames - 1))


def check_window(checkpoint: Checkpoint, geometry: Geometry) -> None:
    """Raise `CheckpointInvalid` where the prompt does not fit into the decoder's window."""
    window = checkpoint.model.decoder.config.sliding_window
    if window < geometry.prompt_frames:
        raise CheckpointInvalid(
            f"{checkpoint.name}: its window of {window} positions is"
            f" shorter than the prompt of {geometry.prompt_frames}",
            "use a shorter delay",
        )
