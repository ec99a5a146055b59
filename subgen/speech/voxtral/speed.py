"""How many lanes, how long chunks and which cache suit this machine: tried once, then remembered.

A pass over more lanes shares one reading of the weights and costs little more, until arithmetic or
memory sets the limit; and MLX changes its kernels with the number of rows, so that 12 lanes may be
faster than 8. So passes are timed as they will be run, on a ladder of lanes.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from subgen.errors import EngineError
from subgen.model import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE
from subgen.speech.voxtral.checkpoint import Checkpoint
from subgen.speech.voxtral.device import SpeedWarning, device, memory_limit_bytes, mlx_version
from subgen.speech.voxtral.geometry import COMMON_FRAMES, Geometry
from subgen.speech.voxtral.lanes import ROOM_STEP, Beginnings, Encoded, Lanes
from subgen.speech.voxtral.rings import SMALLEST_GROUP, group_size

LADDER = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)
CHUNK_SECONDS = (60, 45, 30, 20)
USUAL_SECONDS = 30
CACHE_SHARE = 0.6
"""Of the memory that is free when the weights are loaded; encoding and the system need the rest."""
PASSES = 3
ENCODED_SECONDS = 5
SLOW_MS = 100.0
SLOW_LADDER = (1, 16, 32, 48, 64, 96, 128)
UNKNOWN_BYTES = 2_000_000_000
"""What is taken to be free where nobody tells."""
WORTH = 1.03
"""What must at least be won for shorter chunks or a coarser cache."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A pass over `lanes`, with caches half full of chunks of `chunk_seconds`."""

    lanes: int
    chunk_seconds: int
    cache_bits: int
    step_ms: float
    realtime: float
    """Seconds of audio decoded in a second; encoding comes on top."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What was chosen, and the rungs it was chosen from."""

    lanes: int
    chunk_seconds: int
    cache_bits: int
    ladder: tuple[Rung, ...] = ()
    encode_realtime: float | None = None
    pipelined: bool = True

    @property
    def realtime(self) -> float | None:
        """Seconds of audio in a second, encoded and decoded, with all lanes busy; None: not measured."""
        chosen = (self.lanes, self.chunk_seconds, self.cache_bits)
        for rung in self.ladder:
            if (rung.lanes, rung.chunk_seconds, rung.cache_bits) == chosen and self.encode_realtime:
                return 1 / (1 / rung.realtime + 1 / self.encode_realtime)
        return None

    @property
    def step_ms(self) -> dict[int, float]:
        """How long a pass takes with so many lanes."""
        return {
            rung.lanes: rung.step_ms for rung in reversed(self.ladder) if rung.cache_bits == self.cache_bits
        }


def chosen_speed(
    checkpoint: Checkpoint,
    geometry: Geometry,
    lanes: int | None = None,
    chunk_seconds: int | None = None,
    cache_bits: int | None = None,
    *,
    file: Path | None = None,
    fresh: bool = False,
) -> Speed:
    """What is given, and for the rest what `file` remembers, unless `fresh`, or a probe finds."""
    if lanes:
        bits = cache_bits or 16
        return Speed(lanes, chunk_seconds or _longest_seconds(checkpoint, geometry, lanes, bits), bits)
    key = f"{device()}, mlx {mlx_version()}, {checkpoint.identity}, {chunk_seconds}, {cache_bits}"
    known = None if fresh else _read(file, key)
    if known is None:
        text = f"{checkpoint.name}: trying, this once, how many pieces at a time suit this machine"
        warnings.warn(text, SpeedWarning, stacklevel=2)
        known = Probe(checkpoint, geometry, chunk_seconds, cache_bits).run()
        _write(file, key, known)
    return known


