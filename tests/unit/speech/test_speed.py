"""How many lanes: what is chosen, where memory ends the ladder, and what is remembered."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgen.errors import EngineError
from subgen.speech.voxtral import speed
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.device import SpeedWarning
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.speech.voxtral.geometry import Geometry
from subgen.speech.voxtral.lanes import Beginnings, Lanes
from subgen.speech.voxtral.rings import EightBitRing, Ring
from subgen.speech.voxtral.speed import (
    CACHE_SHARE,
    CHUNK_SECONDS,
    LADDER,
    USUAL_SECONDS,
    WORTH,
    Probe,
    Rung,
    Speed,
    best_rung,
    chosen_speed,
    lane_bytes,
)
from tests.checkpoints import Shape, write_checkpoint

LIVE = Geometry.of_delay(480)
TINY = Shape(
    layers=1, hidden=64, decoder_layers=2, decoder_heads=2, kv_heads=1, decoder_hidden=64, decoder_window=900
)  # fmt: skip
PLENTY = 10**12

RUNGS = st.builds(
    Rung,
    lanes=st.sampled_from(LADDER),
    chunk_seconds=st.sampled_from(CHUNK_SECONDS),
    cache_bits=st.sampled_from((8, 16)),
    step_ms=st.floats(0.1, 1000),
    realtime=st.floats(0.01, 1000),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(str(write_checkpoint(tmp_path_factory.mktemp("weights"), TINY)))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Tell how many bytes are free."""
    return lambda size: monkeypatch.setattr(speed, "_free_bytes", lambda: size)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, int, int], float]], list[int]]:
    """Passes that take as long as is told for (lanes, seconds, bits); gives the lanes that were tried."""

    def install(step_seconds: Callable[[int, int, int], float]) -> list[int]:
        tried: list[int] = []

        def pretend(_: Probe, lanes: int, seconds: int, bits: int, **__: object) -> float:
            tried.append(lanes)
            return step_seconds(lanes, seconds, bits)

        monkeypatch.setattr(Probe, "_timed", pretend)
        return tried

    return install


# The choice


@given(rungs=st.lists(RUNGS, min_size=1, max_size=20))
def test_the_best_is_nearly_the_fastest(rungs: list[Rung]) -> None:
    best, top = best_rung(rungs), max(rung.realtime for rung in rungs)
    assert best in rungs
    assert best.realtime >= top / WORTH * (1 - 1e-12)


@given(rungs=st.lists(RUNGS, min_size=1, max_size=20))
def test_of_those_nearly_as_fast_it_is_the_finest_longest_and_smallest(rungs: list[Rung]) -> None:
    best, top = best_rung(rungs), max(rung.realtime for rung in rungs)
    for rung in rungs:
        if rung.realtime > top / WORTH * (1 + 1e-12):
            assert rung.cache_bits <= best.cache_bits
            if rung.cache_bits == best.cache_bits:
                assert rung.chunk_seconds <= best.chunk_seconds
                if rung.chunk_seconds == best.chunk_seconds:
                    assert rung.lanes >= best.lanes


@given(rungs=st.lists(RUNGS, min_size=1, max_size=12), data=st.data())
def test_the_order_does_not_matter(rungs: list[Rung], data: st.DataObject) -> None:
    found = best_rung(data.draw(st.permutations(rungs)))
    key = (found.lanes, found.chunk_seconds, found.cache_bits)
    best = best_rung(rungs)
    assert key == (best.lanes, best.chunk_seconds, best.cache_bits)


@given(rungs=st.lists(RUNGS, min_size=1, max_size=12), slow=RUNGS)
def test_what_is_slower_changes_nothing(rungs: list[Rung], slow: Rung) -> None:
    best = best_rung(rungs)
    worse = Rung(slow.lanes, slow.chunk_seconds, slow.cache_bits, slow.step_ms, best.realtime / 2)
    assert best_rung([*rungs, worse]) == best


def test_a_coarser_cache_must_be_worth_it() -> None:
    fine, coarse = Rung(8, 30, 16, 1.0, 100.0), Rung(12, 30, 8, 1.0, 102.0)
    assert best_rung([fine, coarse]) == fine
    assert best_rung([fine, Rung(12, 30, 8, 1.0, 104.0)]).cache_bits == 8


# Memory


def ring_bytes(checkpoint: Checkpoint, lanes: int, positions: int, bits: int) -> int:
    """What the keys and values of `lanes` take, in fact."""
    tried = Lanes(checkpoint, Beginnings(checkpoint), cache_bits=bits)
    tried.rearrange([None] * lanes, positions)
    assert all(isinstance(ring, EightBitRing if bits == 8 else Ring) for ring in tried._rings)
    return sum(array.nbytes for ring in tried._rings for array in ring.arrays)


