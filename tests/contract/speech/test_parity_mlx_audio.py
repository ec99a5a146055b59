"""Our forward passes against mlx-audio's own generation, on the same modules, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.model import Chunk, Pcm
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.engine import VoxtralEngine
from tests.checkpoints import MEDIUM, SMALL, Shape, varied_sound, write_checkpoint

CASES = {
    "small": (SMALL, None, False),
    "small, 4 bits": (SMALL, 4, False),
    "small, 8 bits, embeddings too": (SMALL, 8, True),
    "medium": (MEDIUM, None, False),
    "medium, 4 bits": (MEDIUM, 4, False),
}


@pytest.fixture(scope="module", params=CASES)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checkpoint]:
    shape, bits, embeddings = CASES[request.param]
    folder = tmp_path_factory.mktemp("weights")
    yield load(str(write_checkpoint(folder, shape, bits=bits, embeddings=embeddings)))


def ours(checkpoint: Checkpoint, pcm: Pcm, delay_ms: int) -> list[int]:
    with closing(VoxtralEngine(checkpoint, delay_ms=delay_ms, lanes=1)) as engine:
        heard = engine.submit(Chunk(0, pcm)).result()
    return [frame.token_id for frame in heard.frames]


class _Collector:
    """Stands in for mlx-audio's tokenizer, to see the token ids it would turn into text."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def decode(self, ids: Any) -> str:
        self.ids = [int(i) for i in ids]
        return ""


def theirs(checkpoint: Checkpoint, pcm: Pcm, delay_ms: int) -> list[int]:
    model, seen = checkpoint.model, _Collector()
    model._tokenizer, model._ada_scale_delay, model.config.eos_token_id = seen, -1, -1
    model.generate(mx.array(pcm), transcription_delay_ms=delay_ms, max_tokens=10**6)
    return seen.ids


# 12 s: both windows of both shapes are outgrown.
@pytest.mark.parametrize("delay_ms", [80, 480, 2400])
def test_tokens_equal_mlx_audios(checkpoint: Checkpoint, delay_ms: int) -> None:
    pcm = varied_sound(12.34)
    mine = ours(checkpoint, pcm, delay_ms)
    assert mine == theirs(checkpoint, pcm, delay_ms)
    assert len(set(mine)) > 20, "weights too dull to tell anything"


def test_tokens_equal_mlx_audios_streaming_session(checkpoint: Checkpoint) -> None:
    model, pcm = checkpoint.model, varied_sound(6.0, seed=2)
    model._tokenizer, model._ada_scale_delay, model.config.eos_token_id = _Tokenizer(), -1, -1
    session = model.create_streaming_session(transcription_delay_ms=480, max_tokens=10**6)
    for piece in np.array_split(pcm, 17):
        session.feed(piece)
        session.step(max_decode_tokens=1000)
    session.close()
    while not session.done:
        session.step(max_decode_tokens=1000)
    assert ours(checkpoint, pcm, 480)[: len(session.generated)] == [int(t) for t in session.generated]
    assert len(session.generated) >= len(pcm) // 1280


class _Tokenizer(_Collector):
    def token_bytes(self, _token: int) -> bytes:
        return b"x"


def test_a_decoder_of_another_width_loads(tmp_path: Path) -> None:
    shape = Shape(width=96, decoder_heads=3, kv_heads=1)
    checkpoint = load(str(write_checkpoint(tmp_path, shape)))
    assert checkpoint.model.encoder.audio_language_projection_2.weight.shape == (96, 96)
    assert len(ours(checkpoint, varied_sound(1.0), 480)) == 13 + 11


@pytest.mark.parametrize("delay_ms", [480, 2400])
def test_the_sample_checkpoint_says_the_same_in_mlx_audio(delay_ms: int) -> None:
    root = Path(__file__).parents[3]
    checkpoint = load(str(root / "samples/tiny"))
    media = probe(root / "samples/demo.mkv")
    pcm = np.concatenate(list(AudioReader(media, media.audio[0], start_ms=50_000, duration_ms=20_000)))
    mine = ours(checkpoint, pcm, delay_ms)
    assert mine == theirs(checkpoint, pcm, delay_ms)
    assert mine.count(checkpoint.tokens.word) > 20
