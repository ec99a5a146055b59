"""A checkpoint in mlx-audio's format -> voxmlx's model.

voxmlx's own loader wants its own conversion, which quantises the embeddings too. To measure the same
weights, its modules are built here, and quantised where the file has `.scales`, as its loader does. It
computes in the type of what is not quantised; on a CPU that is made float32, which is many times faster
there than the 16 bits of the file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from subgen.speech.voxtral.device import device

NAMES = (
    (r"^encoder\.conv_layers_0_conv\.conv", "encoder.conv1"),
    (r"^encoder\.conv_layers_1_conv\.conv", "encoder.conv2"),
    (r"^encoder\.transformer_norm", "encoder.norm"),
    (r"^encoder\.transformer_layers", "encoder.layers"),
    (r"^encoder\.audio_language_projection_0", "adapter.w_in"),
    (r"^encoder\.audio_language_projection_2", "adapter.w_out"),
    (r"^decoder\.tok_embeddings", "language_model.embed_tokens"),
    (r"^decoder\.", "language_model."),
    (r"\.attention\.w([qkvo])\.", r".attention.\1_proj."),
    (r"\.attention_norm\.", ".attn_norm."),
    (r"\.feed_forward_w1\.", ".mlp.gate_proj."),
    (r"\.feed_forward_w2\.", ".mlp.down_proj."),
    (r"\.feed_forward_w3\.", ".mlp.up_proj."),
    (r"\.ada_rms_norm_t_cond\.ada_down\.", ".ada_norm.linear_in."),
    (r"\.ada_rms_norm_t_cond\.ada_up\.", ".ada_norm.linear_out."),
)


def load(folder: Path) -> Any:
    """voxmlx's `VoxtralRealtime` with the weights in `folder`."""
    import mlx.core as mx
    from mlx import nn
    from mlx_audio.stt.models.voxtral_realtime.voxtral_realtime import Model, ModelConfig
    from voxmlx.model import VoxtralRealtime

    config = json.loads((folder / "config.json").read_text("utf-8"))
    stated = ModelConfig.from_dict(config)
    weights: dict[str, Any] = {}
    for file in folder.glob("*.safetensors"):
        weights |= cast("dict[str, Any]", mx.load(str(file)))
    weights = {theirs(name): value for name, value in Model(stated).sanitize(weights).items()}
    if device().is_cpu:
        narrow = (mx.float16, mx.bfloat16)
        weights = {name: v.astype(mx.float32) if v.dtype in narrow else v for name, v in weights.items()}
    model = VoxtralRealtime(configuration(stated))
    if quantised := config.get("quantization"):
        nn.quantize(
            model,
            group_size=quantised["group_size"],
            bits=quantised["bits"],
            class_predicate=lambda path, _: f"{path}.scales" in weights,
        )
    model.load_weights(list(weights.items()))
    mx.eval(model.parameters())
    return model


def theirs(name: str) -> str:
    """voxmlx's name of a weight."""
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def configuration(stated: Any) -> dict[str, Any]:
    """mlx-audio's configuration as voxmlx reads it, in the layout of the makers' params.json."""
    encoder, decoder = stated.encoder_args, stated.decoder
    bands = {"num_mel_bins": stated.audio_encoding_args.num_mel_bins}
    stated_for_decoder: dict[str, Any] = vars(decoder)
    return stated_for_decoder | {
        "multimodal": {
            "whisper_model_args": {
                "encoder_args": vars(encoder) | {"audio_encoding_args": bands},
                "downsample_args": {"downsample_factor": encoder.downsample_factor},
            }
        }
    }
