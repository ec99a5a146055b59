"""One contender in a process of its own: `python -m scripts.benchmark.contenders JOB.json`.

A contender is a function from a `Job` to a `Heard`. To add one: write it, and enter it in CONTENDERS.
All are given the same samples and the same weights, hear all of them (nobody stops at an
end-of-sequence token), and compute on the same BLAS.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmark.jobs import LONGEST_SECONDS, Counters, Heard, Job
from scripts.benchmark.shapes import stored
from scripts.benchmark.sound import write_wav
from subgen.model import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE, Chunk, Pcm

NO_TOKEN = -1
"""As the end-of-sequence token: random weights say any token."""
VOXMLX_DELAY_FRAMES = 6
"""480 ms: its padding is made for no other."""


def subgen(job: Job) -> Heard:
    """All chunks of `files` files at once."""
    from subgen.listening import balanced_seconds
    from subgen.speech.engine import transcribe
    from subgen.speech.voxtral.checkpoint import load
    from subgen.speech.voxtral.engine import VoxtralEngine

    start = time.perf_counter()
    engine = VoxtralEngine(
        load(job.checkpoint),
        delay_ms=job.delay_ms,
        lanes=job.lanes,
        chunk_seconds=job.chunk_seconds,
        cache_bits=job.cache_bits,
    )
    # The first use of the engine: it may probe the machine.
    seconds_each = job.chunk_seconds or balanced_seconds(
        job.files * round(job.seconds * 1000), engine.lanes, engine.chunk_seconds
    )
    chunks = list(cut(sound_of(job), seconds_each))
    loaded = time.perf_counter()
    if job.warm_up_seconds:
        first = Chunk(0, chunks[0].pcm[: round(job.warm_up_seconds * SAMPLE_RATE)])
        list(transcribe(engine, [first] * engine.lanes))
    before, began = counters(engine), time.perf_counter()
    with ThreadPoolExecutor(job.files) as pool:
        heard = list(pool.map(lambda _: list(transcribe(engine, chunks)), range(job.files)))
    seconds, after = time.perf_counter() - began, counters(engine)
    answer = Heard(
        load_seconds=loaded - start,
        seconds=seconds,
        audio_seconds=job.files * job.seconds,
        chunk_seconds=min(seconds_each, job.seconds),
        tokens=sum(len(chunk.frames) for file in heard for chunk in file),
        lanes=engine.lanes,
        delay_ms=job.delay_ms,
        counters=after.since(before),
    )
    engine.close()
    return answer


def counters(engine: Any) -> Counters:
    """What the engine has done so far."""
    return Counters(**{name: getattr(engine.work, name) for name in Counters.__dataclass_fields__})


def mlx_audio(job: Job) -> Heard:
    """Its own loading and `generate`, one stretch after another."""
    import mlx.core as mx
    from mlx_audio.stt.utils import load_model

    start = time.perf_counter()
    model = load_model(Path(job.checkpoint))
    model.config.eos_token_id = NO_TOKEN
    loaded = time.perf_counter()
    pieces = [chunk.pcm for chunk in cut(sound_of(job), _longest(job))]

    def generate(pcm: Pcm) -> tuple[int, float]:
        """Tokens, and the seconds spent on them after the prompt."""
        said = model.generate(mx.array(pcm), transcription_delay_ms=job.delay_ms)
        return said.generation_tokens, said.generation_tokens / said.generation_tps

    if job.warm_up_seconds:
        generate(pieces[0][: round(job.warm_up_seconds * SAMPLE_RATE)])
    began = time.perf_counter()
    said = [generate(pcm) for pcm in pieces]
    return Heard(
        load_seconds=loaded - start,
        seconds=time.perf_counter() - began,
        audio_seconds=job.seconds,
        chunk_seconds=min(_longest(job), job.seconds),
        tokens=sum(tokens for tokens, _ in said),
        step_seconds=sum(seconds for _, seconds in said),
        delay_ms=job.delay_ms,
    )


def voxmlx(job: Job) -> Heard:
    """Its model and `generate`, which reads files; the weights come from the same checkpoint."""
    try:
        from voxmlx.generate import generate
    except ImportError as error:
        raise SystemExit(f"voxmlx is not installed ({error}): ./scripts/set-up dev bench") from error
    from scripts.benchmark.voxmlx_weights import load

    start = time.perf_counter()
    model = load(Path(job.checkpoint))
    loaded = time.perf_counter()
    prompt = [1] + [32] * (32 + VOXMLX_DELAY_FRAMES)
    window = stored(Path(job.checkpoint)).shape.decoder_window

    def tokens_of(path: Path) -> int:
        said = generate(
            model, str(path), prompt, VOXMLX_DELAY_FRAMES, eos_token_id=NO_TOKEN, sliding_window=window
        )
        return len(said)

    with tempfile.TemporaryDirectory() as folder:
        pieces = [chunk.pcm for chunk in cut(sound_of(job), _longest(job))]
        files = [write_wav(Path(folder, f"{i}.wav"), pcm) for i, pcm in enumerate(pieces)]
        if job.warm_up_seconds:
            start_pcm = pieces[0][: round(job.warm_up_seconds * SAMPLE_RATE)]
            tokens_of(write_wav(Path(folder, "warm-up.wav"), start_pcm))
        began = time.perf_counter()
        tokens = sum(tokens_of(file) for file in files)
        return Heard(
            load_seconds=loaded - start,
            seconds=time.perf_counter() - began,
            audio_seconds=job.seconds,
            chunk_seconds=min(_longest(job), job.seconds),
            tokens=tokens,
            delay_ms=VOXMLX_DELAY_FRAMES * FRAME_MS,
        )


CONTENDERS = {"subgen": subgen, "mlx-audio": mlx_audio, "voxmlx": voxmlx}


def cut(pcm: Pcm, seconds: int) -> Iterator[Chunk]:
    """Chunks of equal length, the last one shorter; nothing is left out as silence."""
    samples = seconds * SAMPLE_RATE // FRAME_SAMPLES * FRAME_SAMPLES
    for first in range(0, len(pcm), samples):
        yield Chunk(first, pcm[first : first + samples])


def sound_of(job: Job) -> Pcm:
    """The samples that the job is about."""
    return np.asarray(np.load(job.sound)[: round(job.seconds * SAMPLE_RATE)])


def _longest(job: Job) -> int:
    return LONGEST_SECONDS[job.contender]


def peak_bytes() -> int:
    """The most memory that this process has held. Where Linux tells, from its status: what getrusage
    says there includes the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(path: Path) -> None:
    """Do the job in `path` and write the answer beside it."""
    import mlx.core as mx

    job = Job(**json.loads(path.read_text("utf-8")))
    heard = asdict(CONTENDERS[job.contender](job))
    heard |= {"peak_bytes": peak_bytes(), "device_peak_bytes": mx.get_peak_memory()}
    path.with_suffix(".answer").write_text(json.dumps(heard))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