@pytest.mark.parametrize("bits", [16, 8])
@pytest.mark.parametrize("positions", [1, 64, 65, 449, 899, 2000])
def test_lane_bytes_are_those_of_the_rings(checkpoint: Checkpoint, positions: int, bits: int) -> None:
    assert 3 * lane_bytes(checkpoint, positions, bits) == ring_bytes(checkpoint, 3, positions, bits)


def test_lane_bytes_in_groups_of_64(tmp_path: Path) -> None:
    wide = load(str(write_checkpoint(tmp_path, Shape(layers=1, decoder_layers=1, decoder_head_dim=64))))
    for bits in (8, 16):
        assert lane_bytes(wide, 128, bits) == ring_bytes(wide, 1, 128, bits)


@pytest.mark.parametrize("most", [1, 2, 5, 16, 128])
def test_the_ladder_ends_where_memory_does(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]], most: int
) -> None:
    """More lanes are always faster here, so that nothing but memory stops it."""
    one = lane_bytes(checkpoint, LIVE.total_frames(USUAL_SECONDS * 16_000), 16)
    free(int((most + 0.5) * one / CACHE_SHARE))
    tried = timed(lambda *_: 0.001)
    found = Probe(checkpoint, LIVE).run()
    assert max(tried) == found.lanes == max(rung for rung in LADDER if rung <= most)
    for rung in found.ladder:
        positions = LIVE.total_frames(rung.chunk_seconds * 16_000)
        assert rung.lanes * lane_bytes(checkpoint, positions, rung.cache_bits) <= (most + 0.5) * one


def test_the_probe_takes_no_more_than_it_reckons(checkpoint: Checkpoint, free: Callable[[int], None]) -> None:
    """With real passes: every rung's rings fit into the share."""
    one = lane_bytes(checkpoint, LIVE.total_frames(20 * 16_000), 16)
    free(int(2.2 * one / CACHE_SHARE))
    found = Probe(checkpoint, LIVE, chunk_seconds=20).run()
    assert found.lanes <= 2
    assert [rung.lanes for rung in found.ladder] == [1, 2]
    assert all(rung.step_ms > 0 and rung.realtime > 0 for rung in found.ladder)
    assert found.encode_realtime is not None
    assert found.encode_realtime > 0


@pytest.mark.parametrize("size", [0, 1000, -5])
def test_no_room_for_one_lane(checkpoint: Checkpoint, free: Callable[[int], None], size: int) -> None:
    free(size)
    with pytest.raises(EngineError, match="no memory left for a single lane") as caught:
        Probe(checkpoint, LIVE).run()
    assert caught.value.way_out


