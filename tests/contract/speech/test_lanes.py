"""Tokens are the same whatever the number of lanes, the neighbours, and the refills."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.model import FRAME_SAMPLES, Chunk, ChunkFrames, Pcm, Priority
from subgen.speech.engine import transcribe
from subgen.speech.voxtral import checkpoint as loading
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.device import Device
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.speech.voxtral.geometry import Geometry
from subgen.speech.voxtral.lanes import Encoded
from subgen.speech.voxtral.live import LiveStream
from subgen.speech.voxtral.pool import LanePool
from subgen.speech.voxtral.queue import Job, JobQueue
from tests.checkpoints import MEDIUM, SMALL, is_linear, varied_sound, write_checkpoint

SAMPLES = Path(__file__).parents[3] / "samples"
DELAYS_MS = (2400, 480, 80)
LIVE = Geometry.of_delay(480)
ENOUGH = 0.995
"""The share of equal frames, where numbers have 16 bits or fewer."""
LONG = 112 * FRAME_SAMPLES  # 150 positions and more: beyond the windows of all these decoders
LENGTHS = st.sampled_from(
    (
        0,
        1,
        999,
        FRAME_SAMPLES - 1,
        FRAME_SAMPLES,
        FRAME_SAMPLES + 1,
        5 * FRAME_SAMPLES,
        30 * FRAME_SAMPLES,
        LONG,
    )
) | st.integers(0, 40 * FRAME_SAMPLES)


# What is compared


@dataclass
class Material:
    """A checkpoint, sound for it, and the tokens of every chunk in a single live stream."""

    checkpoint: Checkpoint
    sounds: Pcm
    _alone: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)

    def chunk(self, number: int, samples: int) -> Chunk:
        """Stretches of the sound, another one for each number."""
        first = 37 * number * FRAME_SAMPLES % (len(self.sounds) - LONG) // FRAME_SAMPLES * FRAME_SAMPLES
        return Chunk(first, self.sounds[first : first + samples])

    def alone(self, chunk: Chunk, geometry: Geometry) -> list[int]:
        key = (chunk.first_sample, len(chunk.pcm), geometry.delay_frames)
        if key not in self._alone:
            stream = LiveStream(self.checkpoint, geometry, 32, lambda function: function())
            frames = [*stream.feed(chunk.pcm), *stream.finish()]
            self._alone[key] = [frame.token_id for frame in frames]
        return self._alone[key]


@pytest.fixture(scope="module")
def demo() -> Pcm:
    media = probe(SAMPLES / "demo.mkv")
    with AudioReader(media, media.audio[0]) as reader:
        return np.concatenate(list(reader))


@pytest.fixture(scope="module", params=["sample", "small"])
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, demo: Pcm) -> Material:
    if request.param == "sample":
        return Material(load(str(SAMPLES / "tiny")), demo)
    folder = tmp_path_factory.mktemp("weights")
    return Material(load(str(write_checkpoint(folder, SMALL, seed=3))), varied_sound(60, 1))


@pytest.fixture(scope="module")
def spoken(demo: Pcm) -> list[Chunk]:
    """The demo in chunks of 3 to 13 seconds, so that lanes end at different times and are refilled."""
    edges = np.cumsum([0, 40, 160, 75, 130, 60, 151, 44, 120, 99, 38, 145]) * FRAME_SAMPLES
    return [Chunk(int(a), demo[a:b]) for a, b in zip(edges, [*edges[1:], len(demo)], strict=True)]


def ids(frames: Sequence[ChunkFrames]) -> list[int]:
    return [frame.token_id for chunk in frames for frame in chunk.frames]


def decoded(checkpoint: Checkpoint, chunks: Sequence[Chunk], lanes: int, cache_bits: int = 16) -> list[int]:
    engine = VoxtralEngine(checkpoint, delay_ms=480, lanes=lanes, cache_bits=cache_bits)
    try:
        return ids(list(transcribe(engine, chunks)))
    finally:
        engine.close()


def check_enough(name: str, found: list[int], expected: list[int]) -> None:
    assert len(found) == len(expected)
    differing = int(np.sum(np.array(found) != np.array(expected)))
    print(f"\n{name}: {differing} of {len(expected)} frames differ")
    assert differing <= (1 - ENOUGH) * len(expected)


def check_varied(tokens: list[int]) -> None:
    """Equal tokens prove nothing where there is but one."""
    assert len(set(tokens)) > 20


# Exactly, in float32


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_the_same_as_a_live_stream(material: Material, lanes: int) -> None:
    """Chunks of very different lengths, more than there are lanes."""
    lengths = (
        LONG,
        999,
        30 * FRAME_SAMPLES,
        1,
        61 * FRAME_SAMPLES - 5,
        0,
        17 * FRAME_SAMPLES,
        2 * FRAME_SAMPLES,
    )
    chunks = [material.chunk(number, samples) for number, samples in enumerate(lengths)]
    expected = [token for chunk in chunks for token in material.alone(chunk, LIVE)]
    check_varied(expected)
    assert decoded(material.checkpoint, chunks, lanes) == expected


def test_a_larger_shape(tmp_path: Path) -> None:
    medium = Material(load(str(write_checkpoint(tmp_path, MEDIUM, seed=3))), varied_sound(60, 1))
    driven = Driven(medium, 3)
    for number, samples in enumerate((LONG, 20 * FRAME_SAMPLES, 33_333, 50 * FRAME_SAMPLES)):
        driven.arrive(Arrival(0, samples, DELAYS_MS[number % 3], Priority.NEW, None))
    driven.finish()
    driven.check()


def test_the_engines_own_stream_says_the_same(material: Material) -> None:
    engine = VoxtralEngine(material.checkpoint, delay_ms=80, lanes=3)
    chunk = material.chunk(2, 70 * FRAME_SAMPLES - 100)
    stream = engine.stream(block_frames=32)
    fed = [frame for piece in np.array_split(chunk.pcm, 7) for frame in stream.feed(piece)]
    expected = [frame.token_id for frame in [*fed, *stream.finish()]]
    futures = [engine.submit(c) for c in (chunk, material.chunk(3, LONG), chunk)]
    first, _, last = [ids([future.result()]) for future in futures]
    engine.close()
    assert first == last == expected


@dataclass(frozen=True)
class Arrival:
    """A chunk that comes after `blocks` blocks of work; `cancelled` after so many more, if at all."""

    blocks: int
    samples: int
    delay_ms: int
    priority: Priority
    cancelled: int | None


ARRIVALS = st.builds(
    Arrival,
    blocks=st.integers(0, 4),
    samples=LENGTHS,
    delay_ms=st.sampled_from(DELAYS_MS),
    priority=st.sampled_from(Priority),
    cancelled=st.none() | st.none() | st.integers(0, 6),
)


class Driven:
    """A pool that is driven by hand, into which chunks come and from which some go."""

    def __init__(self, material: Material, lanes: int) -> None:
        self.material = material
        self.pool = LanePool(material.checkpoint, most_lanes=lanes)
        self.queue: JobQueue[Encoded] = JobQueue()
        self.jobs: list[Job[Encoded]] = []
        self._leaving: list[tuple[int, Job[Encoded]]] = []
        self._blocks = 0

    def arrive(self, arrival: Arrival) -> None:
        for _ in range(arrival.blocks):
            self.advance()
        chunk = self.material.chunk(len(self.jobs), arrival.samples)
        geometry = Geometry.of_delay(arrival.delay_ms)
        self.jobs.append(self.queue.add(chunk, geometry, arrival.priority, lambda _: None))
        if arrival.cancelled is not None:
            self._leaving.append((self._blocks + arrival.cancelled, self.jobs[-1]))

    def advance(self) -> None:
        self.pool.advance(self.queue)
        self._blocks += 1
        for when, job in self._leaving:
            if when == self._blocks:
                job.future.cancel()

    def finish(self) -> None:
        while self.pool.busy or len(self.queue):
            self.advance()

    def check(self) -> None:
        for job in self.jobs:
            if not job.future.cancelled():
                assert ids([job.future.result(0)]) == self.material.alone(job.chunk, job.geometry)


@settings(max_examples=6, derandomize=True)
@given(lanes=st.integers(1, 6), arrivals=st.lists(ARRIVALS, min_size=1, max_size=7))
def test_whoever_comes_and_goes(material: Material, lanes: int, arrivals: list[Arrival]) -> None:
    """Other lengths, delays and priorities in one pool, at any time, and cancelled neighbours."""
    driven = Driven(material, lanes)
    for arrival in arrivals:
        driven.arrive(arrival)
    driven.finish()
    driven.check()


def test_all_delays_begin_in_the_same_pass(material: Material) -> None:
    driven = Driven(material, 6)
    for delay_ms in (*DELAYS_MS, *DELAYS_MS):
        driven.arrive(Arrival(0, 20 * FRAME_SAMPLES, delay_ms, Priority.NEW, None))
    driven.finish()
    driven.check()
    assert driven.pool.work.steps == 20 + 11


def test_a_lane_is_refilled_many_times_beside_a_long_neighbour(material: Material) -> None:
    """The neighbour's ring comes round meanwhile; the lane's is wiped each time."""
    driven = Driven(material, 2)
    driven.arrive(Arrival(0, LONG, 480, Priority.NEW, None))
    for number in range(9):
        driven.arrive(
            Arrival(0, (1 + 7 * number % 20) * FRAME_SAMPLES, DELAYS_MS[number % 3], Priority.NEW, None)
        )
    driven.finish()
    driven.check()


def test_rings_that_come_round_together(material: Material) -> None:
    """Every lane is beyond the window, each at another place."""
    driven = Driven(material, 3)
    for number in range(5):
        driven.arrive(Arrival(number % 2, LONG - 9 * number * FRAME_SAMPLES, 2400, Priority.NEW, None))
    driven.finish()
    driven.check()


# 16 bits, 8 bits and 4 bits


def test_a_cache_of_8_bits(spoken: list[Chunk]) -> None:
    checkpoint = load(str(SAMPLES / "tiny"))
    expected, found = (decoded(checkpoint, spoken, 6, bits) for bits in (16, 8))
    check_varied(expected)
    check_enough("sample, a cache of 8 bits against 16, 6 lanes", found, expected)
    few = decoded(checkpoint, spoken[:5], 2, 8)
    check_enough("sample, a cache of 8 bits, 2 lanes against 6", few, found[: len(few)])


@pytest.mark.parametrize(
    ("name", "how", "computed"),
    [
        ("small", {"dtype": mx.float16}, "widened on use"),
        ("sample", {"dtype": mx.float16}, "as stored"),
        ("small", {"dtype": mx.bfloat16}, "as stored"),
        ("sample", {"bits": 4}, "widened on use"),
        ("medium", {"bits": 4}, "widened on use"),
        ("small", {"bits": 4}, "as stored"),
    ],
)
def test_lanes_with_weights_of_few_bits(
    name: str,
    how: dict[str, Any],
    computed: str,
    tmp_path: Path,
    spoken: list[Chunk],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rewrite(folder(name, tmp_path), how)
    checkpoint = loaded(tmp_path, computed, monkeypatch)
    chunks = short(spoken) if name == "sample" else random_sounds()
    one, many = (decoded(checkpoint, chunks, lanes) for lanes in (1, 5))
    check_varied(one)
    check_enough(f"{name}, {how}, {computed}, 5 lanes against 1", many, one)


def short(spoken: list[Chunk]) -> list[Chunk]:
    """The first seconds of some chunks: MLX's own products of few bits are slow on a CPU."""
    lengths = (40, 50, 12, 61, 30, 22, 45)
    return [Chunk(c.first_sample, c.pcm[: n * FRAME_SAMPLES]) for c, n in zip(spoken, lengths, strict=False)]


