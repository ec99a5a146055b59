"""Arrays of files -> mlx-audio's modules, in the form that the device computes fastest with.

A GPU takes the weights as stored. On a CPU every matrix becomes float32 while there is room, in the
order of how often it is read: the output head, the decoder, then the encoder, which reads its weights
once per block of frames; the rest stays packed and is widened on each use (`layers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from subgen.speech.voxtral.layers import Packed, PackedEmbedding, Widened, WidenedEmbedding

_EMBEDDINGS = (nn.Embedding, nn.QuantizedEmbedding)
_MATRICES = (nn.Linear, nn.QuantizedLinear, *_EMBEDDINGS)


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of weights."""

    decoder: int
    encoder: int


NONE = Counts(0, 0)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A matrix's place in the model."""

    parent: Any
    name: str

    @property
    def module(self) -> Any:
        return self.parent[self.name]

    @property
    def packed_bytes(self) -> int:
        return _bytes(self.module)

    @property
    def wide_bytes(self) -> int:
        out, width = Packed(self.module).shape
        return 4 * (out * width + (out if "bias" in self.module else 0))


def skeleton(config: dict[str, Any]) -> Any:
    """mlx-audio's model of this shape; its random weights are lazy and take no memory.

    Raises what mlx-audio raises for a configuration it cannot read.
    """
    from mlx_audio.stt.models.voxtral_realtime.config import ModelConfig
    from mlx_audio.stt.models.voxtral_realtime.voxtral_realtime import Model

    model = Model(ModelConfig.from_dict(config))
    encoder, width = model.encoder, model.decoder.config.dim
    joined = encoder.config.dim * encoder.config.downsample_factor
    # mlx-audio builds these two for a decoder 3072 wide.
    encoder.audio_language_projection_0 = nn.Linear(joined, width, bias=False)
    encoder.audio_language_projection_2 = nn.Linear(width, width, bias=False)
    return model


def count(model: Any) -> Counts:
    """How many weights a model has that is not packed (`skeleton`)."""
    return Counts(
        *(sum(a.size for _, a in tree_flatten(p.parameters())) for p in (model.decoder, model.encoder))
    )


def count_packed(model: Any) -> Counts:
    """How many weights are widened on each use."""
    return Counts(*(sum(_size(m) for m in packed_layers(part)) for part in (model.decoder, model.encoder)))


def packed_layers(model: Any) -> list[Packed]:
    """The layers whose weights are widened on each use."""
    return [module for module in model.modules() if isinstance(module, Packed)]


def resident_bytes(model: Any) -> int:
    """What the weights take."""
    return _bytes(model)


def fill(model: Any, weights: dict[str, mx.array], config: dict[str, Any]) -> None:
    """Give the modules of a `skeleton` their arrays, which may still be on the disk.

    A layer is quantised where there are `.scales` for it. Raises ValueError where names or shapes
    do not fit.
    """
    weights = model.sanitize(weights)
    stated = config.get("quantization") or config.get("quantization_config") or {}
    mode = stated.get("mode", "affine")
    nn.quantize(model, class_predicate=lambda path, module: _quantisation(path, module, weights, mode))
    model.load_weights(list(weights.items()), strict=True)
    model.eval()


def read_as_stored(model: Any) -> None:
    """Read all arrays from the disk."""
    mx.eval(model.parameters())


def read_widened(model: Any, budget_bytes: int | None) -> None:
    """Read all arrays from the disk, and widen as many as `budget_bytes` allow for (None: all).

    One matrix after the other: the peak is the final size, and one matrix. Raises RuntimeError where
    memory runs out.
    """
    for module in model.modules():
        _widen_all_but_matrix(module)
    taken = _bytes(model)
    for slot in list(_slots(model)):
        gain = slot.wide_bytes - slot.packed_bytes
        widen = budget_bytes is None or taken + gain <= budget_bytes
        taken += gain if widen else 0
        _convert(slot, widen)


def _widen_all_but_matrix(module: Any) -> None:
    """Norms, convolutions and biases: they are small, and nothing is computed in another type."""
    names = ("bias",) if isinstance(module, _MATRICES) else tuple(module)
    for name in names:
        if isinstance(module.get(name), mx.array):
            module[name] = module[name].astype(mx.float32)
            mx.eval(module[name])


def _convert(slot: _Slot, widen: bool) -> None:
    embedding = isinstance(slot.module, _EMBEDDINGS)
    packed = (PackedEmbedding if embedding else Packed)(slot.module)
    mx.eval(packed.parameters())
    slot.parent[slot.name] = (WidenedEmbedding if embedding else Widened)(packed) if widen else packed
    mx.eval(slot.module.parameters())


def _slots(model: Any) -> Iterator[_Slot]:
    """Every matrix, the most often read first."""
    for part, layers in (
        (model.decoder, model.decoder.layers),
        (model.encoder, model.encoder.transformer_layers),
    ):
        for parent in (part, *(module for layer in layers for module in layer.modules())):
            for name, child in parent.children().items():
                if isinstance(child, _MATRICES):
                    yield _Slot(parent, name)


def _quantisation(path: str, module: Any, weights: dict[str, mx.array], mode: str) -> Any:
    """False for a layer the file holds in full; its group size, bits and mode otherwise.

    Packed weights are uint32 [out, in * bits / 32], scales [out, in / group_size].
    """
    scales = weights.get(f"{path}.scales")
    if scales is None or not hasattr(module, "to_quantized"):
        return False
    width = module.weight.shape[-1]
    return {
        "group_size": width // scales.shape[-1],
        "bits": weights[f"{path}.weight"].shape[-1] * 32 // width,
        "mode": mode,
    }


def _bytes(module: Any) -> int:
    return sum(array.nbytes for _, array in tree_flatten(module.parameters()))


def _size(packed: Packed) -> int:
    out, width = packed.shape
    return out * width
