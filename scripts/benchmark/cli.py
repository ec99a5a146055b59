"""The commands of scripts/bench.py and their printing."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark import listening
from scripts.benchmark.compare import Failure, Plan, compare
from scripts.benchmark.jobs import LONGEST_SECONDS
from scripts.benchmark.limits import Limits, best, machine
from scripts.benchmark.plot import plot
from scripts.benchmark.rows import Row, against
from scripts.benchmark.shapes import ROOT, SAMPLE, SHAPES, stored
from scripts.benchmark.table import as_json, markdown
from scripts.benchmark.weights import provide
from subgen.speech.voxtral.geometry import FILE_DELAY_MS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

MOST_FOR_HALF = 0.60
"""What half-silent sound may cost at most, as a share of what fully spoken sound costs."""
QUICK = {"weights": ["small"], "audio": [1.0], "files": [1], "peer_seconds": 1.0, "patience": 60.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    chosen = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    return command(chosen)


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(
        prog="bench.py",
        description="Measure subgen against other programs for the same model, and against this machine.",
        epilog="Progress goes to stderr, tables to stdout. docs/benchmark.md says how to read them.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _compare_parser(commands)
    _silence_parser(commands)
    _film_parser(commands)
    made = commands.add_parser("weights", help="make the random checkpoint of a shape, and say where it is")
    made.add_argument("shape", choices=SHAPES)
    _folder(made)
    made.set_defaults(command=_weights)
    limits = commands.add_parser("limits", help="what this machine can do: products and memory")
    limits.add_argument("--dtype", choices=("F16", "BF16", "F32"), default="F16", help="of products on a GPU")
    limits.set_defaults(command=_limits)
    drawn = commands.add_parser("plot", help="draw what `compare --json` wrote (extra `bench`)")
    drawn.add_argument("json", type=Path)
    drawn.add_argument("picture", type=Path, help="its ending says in which format")
    drawn.set_defaults(command=_plot)
    return top


def _compare_parser(commands: Commands) -> None:
    p = commands.add_parser(
        "compare",
        help="subgen against mlx-audio and voxmlx: same audio, same weights, each in its own process",
        description="Lists are separated by commas; all combinations are measured.",
    )
    p.add_argument(
        "--weights", type=_list(str), default=["small"], metavar="W,W",
        help="small, medium, full (random, 4 bits), sample, or the folder of a checkpoint (small)",
    )  # fmt: skip
    p.add_argument("--audio", type=_list(float), default=[1.0], metavar="MIN,MIN", help="minutes (1)")
    p.add_argument(
        "--lanes", type=_list(int), default=[0], metavar="N,N", help="0: what subgen chooses itself (0)"
    )
    p.add_argument("--files", type=_list(int), default=[1], metavar="N,N", help="files at once (1)")
    p.add_argument(
        "--peers", type=_list(str), default=["mlx-audio", "voxmlx"], metavar="P,P",
        help="mlx-audio, voxmlx, or none (both)",
    )  # fmt: skip
    p.add_argument(
        "--peer-seconds", type=float, metavar="S",
        help="let peers hear only the first S seconds of each length: 4-bit weights on a CPU take them long",
    )  # fmt: skip
    p.add_argument(
        "--patience", type=float, default=3600, metavar="S", help="give up on a run after S seconds (3600)"
    )
    p.add_argument("--delay-ms", type=int, default=FILE_DELAY_MS, help="for all but voxmlx (2400)")
    p.add_argument("--chunk-seconds", type=int, help="subgen's chunks (what it chooses itself)")
    p.add_argument("--cache-bits", type=int, choices=(8, 16), help="subgen's (what it chooses itself)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE, too")
    p.add_argument(
        "--quick", action="store_true", help="a minute or two: small weights, 1 minute, 1 s for peers"
    )
    _folder(p)
    p.set_defaults(command=_compare)


def _silence_parser(commands: Commands) -> None:
    p = commands.add_parser(
        "silence", help="half-silent sound against fully spoken sound, from file to words"
    )
    p.add_argument("--model", type=Path, default=SAMPLE, help="the folder of a checkpoint (samples/tiny)")
    p.add_argument("--audio", type=float, default=10.0, metavar="MIN", help="minutes of each (10)")
    p.add_argument("--repeats", type=int, default=3, help="the fastest counts (3)")
    p.set_defaults(command=_silence)


def _film_parser(commands: Commands) -> None:
    p = commands.add_parser(
        "film", help="a long film from file to words, ffmpeg and speech detection included"
    )
    p.add_argument("--model", type=Path, default=SAMPLE, help="the folder of a checkpoint (samples/tiny)")
    p.add_argument("--audio", type=float, default=60.0, metavar="MIN", help="minutes (60)")
    p.add_argument("--profile", action="store_true", help="show where the time of the calling thread goes")
    p.set_defaults(command=_film)


def _folder(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir(), "subgen-bench"),
        help="where random checkpoints are kept, full takes 3.1 GB (below the temporary folder)",
    )  # fmt: skip


def _list(kind: Callable[[str], object]) -> Callable[[str], list[object]]:
    def parse(text: str) -> list[object]:
        return [kind(part) for part in text.split(",")]

    parse.__name__ = f"list of {kind.__name__}"  # argparse names it where it does not fit
    return parse


def _compare(chosen: argparse.Namespace) -> int:
    if chosen.quick:
        vars(chosen).update(QUICK)
    peers = [] if chosen.peers == ["none"] else chosen.peers
    if unknown := set(peers) - set(LONGEST_SECONDS):
        return _wrong(f"no such peer: {', '.join(sorted(unknown))}")
    plan = Plan(
        minutes=chosen.audio,
        lanes=[lanes or None for lanes in chosen.lanes],
        files=chosen.files,
        peers=peers,
        peer_seconds=chosen.peer_seconds,
        delay_ms=chosen.delay_ms,
        chunk_seconds=chosen.chunk_seconds,
        cache_bits=chosen.cache_bits,
        patience=chosen.patience,
    )
    checkpoints = [_checkpoint(name, chosen.folder) for name in chosen.weights]
    _say("limits of this machine")
    dtype = stored(checkpoints[0]).dtype
    before = _measured_limits(dtype)
    results: list[Row | Failure] = []
    for checkpoint in checkpoints:
        results += compare(checkpoint, plan, before, _say)
    _say("limits of this machine, again")
    limits = best(before, _measured_limits(dtype))
    results = [against(r, before, limits) if isinstance(r, Row) else r for r in results]
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(as_json(machine(), limits, results), indent=1) + "\n")
    print(markdown(machine(), limits, results))
    return int(not any(isinstance(r, Row) and r.contender == "subgen" for r in results))


def _checkpoint(name: str, folder: Path) -> Path:
    if name in SHAPES:
        _say(f"weights: {name}")
        return provide(name, folder)
    return SAMPLE if name == "sample" else Path(name)


def _measured_limits(dtype: str) -> Limits:
    """In a process of its own, so that nothing else holds the device or the memory."""
    command = [sys.executable, str(ROOT / "scripts/bench.py"), "limits", "--dtype", dtype]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Limits(**json.loads(said)["limits"])


def _limits(chosen: argparse.Namespace) -> int:
    from scripts.benchmark.limits import measure

    print(json.dumps({"machine": machine(), "limits": asdict(measure(chosen.dtype))}, indent=1))
    return 0


def _silence(chosen: argparse.Namespace) -> int:
    spoken, half = listening.silence(chosen.model, chosen.audio, chosen.repeats)
    for heard in (spoken, half):
        print(f"{heard.file}: {_listened(heard)}")
    ratio = half.seconds / spoken.seconds
    print(f"half-silent sound takes {ratio:.0%} of the time (at most {MOST_FOR_HALF:.0%})")
    return int(ratio > MOST_FOR_HALF)


def _film(chosen: argparse.Namespace) -> int:
    heard = listening.film(chosen.model, chosen.audio, profile=chosen.profile)
    print(f"{machine()}\n{_listened(heard)}")
    if heard.profile:
        print(heard.profile)
    return 0


def _listened(heard: listening.Listened) -> str:
    lines = [
        f"{heard.audio_seconds:.0f} s of audio in {heard.seconds:.1f} s, {heard.speed:.1f}x real time;"
        f" {heard.words} words, {heard.skipped_seconds:.0f} s skipped as silence,"
        f" {heard.peak_bytes / 2**30:.2f} GiB"
    ]
    lines += [f"  {name}: {value:.6g}" for name, value in heard.counters.items()]
    return "\n".join(lines)


def _weights(chosen: argparse.Namespace) -> int:
    print(provide(chosen.shape, chosen.folder))
    return 0


def _plot(chosen: argparse.Namespace) -> int:
    plot(json.loads(chosen.json.read_text("utf-8")), chosen.picture)
    return 0


def _wrong(message: str) -> int:
    print(f"bench.py: {message}", file=sys.stderr)
    return 2


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
