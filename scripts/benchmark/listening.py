"""The whole way, from a media file to its words, in a process of its own:
`python -m scripts.benchmark.listening JOB.json`.
"""

from __future__ import annotations

import cProfile
import io
import json
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.benchmark.contenders import counters, peak_bytes
from scripts.benchmark.shapes import ROOT
from scripts.benchmark.sound import half_silent, speech, write_film, write_wav
from subgen.app import App
from subgen.settings import load_settings

PROFILE_LINES = 30


@dataclass(frozen=True, slots=True)
class Listened:
    """One file, from the start of ffmpeg to the last word; the model was loaded before."""

    file: str
    audio_seconds: float
    seconds: float
    words: int
    skipped_seconds: float
    counters: dict[str, Any]
    peak_bytes: int
    profile: str = ""

    @property
    def speed(self) -> float:
        """In seconds of audio a second of time."""
        return self.audio_seconds / self.seconds


def silence(checkpoint: Path, minutes: float, repeats: int) -> tuple[Listened, Listened]:
    """Fully spoken sound, and the same with every second minute silent; the faster of `repeats` each."""
    with tempfile.TemporaryDirectory() as folder:
        pcm = speech(minutes * 60)
        spoken = write_wav(Path(folder, "spoken.wav"), pcm)
        half = write_wav(Path(folder, "half-silent.wav"), half_silent(pcm))
        heard = run(checkpoint, [spoken, half] * repeats)
    best = [min((h for h in heard if h.file == file.name), key=_seconds) for file in (spoken, half)]
    return best[0], best[1]


def film(checkpoint: Path, minutes: float, *, profile: bool) -> Listened:
    """The sample film over and over, for so many minutes."""
    with tempfile.TemporaryDirectory() as folder:
        return run(checkpoint, [write_film(Path(folder, "film.mkv"), minutes * 60)], profile=profile)[0]


def run(checkpoint: Path, files: Sequence[Path], *, profile: bool = False) -> list[Listened]:
    """Have another process listen to `files`, one after the other with one engine."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        job = {"checkpoint": str(checkpoint), "files": [str(f) for f in files], "profile": profile}
        path.write_text(json.dumps(job))
        subprocess.run([sys.executable, "-m", "scripts.benchmark.listening", str(path)], cwd=ROOT, check=True)
        return [Listened(**answer) for answer in json.loads(path.with_suffix(".answer").read_text())]


def main(path: Path) -> None:
    """Do the job in `path` and write the answer beside it."""
    job = json.loads(path.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as state:
        app = App(load_settings(None, {}, {"model": job["checkpoint"], "state_dir": state}))
        with tempfile.TemporaryDirectory() as folder:  # what happens at the first file only is not measured
            listen(app, write_wav(Path(folder, "first.wav"), speech(60)), profile=False)
        heard = [listen(app, Path(file), profile=job["profile"]) for file in job["files"]]
        app.engine().close()
    path.with_suffix(".answer").write_text(json.dumps([asdict(h) for h in heard]))


def listen(app: App, file: Path, *, profile: bool) -> Listened:
    """Hear one file."""
    profiler = cProfile.Profile()
    before, start = counters(app.engine()), time.perf_counter()
    if profile:
        profiler.enable()
    transcript = app.transcribe(file).transcript()
    profiler.disable()
    seconds, after = time.perf_counter() - start, counters(app.engine())
    return Listened(
        file=file.name,
        audio_seconds=transcript.duration_ms / 1000,
        seconds=seconds,
        words=len(transcript.words),
        skipped_seconds=sum(span.duration_ms for span in transcript.account.skipped) / 1000,
        counters=asdict(after.since(before)),
        peak_bytes=peak_bytes(),
        profile=_hottest(profiler) if profile else "",
    )


def _hottest(profiler: cProfile.Profile) -> str:
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(PROFILE_LINES)
    return text.getvalue()


def _seconds(heard: Listened) -> float:
    return heard.seconds


if __name__ == "__main__":
    main(Path(sys.argv[1]))
