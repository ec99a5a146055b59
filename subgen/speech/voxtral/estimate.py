"""How long a checkpoint will take on a CPU, from its size and the rate of the machine's products."""

from __future__ import annotations

import warnings
from typing import Any

from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.device import SpeedWarning, device, product_gflops
from subgen.speech.voxtral.memory import RESERVED_LANES
from subgen.speech.voxtral.weights import NONE, Counts, count, count_packed, skeleton

DECODER_STEPS_PER_S = 12.5
ENCODER_STEPS_PER_S = 50
BLOCK_FRAMES = 32
"""Decoder steps that one reading of the encoder's weights serves."""
SHARE_OF_PRODUCT_RATE = 0.6
"""Of the rate of a large square product: what products of 16 to 64 rows reach, with attention and
norms between them."""
UNPACKING_NS = 1.5
"""For one weight of 4 bits, on one core."""
FILM_HOURS = 2
WORTH_A_WARNING = 3.0
"""Times real time below which somebody may want to know before waiting."""


def expected_realtime(of: Checkpoint | dict[str, Any], *, lanes: int = RESERVED_LANES) -> float:
    """Seconds of audio that a CPU decodes in a second, roughly, for a checkpoint or a config.json.

    Measures the machine at the first call (under 0.3 s). Reading the weights, which bounds a GPU, is
    left out.
    """
    if isinstance(of, Checkpoint):
        return realtime(product_gflops(), of.parameters, count_packed(of.model), lanes)
    return realtime(product_gflops(), count(skeleton(of)))


def realtime(gflops: float, parameters: Counts, packed: Counts = NONE, lanes: int = 1) -> float:
    """`expected_realtime` at a rate of products; `packed` weights are unpacked once for all `lanes`."""
    computing = operations_per_s(parameters) / (SHARE_OF_PRODUCT_RATE * gflops * 1e9)
    readings_per_s = DECODER_STEPS_PER_S / lanes
    unpacking = UNPACKING_NS * 1e-9 * readings_per_s * (packed.decoder + packed.encoder / BLOCK_FRAMES)
    return 1 / (computing + unpacking)


def operations_per_s(parameters: Counts) -> float:
    """Floating-point operations for a second of audio, in the products with weights."""
    return 2 * (DECODER_STEPS_PER_S * parameters.decoder + ENCODER_STEPS_PER_S * parameters.encoder)


def speed_note(checkpoint: Checkpoint, *, lanes: int = RESERVED_LANES) -> str:
    """What to tell somebody before a long wait: "about 0.7x real time on this processor: ..."."""
    return note(expected_realtime(checkpoint, lanes=lanes), checkpoint.packed_layers)


def warn_if_slow(checkpoint: Checkpoint) -> None:
    """Tell once, by `SpeedWarning`, whoever waits for a CPU that hardly keeps up with the film."""
    if not device().is_cpu:
        return
    factor = expected_realtime(checkpoint)
    if factor < WORTH_A_WARNING or checkpoint.packed_layers:
        text = f"{checkpoint.name}: {note(factor, checkpoint.packed_layers)}"
        warnings.warn(text, SpeedWarning, stacklevel=2)


def note(factor: float, packed_layers: int) -> str:
    """`speed_note` at a factor of real time."""
    rate = f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}"
    film = _duration(FILM_HOURS / factor)
    text = f"about {rate}x real time on this processor: a {FILM_HOURS}-hour film takes about {film}"
    if not packed_layers:
        return text
    return f"{text}; {packed_layers} layers found no room to be unpacked for good: more memory would help"


def _duration(hours: float) -> str:
    if hours >= 1.5:
        return f"{hours:.0f} hours"
    minutes = max(round(hours * 60), 1)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