class Probe:
    """Times passes on the ladder. Only for the thread that MLX belongs to."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        geometry: Geometry,
        chunk_seconds: int | None = None,
        cache_bits: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._checkpoint = checkpoint
        self._geometry = geometry
        self._seconds = (chunk_seconds,) if chunk_seconds else CHUNK_SECONDS
        self._bits = cache_bits
        self._clock = clock
        self._beginnings = Beginnings(checkpoint)
        self._room_bytes = int(_free_bytes() * CACHE_SHARE)
        self._rungs: list[Rung] = []

    def run(self) -> Speed:
        """Climb the ladder while it pays, then try other chunk lengths and caches at the best rung.

        Raises `EngineError` where there is no room for a single lane.
        """
        bits = self._bits or 16
        usual = next((s for s in self._usual_first() if self._fits(1, s, bits)), None)
        if usual is None:
            raise EngineError(
                f"{self._checkpoint.name}: there is no memory left for a single lane",
                "close other programs, or use a smaller checkpoint",
            )
        self._climb(usual, bits)
        best = best_rung(self._rungs)
        for seconds in self._seconds:
            # Where a pass takes long, it takes about as long with other chunks: the longest will do.
            if seconds != usual and self._try(best.lanes, seconds, best.cache_bits) and self._is_slow:
                break
        if self._bits is None and not device().is_cpu and takes_eight_bits(self._checkpoint):
            # 8-bit products crawl on a CPU; elsewhere a smaller cache is less to read, and leaves room.
            self._climb(best.chunk_seconds, 8, [n for n in LADDER if n >= best.lanes])
        best = best_rung(self._rungs)
        pipelined = self._is_worth_pipelining(best)
        encoded = self._encode_realtime(best.chunk_seconds)
        mx.clear_cache()
        ladder = sorted(self._rungs, key=lambda rung: (rung.cache_bits != best.cache_bits, rung.lanes))
        return Speed(best.lanes, best.chunk_seconds, best.cache_bits, tuple(ladder), encoded, pipelined)

    @property
    def _is_slow(self) -> bool:
        """Whether a pass over one lane takes so long that not every rung can be tried."""
        return bool(self._rungs) and self._rungs[0].step_ms > SLOW_MS

    def _climb(self, seconds: int, bits: int, ladder: Iterable[int] = LADDER) -> None:
        best, worse = 0.0, 0
        fitting = [lanes for lanes in ladder if self._fits(lanes, seconds, bits)]
        for lanes in fitting:
            if self._is_slow and lanes not in SLOW_LADDER and lanes != fitting[-1]:
                continue
            rung = self._try(lanes, seconds, bits)
            if rung is None:
                break
            worse = worse + 1 if rung.realtime < best else 0
            best = max(best, rung.realtime)
            if worse == (1 if self._is_slow else 3):
                break

    def _usual_first(self) -> tuple[int, ...]:
        """Chunk lengths to climb with: the usual one, else shorter ones."""
        return self._seconds if len(self._seconds) == 1 else (USUAL_SECONDS, *CHUNK_SECONDS[-1:])

    def _fits(self, lanes: int, seconds: int, bits: int) -> bool:
        return lanes * lane_bytes(self._checkpoint, self._positions(seconds), bits) <= self._room_bytes

    def _try(self, lanes: int, seconds: int, bits: int) -> Rung | None:
        """Time a rung; None where it does not fit."""
        if not self._fits(lanes, seconds, bits):
            return None
        try:
            step = self._timed(lanes, seconds, bits)
        except RuntimeError:  # MLX ran out of memory all the same
            mx.clear_cache()
            return None
        frames = seconds * 1000 // FRAME_MS
        rows = self._positions(seconds) - COMMON_FRAMES
        realtime = lanes * frames / rows * FRAME_MS / 1000 / step
        self._rungs.append(Rung(lanes, seconds, bits, round(step * 1000, 3), round(realtime, 3)))
        return self._rungs[-1]

    def _is_worth_pipelining(self, rung: Rung) -> bool:
        """Whether a pass gains by following on one that still runs; not if MLX then copies the rings."""
        if device().is_cpu:
            return False
        alone = self._timed(rung.lanes, rung.chunk_seconds, rung.cache_bits, pipelined=False)
        return alone * 1000 > rung.step_ms

    def _timed(self, lanes: int, seconds: int, bits: int, *, pipelined: bool = True) -> float:
        """Seconds of a pass, the fastest of a few; the caches as full as those of lanes at all places are.

        One that takes long is timed once: what disturbs it is short.
        """
        tried = Lanes(self._checkpoint, self._beginnings, cache_bits=bits, pipelined=pipelined)
        positions = self._positions(seconds)
        tried.rearrange([None] * lanes, positions)
        width = self._checkpoint.model.decoder.config.dim
        audio = mx.zeros((positions - COMMON_FRAMES, width), tried.dtype)
        for lane in range(lanes):
            tried.begin(lane, Encoded(audio, self._geometry), positions - 3 * PASSES)
        mx.eval(tried.run(1))  # the first pass allocates
        fastest = self._seconds_of(tried, 1)
        if fastest * 1000 < SLOW_MS:
            fastest = min(fastest, *(self._seconds_of(tried, PASSES) for _ in range(2)))
        return fastest

    def _seconds_of(self, lanes: Lanes, passes: int) -> float:
        began = self._clock()
        mx.eval(lanes.run(passes))
        return (self._clock() - began) / passes

    def _encode_realtime(self, seconds: int) -> float:
        """Seconds of audio encoded in a second, the padding of chunks of `seconds` included."""
        pcm = np.zeros(ENCODED_SECONDS * SAMPLE_RATE, np.float32)
        mx.eval(self._beginnings.encode(pcm[:FRAME_SAMPLES], self._geometry).audio)
        began = self._clock()
        mx.eval(self._beginnings.encode(pcm, self._geometry).audio)
        a_frame = (self._clock() - began) / (self._positions(ENCODED_SECONDS) - COMMON_FRAMES)
        return round(seconds / ((self._positions(seconds) - COMMON_FRAMES) * a_frame), 3)

    def _positions(self, seconds: int) -> int:
        return self._geometry.total_frames(seconds * SAMPLE_RATE)


def best_rung(rungs: Iterable[Rung]) -> Rung:
    """The fastest; of those nearly as fast, the finer cache, then longer chunks, then fewer lanes."""
    rungs = list(rungs)
    fast = max(rung.realtime for rung in rungs) / WORTH
    return max(
        (rung for rung in rungs if rung.realtime >= fast),
        key=lambda rung: (rung.cache_bits, rung.chunk_seconds, -rung.lanes),
    )


def lane_bytes(checkpoint: Checkpoint, positions: int, cache_bits: int) -> int:
    """What one lane's keys and values take, for a stream of `positions`."""
    decoder: Any = checkpoint.model.decoder
    config = decoder.config
    numbers = 2 * len(decoder.layers) * config.n_kv_heads * config.head_dim
    wide = decoder.norm.weight.dtype.size
    # In 8 bits there are a scale and an offset besides, for each group.
    per_number = 1 + 2 * wide / group_size(config.head_dim) if cache_bits == 8 else wide
    room = min(-(-positions // ROOM_STEP) * ROOM_STEP, config.sliding_window)
    return int(room * numbers * per_number)


def takes_eight_bits(checkpoint: Checkpoint) -> bool:
    """Whether the heads can be divided into groups that share a scale."""
    return bool(checkpoint.model.decoder.config.head_dim % SMALLEST_GROUP == 0)


def _longest_seconds(checkpoint: Checkpoint, geometry: Geometry, lanes: int, cache_bits: int) -> int:
    """The longest chunks for which so many lanes have room; the shortest where none does."""
    room = _free_bytes() * CACHE_SHARE
    for seconds in CHUNK_SECONDS:
        positions = geometry.total_frames(seconds * SAMPLE_RATE)
        if lanes * lane_bytes(checkpoint, positions, cache_bits) <= room:
            return seconds
    return CHUNK_SECONDS[-1]


def _free_bytes() -> int:
    limit = memory_limit_bytes()
    if limit is None:
        return UNKNOWN_BYTES
    return limit - mx.get_active_memory() if device().kind == "metal" else limit


def _read(file: Path | None, key: str) -> Speed | None:
    """What is remembered under `key`; None where there is nothing, or nothing to be made out."""
    try:
        known = json.loads(file.read_text("utf-8"))[key] if file else None
        if known is None:
            return None
        ladder = tuple(Rung(**rung) for rung in known.pop("ladder"))
        speed = Speed(**known, ladder=ladder)
        return speed if _is_plausible(speed) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_plausible(speed: Speed) -> bool:
    """Whether it can have been written by `_write`: nobody's edit shall bring the engine down."""
    rungs: list[Speed | Rung] = [speed, *speed.ladder]
    whole = all(type(n) is int for r in rungs for n in (r.lanes, r.chunk_seconds, r.cache_bits))
    if not whole or not all(isinstance(rung.step_ms, int | float) for rung in speed.ladder):
        return False
    within = all(1 <= r.lanes <= 256 and 1 <= r.chunk_seconds <= 600 for r in rungs)
    return within and all(rung.cache_bits in {8, 16} for rung in rungs)


def _write(file: Path | None, key: str, speed: Speed) -> None:
    """Remember `speed`. A folder that cannot be written costs a probe each time, and no more."""
    if file is None:
        return
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    known = (known if isinstance(known, dict) else {}) | {key: asdict(speed)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(known, indent=1), "utf-8")
        partial.replace(file)
    except OSError:
        return