def random_sounds() -> list[Chunk]:
    lengths = [4.0, 0.5, 3.0, 3.5, 1.0, 2.0, 2.0]
    return [Chunk(0, varied_sound(seconds, seed)) for seed, seconds in enumerate(lengths)]


def folder(name: str, where: Path) -> Path:
    """A checkpoint to be rewritten."""
    if name == "sample":
        return shutil.copytree(SAMPLES / "tiny", where, dirs_exist_ok=True)
    return write_checkpoint(where, SMALL if name == "small" else MEDIUM, seed=5)


def rewrite(where: Path, how: dict[str, Any]) -> None:
    """Store the weights in another type, or the linear layers quantised in groups of 32."""
    file = where / "model.safetensors"
    weights: Any = mx.load(str(file))
    dtype = how.get("dtype", mx.bfloat16)
    weights = {name: value.astype(dtype) for name, value in weights.items()}
    for name in [n for n in weights if "bits" in how and is_linear(n)]:
        packed, scales, biases = mx.quantize(weights.pop(name), group_size=32, bits=how["bits"])
        stem = name.removesuffix(".weight")
        weights |= {f"{stem}.weight": packed, f"{stem}.scales": scales, f"{stem}.biases": biases}
    mx.eval(weights)
    if "bits" in how:
        config = json.loads((where / "config.json").read_text())
        config["quantization"] = {"group_size": 32, "bits": how["bits"]}
        (where / "config.json").write_text(json.dumps(config))
    file.unlink()
    mx.save_safetensors(str(file), weights)


def loaded(where: Path, computed: str, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """As on a CPU without room, or as on a GPU, which computes in the type of the weights."""
    if computed == "as stored":
        monkeypatch.setattr(loading, "device", lambda: Device("cuda", None))
    checkpoint = load(str(where), budget_bytes=0)
    wide = checkpoint.model.decoder.norm.weight.dtype == mx.float32
    assert wide == (computed == "widened on use")
    assert bool(checkpoint.packed_layers) == wide
    return checkpoint
