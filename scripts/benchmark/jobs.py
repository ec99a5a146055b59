"""What a contender is asked, and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

LONGEST_SECONDS = {"mlx-audio": 300, "voxmlx": 60}
"""What the peers are given at a time. mlx-audio stops after 4096 frames; voxmlx attends over all it
encodes, in memory that grows with the square of the length."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender is to do. `seconds`: only so much of the sound."""

    contender: str
    checkpoint: str
    sound: str  # .npy, float32 at 16 kHz
    delay_ms: int
    seconds: float
    lanes: int | None = None
    chunk_seconds: int | None = None
    cache_bits: int | None = None
    files: int = 1
    warm_up_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What an engine has done: `rows` counts a step once for each lane that carried a chunk,
    `padded_rows` once for each lane that was computed. The time spent decoding has the prompts in it."""

    encode_seconds: float
    decode_seconds: float
    steps: int
    rows: int
    padded_rows: int
    prompts: int = 0
    halvings: int = 0  # of the lanes, because memory ran out

    def since(self, earlier: Counters) -> Counters:
        """What was done after `earlier`."""
        before, after = asdict(earlier), asdict(self)
        return Counters(**{name: after[name] - before[name] for name in after})

    @property
    def busy_seconds(self) -> float:
        """How long the device was at work."""
        return self.encode_seconds + self.decode_seconds


@dataclass(frozen=True, slots=True)
class Heard:
    """What a contender did, with stretches of `chunk_seconds` at a time. Loading includes the probe by which
    subgen chooses lanes; it does not count in `seconds`."""

    load_seconds: float
    seconds: float
    audio_seconds: float
    chunk_seconds: float
    tokens: int
    step_seconds: float | None = None  # of a peer that tells: in single steps, after each prompt
    lanes: int = 1
    delay_ms: int = 0
    peak_bytes: int = 0
    device_peak_bytes: int = 0
    counters: Counters | None = None
