"""Padding and log-mel."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.model import FRAME_SAMPLES
from subgen.speech.voxtral.frontend import AFTER, BEFORE, Framer, log_mel, mel_filters
from subgen.speech.voxtral.geometry import Geometry
from tests.checkpoints import varied_sound

GEOMETRY = Geometry.of_delay(80)


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(0, 9000), block=st.integers(1, 9), data=st.data())
def test_blocks_cover_the_padded_stream_however_it_is_cut(
    samples: int, block: int, data: st.DataObject
) -> None:
    pcm = np.arange(1, samples + 1, dtype=np.float32)
    cuts = data.draw(st.lists(st.integers(0, samples), max_size=6).map(sorted))
    framer = Framer(GEOMETRY, block)
    blocks = [b for piece in np.split(pcm, cuts) for b in framer.feed(piece)] + framer.finish()
    assert all(len(b) == BEFORE + block * FRAME_SAMPLES + AFTER for b in blocks)
    assert len(blocks) == -(-GEOMETRY.total_frames(samples) // block)
    joined = np.concatenate([b[BEFORE : BEFORE + block * FRAME_SAMPLES] for b in blocks])
    left = 32 * FRAME_SAMPLES
    assert not joined[:left].any()
    assert (joined[left : left + samples] == pcm).all()
    assert not joined[left + samples :].any()
    for before, after in itertools.pairwise(blocks):  # the overlap of two blocks is the same sound
        assert (before[-BEFORE - AFTER :] == after[: BEFORE + AFTER]).all()


def test_log_mel_equals_mlx_audios() -> None:
    import mlx.core as mx
    from mlx_audio.stt.models.voxtral_realtime import audio

    pcm = varied_sound(2.0)
    framer = Framer(GEOMETRY, 4)
    mine = np.concatenate([np.array(log_mel(b[None]))[0] for b in framer.feed(pcm) + framer.finish()])
    total = GEOMETRY.total_frames(len(pcm)) * FRAME_SAMPLES
    padded = np.pad(pcm, (32 * FRAME_SAMPLES, total - 32 * FRAME_SAMPLES - len(pcm)))
    filters = mx.array(audio.compute_mel_filters())
    expected = np.array(audio.compute_mel_spectrogram(mx.array(padded), filters)).T
    assert np.abs(np.array(mel_filters()) - np.array(filters)).max() < 1e-6
    difference = np.abs(mine[: len(expected)] - expected)
    assert difference.max() < 1e-3  # where the power is near the clamp, single precision shows
    assert difference.mean() < 1e-6


def test_the_clamp_is_absolute() -> None:
    silent = np.array(log_mel(np.zeros((1, BEFORE + FRAME_SAMPLES + AFTER), np.float32)))
    assert np.allclose(silent, (1.5 - 8 + 4) / 4)
