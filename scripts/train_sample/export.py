"""Write the trained network as a checkpoint folder that subgen and mlx-audio load.

    python -m train_sample.export FOLDER samples/tiny

Takes FOLDER/state.pt (the averaged weights, in bfloat16). RoPE rows go from half-split to
interleaved order: pair j is rows (j, j + d/2) there and rows (2 j, 2 j + 1) here.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from .compose import WORD_IDS
from .model import EPS, THETA, Shape, Voxtral


def interleaved(rows: Tensor, head_dim: int) -> Tensor:
    """[heads * head_dim, ...] with the pairs of each head side by side."""
    split = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return split.transpose(1, 2).reshape(rows.shape)


def weights(model: Voxtral) -> dict[str, Tensor]:
    """Tensors under mlx-audio's names; convolutions as [out, width, in]."""
    state = model.state_dict()
    shape = model.shape
    out = {
        "encoder.conv_layers_0_conv.conv.weight": state["conv0.weight"].transpose(1, 2),
        "encoder.conv_layers_0_conv.conv.bias": state["conv0.bias"],
        "encoder.conv_layers_1_conv.conv.weight": state["conv1.weight"].transpose(1, 2),
        "encoder.conv_layers_1_conv.conv.bias": state["conv1.bias"],
        "encoder.transformer_norm.weight": state["encoder_norm.weight"],
        "encoder.audio_language_projection_0.weight": state["adapter0.weight"],
        "encoder.audio_language_projection_2.weight": state["adapter2.weight"],
        "decoder.tok_embeddings.weight": state["embedding.weight"],
        "decoder.norm.weight": state["norm.weight"],
    }
    for name, value in state.items():
        side, _, rest = name.partition(".")
        if side not in ("encoder", "decoder"):
            continue
        number, _, part = rest.partition(".")
        if part.startswith(("attention.wq", "attention.wk")):
            value = interleaved(value, shape.enc_head_dim if side == "encoder" else shape.head_dim)
        part = part.replace("ada_", "ada_rms_norm_t_cond.ada_")
        if part[:2] in ("w1", "w2", "w3"):
            part = f"feed_forward_{part}"
        layers = "transformer_layers" if side == "encoder" else "layers"
        out[f"{side}.{layers}.{number}.{part}"] = value
    return {k: v.to(torch.bfloat16).contiguous() for k, v in out.items()}


def config(shape: Shape) -> dict[str, Any]:
    """config.json in mlx-audio's layout."""
    common = {"norm_eps": EPS, "rope_theta": THETA}
    return {
        "model_type": "voxtral_realtime",
        "encoder_args": {
            "audio_encoding_args": {
                "sampling_rate": 16000, "frame_rate": 12.5, "num_mel_bins": shape.mels, "hop_length": 160,
                "window_size": 400, "global_log_mel_max": 1.5,
            },
            "dim": shape.enc_dim, "n_layers": shape.enc_layers, "n_heads": shape.enc_heads,
            "n_kv_heads": shape.enc_heads, "head_dim": shape.enc_head_dim, "hidden_dim": shape.enc_hidden,
            "sliding_window": shape.enc_window, "downsample_factor": 4, "causal": True, "use_biases": True,
            **common,
        },
        "decoder": {
            "dim": shape.dim, "n_layers": shape.layers, "n_heads": shape.heads, "n_kv_heads": shape.kv_heads,
            "head_dim": shape.head_dim, "hidden_dim": shape.hidden, "vocab_size": shape.vocab,
            "sliding_window": shape.window, "tied_embeddings": True, "ada_rms_norm_t_cond": True,
            "ada_rms_norm_t_cond_dim": shape.ada, **common,
        },
        "transcription_delay_ms": 480, "bos_token_id": 1, "eos_token_id": 2, "streaming_pad_token_id": 32,
        "n_left_pad_tokens": 32,
    }  # fmt: skip


def export(source: Path, target: Path) -> None:
    saved = torch.load(source / "state.pt", weights_only=False)
    model = Voxtral(Shape(), len(WORD_IDS) + 1)
    model.load_state_dict(saved["average"])
    target.mkdir(parents=True, exist_ok=True)
    save_file(
        weights(model), target / "model.safetensors", metadata={"format": "mlx", "steps": str(saved["step"])}
    )
    (target / "config.json").write_text(json.dumps(config(model.shape), indent=2) + "\n", "utf-8")
    (target / "model.safetensors").chmod(0o644)
    shutil.copyfile(source / "tekken.json", target / "tekken.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    export(options.source, options.target)
