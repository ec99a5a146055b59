"""The benchmark's arithmetic: what it says must follow from the shape and from what was counted."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmark.cli import parser
from scripts.benchmark.compare import Plan, jobs, run
from scripts.benchmark.contenders import cut
from scripts.benchmark.jobs import Counters, Heard, Job
from scripts.benchmark.limits import Limits, best
from scripts.benchmark.plot import lines
from scripts.benchmark.rows import Row, against, measured
from scripts.benchmark.shapes import ROOT, SAMPLE, SHAPES, Stored, stored
from scripts.benchmark.sound import half_silent, lasting
from scripts.benchmark.table import HEAD, cells, markdown
from scripts.benchmark.voxmlx_weights import theirs
from scripts.benchmark.weights import tensors, write_packed, write_tensors
from scripts.benchmark.work import (
    Stream,
    all_operations,
    at_length,
    cache_bytes,
    decoder_matrix_parameters,
    decoder_operations,
    encoder_matrix_parameters,
    encoder_operations,
    mean_context,
    step_bytes,
    step_context,
    useful_operations,
)
from subgen.speech.voxtral.checkpoint import load
from tests.checkpoints import Shape, parameter_shapes

FULL = SHAPES["full"]
LIMITS = Limits("cpu (libopenblas.so.0)", "F32", products=100e9, bandwidth=10e9)


def test_the_full_shape_is_the_published_one() -> None:
    assert encoder_matrix_parameters(FULL) * 2 * 50 == pytest.approx(96.5e9, rel=0.01)
    assert decoder_matrix_parameters(FULL) * 2 * 12.5 == pytest.approx(85.7e9, rel=0.01)
    assert cache_bytes(FULL, 2) == 106_496


def test_the_parameters_are_those_of_the_modules() -> None:
    counted = {"encoder.": 0, "decoder.": 0}
    for name, size in parameter_shapes(FULL).items():
        if len(size) == 2 and not any(part in name for part in ("ada_rms", "audio_language")):
            counted[name[:8]] += int(np.prod(size))
    assert counted["encoder."] == encoder_matrix_parameters(FULL)
    assert counted["decoder."] == decoder_matrix_parameters(FULL)


def test_a_frame_is_encoded_at_four_rates() -> None:
    sizes = parameter_shapes(FULL)

    def weights(part: str) -> int:
        return sum(int(np.prod(size)) for name, size in sizes.items() if part in name and len(size) > 1)

    times = {"conv_layers_0": 8, "conv_layers_1": 4, "transformer_layers": 4, "audio_language_projection": 1}
    assert encoder_operations(FULL, 0) == 2 * sum(count * weights(part) for part, count in times.items())


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 200))
def test_mean_context_is_the_mean_over_the_positions(first: int, count: int, window: int) -> None:
    seen = [min(position + 1, window) for position in range(first, first + count)]
    assert mean_context(first, first + count, window) == pytest.approx(float(np.mean(seen)))


def test_attention_costs_two_products_over_the_context() -> None:
    per_position = decoder_operations(FULL, 1) - decoder_operations(FULL, 0)
    assert per_position == 26 * 2 * 2 * 32 * 128


def test_a_stream_has_its_prompt_its_audio_and_its_tail() -> None:
    stream = Stream(audio_frames=25, delay_ms=2400)
    assert (stream.prompt_frames, stream.steps, stream.frames) == (63, 36, 98)


def test_the_zeros_around_the_audio_are_not_useful_work() -> None:
    short, long = Stream(10, 2400), Stream(4000, 2400)
    assert all_operations(FULL, short) > 5 * useful_operations(FULL, short) * 0.8  # 0.8 s in 6.7 s
    assert all_operations(FULL, long) == pytest.approx(useful_operations(FULL, long) * 320, rel=0.03)


@given(st.integers(1, 4000), st.floats(0.1, 1e4), st.none() | st.floats(0, 1))
def test_a_stretch_takes_its_own_time_at_its_own_length(
    frames: int, seconds: float, in_steps: float | None
) -> None:
    stream = Stream(frames, 480)
    step_seconds = None if in_steps is None else in_steps * seconds
    assert at_length(FULL, stream, seconds, stream, step_seconds) == pytest.approx(seconds)


def test_steps_are_taken_at_their_own_rate() -> None:
    short, long = Stream(25, 2400), Stream(750, 2400)
    assert at_length(FULL, short, 10.0, long, 10.0) == pytest.approx(10.0 * 760 / 35, rel=0.03)
    assert at_length(FULL, short, 10.0, long, 0.0) < 10.0 * 823 / 98  # the prompt is the same


def test_only_the_last_position_of_a_prompt_has_logits() -> None:
    headless, headed = Shape(vocabulary=1000), Shape(vocabulary=2000)
    stream = Stream(25, 480)
    more = all_operations(headed, stream) - all_operations(headless, stream)
    assert more == stream.steps * 2 * 1000 * headed.width


def test_a_long_stretch_is_faster_than_a_short_one_was() -> None:
    short, long = Stream(25, 2400), Stream(3750, 2400)
    taken = at_length(FULL, short, 10.0, long)
    assert 10.0 < taken < 10.0 * 3750 / 25 / 3  # three quarters of the short one were zeros


def test_lanes_share_the_reading_of_the_weights() -> None:
    stream = Stream(375, 2400)
    one, two = (step_bytes(FULL, stream, 10**9, 2, lanes) for lanes in (1, 2))
    assert two - one == pytest.approx(one - 10**9)
    assert one - 10**9 == pytest.approx(step_context(FULL, stream) * 106_496)


def heard(**given: Any) -> Heard:
    told: dict[str, Any] = {"load_seconds": 1.0, "seconds": 6.0, "audio_seconds": 60.0, "chunk_seconds": 30.0}
    return Heard(**(told | {"tokens": 772, "lanes": 8, "delay_ms": 2400} | given))


def row(contender: str, answer: Heard, seconds: float, peers: dict[str, float] | None = None) -> Row:
    content = Stored(FULL, "F16", 2 * 10**9, 4)
    job = Job(contender, "weights", "sound.npy", 2400, seconds)
    return measured("full", content, job, 1.0, answer, LIMITS, peers or {})


def test_the_share_while_decoding_is_of_the_rows_that_carried_a_chunk() -> None:
    stream = Stream(375, 2400)
    operations = decoder_operations(FULL, step_context(FULL, stream))
    decode_seconds = 800 * operations / (LIMITS.products * 0.5)
    counters = Counters(1.0, decode_seconds, steps=100, rows=800, padded_rows=1000)
    made = row("subgen", heard(counters=counters), 60.0)
    assert made.share_of_products_decoding == pytest.approx(0.5)
    read = 100 * (4 * decoder_matrix_parameters(FULL) + 8 * step_context(FULL, stream) * 2 * 106_496)
    assert made.share_of_bandwidth_decoding == pytest.approx(read / decode_seconds / LIMITS.bandwidth)


def test_the_share_of_all_time_counts_useful_operations_alone() -> None:
    made = row("subgen", heard(), 60.0)
    assert made.speed == pytest.approx(10.0)
    assert made.share_of_products == pytest.approx(10.0 * useful_operations(FULL, Stream(375, 2400)) / 100e9)
    assert made.share_of_products_decoding is None


def test_shares_are_of_the_best_that_the_machine_showed() -> None:
    made = row("subgen", heard(counters=Counters(1, 4, 100, 700, 800)), 60.0)
    twice = replace(LIMITS, products=200e9)
    again = against(made, LIMITS, best(LIMITS, replace(twice, bandwidth=5e9)))
    assert again.share_of_products == pytest.approx(made.share_of_products / 2)
    assert again.share_of_products_decoding == pytest.approx((made.share_of_products_decoding or 0) / 2)
    assert again.share_of_bandwidth_decoding == pytest.approx(made.share_of_bandwidth_decoding)


def test_the_ratio_is_that_of_the_speeds() -> None:
    made = row("subgen", heard(), 60.0, {"mlx-audio": 0.25})
    assert made.ratio == {"mlx-audio": pytest.approx(40.0)}


def test_a_peer_that_heard_a_part_is_given_the_speed_of_its_whole_stretches() -> None:
    part = heard(seconds=20.0, audio_seconds=2.0, chunk_seconds=2.0, lanes=1, step_seconds=12.0)
    made = row("mlx-audio", part, 2.0)
    whole = at_length(FULL, Stream(25, 2400), 20.0, Stream(750, 2400), 12.0)
    assert made.speed == pytest.approx(60.0 / whole)
    assert made.speed_as_heard == pytest.approx(0.1)
    assert made.speed > 1.5 * made.speed_as_heard
    assert "first 2 s" in markdown("a machine", LIMITS, [made])


def test_a_peer_that_heard_all_of_it_keeps_its_own_speed() -> None:
    made = row("mlx-audio", heard(lanes=1, chunk_seconds=60.0), 60.0)
    assert made.speed == made.speed_as_heard == pytest.approx(10.0)


def test_the_table_has_a_cell_for_each_head() -> None:
    made = row("subgen", heard(counters=Counters(1, 4, 100, 700, 800)), 60.0, {"mlx-audio": 0.25})
    assert len(cells(made)) == len(HEAD)
    assert cells(made)[HEAD.index("idle")] == "17%"
    assert cells(made)[HEAD.index("ratio")] == "40 (mlx-audio)"


def test_counters_subtract() -> None:
    before, after = Counters(1, 2, 3, 4, 5), Counters(2, 4, 6, 8, 10, prompts=3)
    assert after.since(before) == Counters(1, 2, 3, 4, 5, prompts=3)


def test_every_combination_is_a_job_and_peers_hear_each_length_once(tmp_path: Path) -> None:
    plan = Plan([1, 10], [1, 8], [1, 4], ["mlx-audio"], 2.0, 2400, 30, None, 60.0)
    made = list(jobs(tmp_path, plan, tmp_path / "s.npy", 10, LIMITS))
    assert [job.contender for job in made] == ["mlx-audio"] + ["subgen"] * 4
    assert [(job.lanes, job.files) for job in made[1:]] == [(1, 1), (1, 4), (8, 1), (8, 4)]
    assert made[0].seconds == 2.0
    assert {job.seconds for job in made[1:]} == {600}


@given(st.integers(1, 300_000), st.integers(1, 10))
def test_chunks_cover_the_audio_once(samples: int, seconds: int) -> None:
    chunks = list(cut(np.zeros(samples, np.float32), seconds))
    ends = np.cumsum([len(chunk.pcm) for chunk in chunks])
    assert ends[-1] == samples
    assert [chunk.first_sample for chunk in chunks] == [0, *ends[:-1]]
    assert all(chunk.first_sample % 1280 == 0 for chunk in chunks)


def test_half_silent_sound_is_loud_in_every_second_minute_and_as_long() -> None:
    pcm = half_silent(lasting(np.ones(16_000, np.float32), 240))
    loud = np.abs(pcm).reshape(4, -1).mean(axis=1) > 0.1
    assert loud.tolist() == [True, False, True, False]


def test_a_plot_shows_the_fastest_of_each_place() -> None:
    rows = [
        {"contender": "subgen", "weights": "full", "lanes": lanes, "speed": speed}
        for lanes, speed in [(8, 3.0), (1, 1.0), (8, 2.0)]
    ]
    assert lines(rows, "lanes") == {"full": [(1, 1.0), (8, 3.0)]}


TINY = Shape(dim=64, layers=1, hidden=128, width=128, decoder_layers=2, decoder_hidden=192, heads=2)


def test_packed_checkpoints_load_and_have_the_drawn_weights(tmp_path: Path) -> None:
    write_packed(tmp_path, TINY)
    model = load(str(tmp_path)).model
    weight = np.array(model.decoder.layers[1].feed_forward_w1.weight.astype(mx.float32))
    assert weight.shape == (192, 128)
    assert np.std(weight) == pytest.approx(1.5 / 128**0.5, rel=0.05)
    assert abs(float(np.mean(weight))) < 0.01


def test_what_is_stored_is_read_from_the_headers(tmp_path: Path) -> None:
    write_packed(tmp_path, TINY)
    content = stored(tmp_path)
    matrices = decoder_matrix_parameters(TINY) - TINY.vocabulary * TINY.width
    packed = matrices // 2 + matrices // 64 * 4  # 4 bits, and a scale and an offset of 16 bits for each 64
    norms = 2 * (2 * 2 + 1) * TINY.width
    assert (content.shape, content.dtype, content.bits) == (TINY, "F16", 4)
    assert content.decoder_bytes == packed + norms + 2 * TINY.vocabulary * TINY.width


def test_a_layer_of_the_full_shape_can_be_written(tmp_path: Path) -> None:
    name = "decoder.layers.0.feed_forward_w1.weight"
    write_tensors(tmp_path / "layer.safetensors", tensors(name, parameter_shapes(FULL)[name]), seed=0)
    content = cast("dict[str, mx.array]", mx.load(str(tmp_path / "layer.safetensors")))
    assert {key.rpartition(".")[2]: value.shape for key, value in content.items()} == {
        "weight": (9216, 384),
        "scales": (9216, 48),
        "biases": (9216, 48),
    }


def test_the_full_shape_has_as_many_quantised_layers_as_the_usual_conversion() -> None:
    made = [t for name, size in parameter_shapes(FULL).items() for t in tensors(name, size)]
    assert sum(t.dtype == "U32" for t in made) == 406
    assert sum(t.length for t in made) == pytest.approx(3.1e9, rel=0.02)


def test_voxmlxs_names() -> None:
    assert (
        theirs("encoder.transformer_layers.3.attention.wo.bias") == "encoder.layers.3.attention.o_proj.bias"
    )
    assert theirs("decoder.layers.0.feed_forward_w2.scales") == "language_model.layers.0.mlp.down_proj.scales"
    assert theirs("decoder.norm.weight") == "language_model.norm.weight"
    assert theirs("encoder.transformer_norm.weight") == "encoder.norm.weight"


def test_the_commands_in_the_docs_are_real() -> None:
    text = (ROOT / "docs/benchmark.md").read_text("utf-8")
    commands = re.findall(r"^\.venv/bin/python scripts/bench\.py (.+)$", text, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"compare", "silence", "film", "plot"}
    for command in commands:
        parser().parse_args(shlex.split(command))


@pytest.mark.parametrize("contender", ["subgen", "mlx-audio"])
def test_contenders_hear_every_frame(contender: str, tmp_path: Path) -> None:
    sound = tmp_path / "sound.npy"
    np.save(sound, np.zeros(8 * 16_000, np.float32))
    job = Job(contender, str(SAMPLE), str(sound), 480, 6.0, lanes=2, chunk_seconds=4, cache_bits=16, files=1)
    answer = run(job, patience=300)
    assert isinstance(answer, Heard), answer
    chunks = [50, 25] if contender == "subgen" else [75]
    assert answer.tokens == sum(frames + 11 for frames in chunks)
    assert answer.peak_bytes > 2**26


def test_a_contender_that_fails_says_why(tmp_path: Path) -> None:
    answer = run(Job("subgen", str(tmp_path), "no.npy", 480, 1.0, lanes=1), patience=300)
    assert isinstance(answer, str)
    assert "config.json" in answer
