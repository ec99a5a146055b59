"""The sample checkpoint's network in torch, for training only (`subgen/speech/voxtral/MODEL.md`).

The same architecture as Voxtral Realtime, small. RoPE is in the half-split form here, which is
quicker; `export.py` permutes the rows to the interleaved form that the file format has.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5
THETA = 1_000_000.0


@dataclass(frozen=True)
class Shape:
    enc_dim: int = 160
    enc_layers: int = 4
    enc_heads: int = 6
    enc_head_dim: int = 32
    enc_hidden: int = 480
    enc_window: int = 64
    dim: int = 192
    layers: int = 4
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    hidden: int = 576
    window: int = 128
    vocab: int = 1606
    ada: int = 32
    mels: int = 128

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def mel_filters() -> Tensor:
    """Slaney mel filters [201, 128] for 16 kHz and 400 points, 0 to 8000 Hz."""

    def to_hz(m: Any) -> Any:
        return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * math.log(6.4) / 27))

    edges = to_hz(np.linspace(0, 15 + math.log(8) / (math.log(6.4) / 27), 130))
    f = np.arange(201) * 40.0
    up = (f[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    down = (edges[2:] - f[:, None]) / np.diff(edges)[1:]
    return torch.tensor(
        np.maximum(0, np.minimum(up, down)) * 2 / (edges[2:] - edges[:-2]), dtype=torch.float32
    )


class LogMel(nn.Module):
    """[B, samples] -> [B, samples / 160, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(), persistent=False)
        self.register_buffer("hann", torch.hann_window(400), persistent=False)

    def forward(self, pcm: Tensor) -> Tensor:
        spectrum = torch.stft(pcm, 400, 160, window=self.hann, center=True, return_complex=True)
        power = spectrum[..., :-1].abs().square().transpose(1, 2)
        mel = (power @ self.filters).clamp(min=1e-10).log10()
        return (mel.clamp(min=1.5 - 8) + 4) / 4


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, EPS)


def rope(x: Tensor) -> Tensor:
    """Half-split rotary embedding of [B, heads, T, d]."""
    d, length = x.shape[-1], x.shape[-2]
    angle = torch.arange(length)[:, None] * THETA ** (-torch.arange(0, d, 2) / d)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def windowed(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Causal attention over the last `window` positions, block by block; q, k, v [B, H, T, d]."""
    batch, heads, length, d = q.shape
    pad = -length % window
    q, k, v = (F.pad(x, (0, 0, 0, pad)) for x in (q, k, v))
    blocks = (length + pad) // window
    q = q.reshape(batch, heads, blocks, window, d)

    def with_previous(x: Tensor) -> Tensor:
        x = x.reshape(batch, heads, blocks, window, d)
        return torch.cat([F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1], x], 3)

    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)[None]
    band = (j <= i) & (j > i - window)
    mask = band.expand(blocks, window, 2 * window).clone()
    mask[0, :, :window] = False  # before the first block there is nothing
    out = F.scaled_dot_product_attention(q, with_previous(k), with_previous(v), attn_mask=mask)
    return out.reshape(batch, heads, length + pad, d)[:, :, :length]


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, kv_heads: int, head_dim: int, window: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.window = heads, kv_heads, head_dim, window
        self.wq = nn.Linear(dim, heads * head_dim, bias=bias)
        self.wk = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.wv = nn.Linear(dim, kv_heads * head_dim, bias=bias)
        self.wo = nn.Linear(heads * head_dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(batch, length, heads, self.head_dim).transpose(1, 2)

        q, k, v = (
            rope(split(self.wq(x), self.heads)),
            rope(split(self.wk(x), self.kv_heads)),
            split(self.wv(x), self.kv_heads),
        )
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        out = windowed(q, k, v, self.window)
        return self.wo(out.transpose(1, 2).reshape(batch, length, -1))


class Layer(nn.Module):
    def __init__(self, dim: int, attention: Attention, hidden: int, bias: bool, ada: int = 0) -> None:
        super().__init__()
        self.attention_norm, self.attention, self.ffn_norm = RMSNorm(dim), attention, RMSNorm(dim)
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=bias)
        if ada:
            self.ada_down, self.ada_up = nn.Linear(dim, ada, bias=False), nn.Linear(ada, dim, bias=False)

    def forward(self, x: Tensor, delay: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        h = self.ffn_norm(x)
        if delay is not None:
            h = h * (1 + self.ada_up(F.gelu(self.ada_down(delay)))[:, None])
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


def delay_embedding(delay: Tensor, dim: int) -> Tensor:
    """[B] frames -> [B, dim]."""
    angle = delay[:, None].float() * torch.exp(-math.log(10000.0) * torch.arange(dim // 2) / (dim // 2))
    return torch.cat([angle.cos(), angle.sin()], -1)


class Voxtral(nn.Module):
    """Log-mel, tokens and delays in; logits [B, T, vocab] and the word spotter's logits out."""

    def __init__(self, shape: Shape, spotted: int) -> None:
        super().__init__()
        s = self.shape = shape
        self.conv0 = nn.Conv1d(s.mels, s.enc_dim, 3)
        self.conv1 = nn.Conv1d(s.enc_dim, s.enc_dim, 3, stride=2)
        self.encoder = nn.ModuleList(
            Layer(
                s.enc_dim,
                Attention(s.enc_dim, s.enc_heads, s.enc_heads, s.enc_head_dim, s.enc_window, True),
                s.enc_hidden,
                True,
            )
            for _ in range(s.enc_layers)
        )
        self.encoder_norm = RMSNorm(s.enc_dim)
        self.adapter0 = nn.Linear(4 * s.enc_dim, s.dim, bias=False)
        self.adapter2 = nn.Linear(s.dim, s.dim, bias=False)
        self.embedding = nn.Embedding(s.vocab, s.dim)
        self.decoder = nn.ModuleList(
            Layer(
                s.dim,
                Attention(s.dim, s.heads, s.kv_heads, s.head_dim, s.window, False),
                s.hidden,
                False,
                s.ada,
            )
            for _ in range(s.layers)
        )
        self.norm = RMSNorm(s.dim)
        self.spotter = nn.Linear(s.dim, spotted)  # trains the encoder to hear words; not exported
        nn.init.normal_(self.embedding.weight, std=0.02)
        for layer in [*self.encoder, *self.decoder]:
            for linear in (layer.attention.wo, layer.w2):
                linear.weight.data /= math.sqrt(2 * len(self.decoder))

    def encode(self, mel: Tensor) -> Tensor:
        """[B, 8 T, 128] -> [B, T, dim]."""
        x = F.gelu(self.conv0(F.pad(mel.transpose(1, 2), (2, 0))))
        x = F.gelu(self.conv1(F.pad(x, (1, 0)))).transpose(1, 2)
        for layer in self.encoder:
            x = layer(x)
        x = self.encoder_norm(x)
        x = x.reshape(x.shape[0], x.shape[1] // 4, -1)
        return self.adapter2(F.gelu(self.adapter0(x)))

    def forward(self, mel: Tensor, tokens: Tensor, delay: Tensor) -> tuple[Tensor, Tensor]:
        audio = self.encode(mel)
        h = audio + self.embedding(tokens)
        condition = delay_embedding(delay, self.shape.dim)
        for layer in self.decoder:
            h = layer(h, condition)
        return F.linear(self.norm(h), self.embedding.weight), self.spotter(audio)
