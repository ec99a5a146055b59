"""The rows of one comparison. Each contender runs in a process of its own, one after another."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmark.jobs import Counters, Heard, Job
from scripts.benchmark.limits import Limits
from scripts.benchmark.rows import Row, measured
from scripts.benchmark.shapes import ROOT, SAMPLE, stored
from scripts.benchmark.sound import noise, speech
from subgen.model import Pcm

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: all combinations of minutes, lanes and files; the peers once for each length."""

    minutes: Sequence[float]
    lanes: Sequence[int | None]
    files: Sequence[int]
    peers: Sequence[str]
    peer_seconds: float | None
    delay_ms: int
    chunk_seconds: int | None
    cache_bits: int | None
    patience: float  # seconds


@dataclass(frozen=True, slots=True)
class Failure:
    """A contender that gave no answer, and its last words."""

    weights: str
    contender: str
    minutes: float
    reason: str


def compare(checkpoint: Path, plan: Plan, limits: Limits, say: Say) -> Iterator[Row | Failure]:
    """Measure; peers first, so that each row of subgen can be set beside them."""
    content = stored(checkpoint)
    for minutes in plan.minutes:
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder, "sound.npy")
            np.save(sound, sound_for(checkpoint, minutes * 60))
            peers: dict[str, float] = {}
            for job in jobs(checkpoint, plan, sound, minutes, limits):
                say(f"{checkpoint.name}: {job.contender}, {job.seconds:g} s of audio, {lanes_of(job)}")
                answer = run(job, plan.patience)
                if isinstance(answer, str):
                    yield Failure(checkpoint.name, job.contender, minutes, answer)
                    continue
                row = measured(checkpoint.name, content, job, minutes, answer, limits, peers)
                if job.contender != "subgen":
                    peers[job.contender] = row.speed
                yield row


def sound_for(checkpoint: Path, seconds: float) -> Pcm:
    """Speech for the sample checkpoint, which understands it; varied sound for all others."""
    return speech(seconds) if checkpoint.resolve() == SAMPLE else noise(seconds)


def jobs(checkpoint: Path, plan: Plan, sound: Path, minutes: float, limits: Limits) -> Iterator[Job]:
    """All that is to run for one length of audio."""
    warm_up = 0.0 if limits.device.startswith("cpu") else 2.0  # a GPU's kernels are compiled at first use
    common = {
        "checkpoint": str(checkpoint),
        "sound": str(sound),
        "delay_ms": plan.delay_ms,
        "warm_up_seconds": warm_up,
    }
    for peer in plan.peers:
        seconds = min(minutes * 60, plan.peer_seconds or minutes * 60)
        yield Job(contender=peer, seconds=seconds, **common)  # type: ignore[arg-type]
    for lanes in plan.lanes:
        for files in plan.files:
            yield Job(
                contender="subgen", seconds=minutes * 60, lanes=lanes, files=files,
                chunk_seconds=plan.chunk_seconds, cache_bits=plan.cache_bits, **common,  # type: ignore[arg-type]
            )  # fmt: skip


def lanes_of(job: Job) -> str:
    """In words."""
    lanes = "1 lane" if job.contender != "subgen" else f"{job.lanes or 'chosen'} lanes"
    return f"{lanes}, {job.files} files at once" if job.files > 1 else lanes


def run(job: Job, patience: float) -> Heard | str:
    """The answer of a process that does `job`, or why there is none after `patience` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        path.write_text(json.dumps(asdict(job)))
        command = [sys.executable, "-m", "scripts.benchmark.contenders", str(path)]
        try:
            ended = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=patience
            )
        except subprocess.TimeoutExpired:
            return f"not done after {patience:g} s"
        answer = path.with_suffix(".answer")
        if ended.returncode or not answer.exists():
            return (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1]
        return heard_from(json.loads(answer.read_text()))


def heard_from(answer: dict[str, Any]) -> Heard:
    """What `contenders.main` wrote."""
    counted = answer.pop("counters")
    return Heard(**answer, counters=Counters(**counted) if counted else None)