def test_room_for_one_lane_of_a_shorter_chunk(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    """30 s do not fit, 20 s do: that is better than nothing."""
    timed(lambda *_: 0.001)
    free(int(1.1 * lane_bytes(checkpoint, LIVE.total_frames(20 * 16_000), 16) / CACHE_SHARE))
    found = Probe(checkpoint, LIVE).run()
    assert (found.lanes, found.chunk_seconds) == (1, 20)


def test_running_out_of_memory_all_the_same(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    def step(lanes: int, *_: int) -> float:
        if lanes > 6:
            raise RuntimeError("[malloc] Unable to allocate")
        return 0.001

    free(PLENTY)
    timed(step)
    assert Probe(checkpoint, LIVE).run().lanes == 6


# The ladder


def test_it_stops_where_it_gets_worse(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    """After three rungs that are no better, and not at the first valley."""
    free(PLENTY)
    cost = {lanes: 0.01 + max(0, lanes - 16) / 100 for lanes in LADDER} | {4: 1.0, 6: 1.0}
    tried = timed(lambda lanes, *_: cost[lanes])
    assert Probe(checkpoint, LIVE).run().lanes == 16
    assert max(tried) == 32


def test_a_slow_device_is_not_tried_on_every_rung(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    """A pass takes over a tenth of a second: fewer rungs, and an end at the first that is worse."""
    free(PLENTY)
    tried = timed(lambda lanes, *_: 0.2 + max(0, lanes - 32) * 0.05)
    assert Probe(checkpoint, LIVE, chunk_seconds=20).run().lanes == 32
    assert tried[0] == 1
    assert max(tried) <= 48
    assert len(set(tried)) < len([lanes for lanes in LADDER if lanes <= 48])


def test_a_slow_device_with_room_for_some_lanes_uses_them(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    """Twelve lanes cost as much as one, and more find no room: one lane would be twelve times slower."""
    free(int(12.5 * lane_bytes(checkpoint, LIVE.total_frames(20 * 16_000), 16) / CACHE_SHARE))
    timed(lambda *_: 0.2)
    assert Probe(checkpoint, LIVE, chunk_seconds=20).run().lanes >= 8


def test_other_chunk_lengths_are_tried_at_the_best_rung(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    free(PLENTY)
    timed(lambda lanes, seconds, _: 0.01 if (lanes, seconds) == (128, 45) else 0.02)
    found = Probe(checkpoint, LIVE).run()
    assert (found.lanes, found.chunk_seconds) == (128, 45)
    assert {rung.chunk_seconds for rung in found.ladder} == set(CHUNK_SECONDS)


def test_what_is_given_is_not_varied(
    checkpoint: Checkpoint, free: Callable[[int], None], timed: Callable[..., list[int]]
) -> None:
    free(PLENTY)
    timed(lambda *_: 0.01)
    found = Probe(checkpoint, LIVE, chunk_seconds=45, cache_bits=8).run()
    assert {(rung.chunk_seconds, rung.cache_bits) for rung in found.ladder} == {(45, 8)}
    assert (found.chunk_seconds, found.cache_bits) == (45, 8)


@given(rungs=st.lists(RUNGS, min_size=1, max_size=20), bits=st.sampled_from((8, 16)))
def test_step_ms_are_those_of_the_chosen_cache(rungs: list[Rung], bits: int) -> None:
    found = Speed(1, 30, bits, tuple(rungs)).step_ms
    assert set(found) == {rung.lanes for rung in rungs if rung.cache_bits == bits}
    assert set(found.values()) <= {rung.step_ms for rung in rungs if rung.cache_bits == bits}


@given(decode=st.floats(0.1, 1e3), encode=st.floats(0.1, 1e3))
def test_realtime_is_that_of_both(decode: float, encode: float) -> None:
    both = Speed(4, 30, 16, (Rung(2, 30, 16, 1, 7), Rung(4, 30, 16, 1, decode)), encode).realtime
    assert both is not None
    assert both == pytest.approx(decode * encode / (decode + encode))
    assert Speed(3, 30, 16, (Rung(4, 30, 16, 1, decode),), encode).realtime is None
    assert Speed(4, 30, 16, (Rung(4, 30, 16, 1, decode),)).realtime is None


# What is given, and what is remembered


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """Stands in for the probe, and notes each."""
    made: list[tuple[Any, ...]] = []

    def run(probe: Probe) -> Speed:
        made.append((probe._checkpoint.identity, probe._seconds, probe._bits))
        return Speed(4, 45, 16, (Rung(4, 45, 16, 1.5, 33.0), Rung(2, 45, 16, 1.25, 20.0)), 50.0)

    monkeypatch.setattr(Probe, "run", run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpeedWarning)
        yield made


def test_lanes_that_are_given_need_no_probe(
    checkpoint: Checkpoint, probes: list[Any], free: Callable[[int], None]
) -> None:
    free(PLENTY)
    assert chosen_speed(checkpoint, LIVE, 8, 20, 8) == Speed(8, 20, 8)
    assert chosen_speed(checkpoint, LIVE, 8) == Speed(8, max(CHUNK_SECONDS), 16)
    assert probes == []


def test_lanes_that_are_given_get_chunks_for_which_there_is_room(
    checkpoint: Checkpoint, probes: list[Any], free: Callable[[int], None]
) -> None:
    for seconds in CHUNK_SECONDS:
        free(int(8.01 * lane_bytes(checkpoint, LIVE.total_frames(seconds * 16_000), 16) / CACHE_SHARE))
        assert chosen_speed(checkpoint, LIVE, 8) == Speed(8, seconds, 16)
    free(1)
    assert chosen_speed(checkpoint, LIVE, 8) == Speed(8, min(CHUNK_SECONDS), 16)
    assert probes == []


def test_the_second_time_there_is_no_probe(checkpoint: Checkpoint, probes: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "not yet" / "speeds.json"
    with pytest.warns(SpeedWarning, match="this once"):
        first = chosen_speed(checkpoint, LIVE, file=file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = chosen_speed(checkpoint, LIVE, file=file)
    assert first == second
    assert len(probes) == 1
    assert [path.name for path in file.parent.iterdir()] == ["speeds.json"]  # nothing half written is left


def test_asked_afresh_it_is_measured_and_remembered(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "speeds.json"
    for fresh, expected in ((False, 1), (True, 2), (False, 2)):
        chosen_speed(checkpoint, LIVE, file=file, fresh=fresh)
        assert len(probes) == expected


def test_without_a_file_nothing_is_remembered(checkpoint: Checkpoint, probes: list[Any]) -> None:
    for _ in range(2):
        chosen_speed(checkpoint, LIVE)
    assert len(probes) == 2


def test_every_question_has_its_own_answer(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path / "speeds.json"
    other = load(str(write_checkpoint(tmp_path_factory.mktemp("other"), Shape(layers=1, decoder_layers=1))))
    questions: list[tuple[Checkpoint, int | None, int | None]] = [
        (checkpoint, None, None), (checkpoint, 45, None), (checkpoint, 20, None), (checkpoint, None, 8),
        (checkpoint, 45, 8), (other, None, None),
    ]  # fmt: skip
    for _ in range(2):
        for asked, seconds, bits in questions:
            chosen_speed(asked, LIVE, None, seconds, bits, file=file)
    assert len(probes) == len(questions) == len(set(probes))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe\x00", b"not JSON", b"[]", b"7", b"null", b'"text"', b"{", b'{"else": 1}',
    ],
)  # fmt: skip
def test_a_broken_file_costs_a_probe_and_is_mended(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "speeds.json"
    file.write_bytes(content)
    for _ in range(2):
        assert chosen_speed(checkpoint, LIVE, file=file).lanes == 4
    assert len(probes) == 1


GOOD = {"lanes": 3, "chunk_seconds": 30, "cache_bits": 16, "ladder": [], "encode_realtime": 5.0}
RUNG = {"lanes": 1, "chunk_seconds": 30, "cache_bits": 16, "step_ms": 1.0, "realtime": 1.0}


@pytest.mark.parametrize(
    "entry",
    [
        None, 7, [], {}, "text", {"lanes": 3}, GOOD | {"more": 1},
        GOOD | {"ladder": None}, GOOD | {"ladder": [1]}, GOOD | {"ladder": [{"lanes": 1}]},
        GOOD | {"lanes": "many"}, GOOD | {"lanes": None}, GOOD | {"lanes": 0}, GOOD | {"lanes": 2.5},
        GOOD | {"chunk_seconds": 0}, GOOD | {"cache_bits": 3}, GOOD | {"ladder": [RUNG | {"step_ms": None}]},
    ],
)  # fmt: skip
def test_a_foreign_entry_costs_a_probe_and_is_mended(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path, entry: Any
) -> None:
    file = tmp_path / "speeds.json"
    chosen_speed(checkpoint, LIVE, file=file)
    (key,) = json.loads(file.read_text())
    file.write_text(json.dumps({key: entry, "another": GOOD}))
    probes.clear()
    for _ in range(2):
        assert chosen_speed(checkpoint, LIVE, file=file).lanes == 4
    assert len(probes) == 1
    assert json.loads(file.read_text())["another"] == GOOD  # what others wrote stays


def test_a_file_that_cannot_be_written_costs_a_probe_each_time(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.json").mkdir()
    for path in (tmp_path / "file" / "speeds.json", tmp_path / "folder.json"):
        probes.clear()
        for _ in range(2):
            assert chosen_speed(checkpoint, LIVE, file=path).lanes == 4
        assert len(probes) == 2


def test_a_read_only_folder(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    for _ in range(2):
        assert chosen_speed(checkpoint, LIVE, file=tmp_path / "speeds.json").lanes == 4
    assert len(probes) == 2


def test_the_engine_asks_once_and_says_what_it_found(
    checkpoint: Checkpoint, probes: list[Any], tmp_path: Path
) -> None:
    for _ in range(2):
        engine = VoxtralEngine(checkpoint, delay_ms=480, speeds=tmp_path / "speeds.json")
        assert (engine.lanes, engine.chunk_seconds, engine.speed.cache_bits) == (4, 45, 16)
        assert engine.work.steps == 0
        engine.close()
    assert len(probes) == 1


def test_an_engine_without_room_says_so(checkpoint: Checkpoint, free: Callable[[int], None]) -> None:
    free(0)
    engine = VoxtralEngine(checkpoint, delay_ms=480)
    with warnings.catch_warnings(), pytest.raises(EngineError, match="single lane"):
        warnings.simplefilter("ignore", SpeedWarning)
        _ = engine.lanes
    engine.close()


def test_the_probe_leaves_nothing_behind(checkpoint: Checkpoint, free: Callable[[int], None]) -> None:
    """What it tried on is given back before the lanes are made."""
    free(int(9 * lane_bytes(checkpoint, LIVE.total_frames(20 * 16_000), 16) / CACHE_SHARE))
    Probe(checkpoint, LIVE, chunk_seconds=20).run()
    before = mx.get_active_memory()
    Probe(checkpoint, LIVE, chunk_seconds=20).run()
    assert mx.get_active_memory() <= before
