"""Encoder output and logits against transformers' implementation, on the same random weights.

Needs the extra `reference`, so it runs in `./scripts/test --all` only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from subgen.model import Pcm
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.decoder import decode, delay_scales, new_caches
from subgen.speech.voxtral.encoder import EncoderState, encode
from subgen.speech.voxtral.frontend import Framer, log_mel
from subgen.speech.voxtral.geometry import Geometry
from tests.checkpoints import MEDIUM, SMALL, Shape, random_weights, varied_sound, write_checkpoint

pytestmark = pytest.mark.slow

Floats = NDArray[np.float32]
LIMIT = 1e-3


@pytest.mark.parametrize("delay_ms", [480, 2400])
@pytest.mark.parametrize("shape", [SMALL, MEDIUM], ids=["small", "medium"])
def test_logits_and_encoder_output_agree(shape: Shape, delay_ms: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    checkpoint = load(str(write_checkpoint(tmp_path, shape)))
    geometry = Geometry.of_delay(delay_ms)
    mel = features(geometry, varied_sound(12.0))
    audio, logits, tokens = ours(checkpoint, geometry, mel)
    reference = theirs(shape)
    with torch.no_grad():
        out = reference(
            input_ids=torch.tensor(tokens[None]),
            input_features=torch.tensor(np.array(mel)).transpose(1, 2),
            num_delay_tokens=geometry.delay_frames,
            use_cache=False,
        )
        heard = reference.model.get_audio_features(
            input_features=torch.tensor(np.array(mel)).transpose(1, 2), use_cache=False
        ).pooler_output
    expected = out.logits[0, geometry.prompt_frames - 1 :].numpy()
    audio_error, logit_error = relative(audio, heard[0].numpy()), relative(logits, expected)
    print(f"{delay_ms} ms: encoder {audio_error:.1e}, logits {logit_error:.1e}")
    assert audio_error < LIMIT
    assert logit_error < LIMIT
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() > 0.999


def relative(mine: Floats, expected: Floats) -> float:
    """The largest difference, relative to the largest value."""
    assert mine.shape == expected.shape
    return float(np.abs(mine - expected).max() / np.abs(expected).max())


def features(geometry: Geometry, pcm: Pcm) -> Any:
    """Log-mel of the padded stream, [1, 8 T, 128]."""
    framer = Framer(geometry, geometry.total_frames(len(pcm)))
    (block,) = framer.feed(pcm) + framer.finish()
    return log_mel(block[None])


def ours(checkpoint: Checkpoint, geometry: Geometry, mel: Any) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Adapter output [T, width], logits [T - prompt + 1, vocabulary] and all tokens [T]."""
    decoder, encoder = checkpoint.model.decoder, checkpoint.model.encoder
    audio = encode(encoder, mel, EncoderState(encoder, 1))
    scales, caches = delay_scales(decoder, geometry.delay_frames), new_caches(decoder)
    length = geometry.prompt_frames
    tokens = [checkpoint.tokens.bos] + [checkpoint.tokens.pad] * (length - 1)
    logits = [decode(decoder, audio[:, :length], mx.array([tokens]), scales, caches)]
    for position in range(length, audio.shape[1]):
        tokens.append(int(mx.argmax(logits[-1])))
        step = mx.array([[tokens[-1]]])
        logits.append(decode(decoder, audio[:, position : position + 1], step, scales, caches))
    return np.array(audio[0]), np.array(mx.concatenate(logits)), np.array(tokens)


def theirs(shape: Shape) -> Any:
    """transformers' model of this shape with the same weights."""
    import torch
    from transformers import VoxtralRealtimeConfig, VoxtralRealtimeForConditionalGeneration

    config = VoxtralRealtimeConfig(
        audio_config={
            "model_type": "voxtral_realtime_encoder",
            "hidden_size": shape.dim,
            "intermediate_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "head_dim": shape.head_dim,
            "sliding_window": shape.window,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        },
        text_config={
            "model_type": "voxtral_realtime_text",
            "hidden_size": shape.width,
            "intermediate_size": shape.decoder_hidden,
            "num_hidden_layers": shape.decoder_layers,
            "num_attention_heads": shape.decoder_heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.decoder_head_dim,
            "sliding_window": shape.decoder_window,
            "vocab_size": shape.vocabulary,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        },
    )
    config._attn_implementation = "eager"
    model = VoxtralRealtimeForConditionalGeneration(config).eval().float()
    state = {}
    for name, value in random_weights(shape, 0).items():
        array = np.array(value)
        if name.endswith(("wq.weight", "wq.bias", "wk.weight")):
            width = shape.head_dim if name.startswith("encoder") else shape.decoder_head_dim
            array = half_split(array, width)
        if "conv.weight" in name:
            array = array.transpose(0, 2, 1)
        state[renamed(name)] = torch.tensor(array)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model


def half_split(rows: Floats, width: int) -> Floats:
    """Interleaved rotary pairs (2 j, 2 j + 1) -> pairs (j, j + width / 2), head by head."""
    heads = rows.reshape(-1, width // 2, 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


RENAMES = [
    ("encoder.conv_layers_0_conv.conv", "model.audio_tower.embedder.conv1"),
    ("encoder.conv_layers_1_conv.conv", "model.audio_tower.embedder.conv2"),
    ("encoder.transformer_norm", "model.audio_tower.norm"),
    ("encoder.audio_language_projection_0", "model.multi_modal_projector.linear_1"),
    ("encoder.audio_language_projection_2", "model.multi_modal_projector.linear_2"),
    ("encoder.transformer_layers", "model.audio_tower.layers"),
    ("decoder.tok_embeddings", "model.language_model.embed_tokens"),
    ("decoder.norm", "model.language_model.norm"),
    ("decoder.layers", "model.language_model.layers"),
    ("attention.wq", "self_attn.q_proj"),
    ("attention.wk", "self_attn.k_proj"),
    ("attention.wv", "self_attn.v_proj"),
    ("attention.wo", "self_attn.o_proj"),
    ("feed_forward_w1", "mlp.gate_proj"),
    ("feed_forward_w3", "mlp.up_proj"),
    ("feed_forward_w2", "mlp.down_proj"),
    ("ada_rms_norm_t_cond.ada_down", "ada_rms_norm.linear1"),
    ("ada_rms_norm_t_cond.ada_up", "ada_rms_norm.linear2"),
]


def renamed(name: str) -> str:
    for old, new in RENAMES:
        name = name.replace(old, new)
    norms = (
        ("self_attn_layer_norm", "final_layer_norm")
        if "audio_tower" in name
        else ("input_layernorm", "post_attention_layernorm")
    )
    return name.replace("attention_norm", norms[0]).replace("ffn_norm", norms[1])
