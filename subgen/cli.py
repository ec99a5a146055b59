"""Commands and their printing; nothing else prints."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from subgen import __version__
from subgen.errors import SubgenError, UsageError

if TYPE_CHECKING:
    from subgen.listening import Progress
    from subgen.model import Outcome, Written

PLAIN_EVERY_S = 30.0
BAR = "{desc}: {percentage:3.0f}%|{bar}| "


def build_parser() -> argparse.ArgumentParser:
    """Every command and option."""
    parser = argparse.ArgumentParser(
        prog="subgen", description="Subtitles next to your videos, made on your own machine."
    )
    parser.add_argument("--version", action="version", version=f"subgen {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    transcribe = commands.add_parser("transcribe", help="write the subtitles of files and folders")
    transcribe.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a media file, or a folder of them"
    )
    transcribe.add_argument("--format", metavar="F[,F]", help="srt, vtt, json, tokens (default: srt)")
    transcribe.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="write here and not beside the media"
    )
    transcribe.add_argument("--language", metavar="L", help="what is spoken, such as en (default: found out)")
    transcribe.add_argument("--track", type=int, metavar="N", help="listen to the Nth audio track, from 1")
    transcribe.add_argument(
        "--delay-ms", type=int, metavar="N", help="80 to 1200 in steps of 80, or 2400 (default)"
    )
    transcribe.add_argument(
        "--overwrite",
        action="store_true",
        default=None,
        help="replace what subgen wrote and nobody edited since",
    )
    transcribe.add_argument("--quiet", action="store_true", help="print only what went wrong")
    _common(transcribe)

    doctor = commands.add_parser("doctor", help="check ffmpeg, MLX, BLAS, the checkpoint and the disk")
    doctor.add_argument(
        "--speed", action="store_true", help="also try how many pieces at once this machine does best"
    )
    _common(doctor)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="a checkpoint's folder, or its id on the hub")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings (default: subgen.yaml in the user's config folder)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 well, 1 something failed, 2 wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path is printed as it is, whatever the terminal and the name are encoded in.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    options = build_parser().parse_args(argv)
    warnings.showwarning = _say_warning
    try:
        return {"transcribe": _transcribe, "doctor": _doctor}[options.command](options)
    except UsageError as error:
        print(f"subgen: {error}", file=sys.stderr)
        return 2
    except SubgenError as error:
        print(f"subgen: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("subgen: stopped", file=sys.stderr)
        return 130


def _say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line, for warnings of ours; those of libraries are for developers."""
    del filename, lineno, line
    if category.__module__.startswith("subgen."):
        print(f"subgen: {message}", file=file or sys.stderr)


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """What was said on the command line, as settings."""
    given: dict[str, Any] = {"model": options.model}
    if options.command == "transcribe":
        formats = options.format.split(",") if options.format is not None else None
        given |= {
            "formats": formats,
            "output_dir": options.output_dir,
            "language": options.language,
            "delay_ms": options.delay_ms,
            "overwrite": options.overwrite,
        }
    return {key: value for key, value in given.items() if value is not None}


def _transcribe(options: argparse.Namespace) -> int:
    from subgen.app import App
    from subgen.settings import load_settings

    app = App(load_settings(options.config, os.environ, _overrides(options)))
    found, all_read = _find(options.paths, frozenset(app.settings.media_extensions))
    outcomes = []
    for path, root in found.items():
        with Display(path, quiet=options.quiet) as display:
            outcome = app.caption(path, track=options.track, root=root, on_progress=display.show)
        outcomes.append(outcome)
        _report(outcome, quiet=options.quiet)
    if len(outcomes) > 1 and not options.quiet:
        print(_summary(outcomes), file=sys.stderr)
    return 0 if all_read and not any(_failed(outcome) for outcome in outcomes) else 1


def _find(paths: Sequence[Path], extensions: frozenset[str]) -> tuple[dict[Path, Path | None], bool]:
    """Each file once, with the folder it was found under; and whether every folder could be read."""
    from subgen.app import find_media

    found: dict[Path, Path | None] = {}
    unreadable: list[OSError] = []
    for path in paths:
        before = len(unreadable)
        media = dict(find_media(path, extensions, unreadable.append))
        if not media and len(unreadable) == before:
            print(f"subgen: {path}: no media in this folder", file=sys.stderr)
        found |= media
    for error in unreadable:
        print(
            f"subgen: {error.filename}: cannot be read ({error.strerror}): check its permissions",
            file=sys.stderr,
        )
    return found, not unreadable


def _doctor(options: argparse.Namespace) -> int:
    from subgen.doctor import examine, speed_table
    from subgen.settings import load_settings

    settings = load_settings(options.config, os.environ, _overrides(options))
    well = True
    for check in examine(settings):
        mark = {True: "ok", False: "FAILS", None: "look"}[check.ok]
        way_out = f": {check.way_out}" if check.way_out else ""
        print(f"{mark:5}  {check.name:10}  {check.detail}{way_out}")
        well = well and check.ok is not False
    if well and options.speed:
        for line in speed_table(settings):
            print(line)
    return 0 if well else 1


def _failed(outcome: Outcome) -> bool:
    from subgen.model import Failed

    return isinstance(outcome, Failed)


def _report(outcome: Outcome, *, quiet: bool) -> None:
    from subgen.model import Failed, Written

    if isinstance(outcome, Failed):
        print(f"subgen: {outcome.error}", file=sys.stderr)
    elif quiet:
        return
    elif isinstance(outcome, Written):
        for path in outcome.paths:
            print(path)
        for note in [*_pace(outcome), *outcome.notes]:
            print(f"  {outcome.media.name}: {note}", file=sys.stderr)
    else:
        print(f"skipped {outcome.media}: {outcome.reason}", file=sys.stderr)


def _pace(written: Written) -> list[str]:
    """How fast it went, in one line."""
    if written.pace is None:
        return []
    seconds, idle = written.pace.seconds, written.pace.device_idle
    text = f"{_clock(written.duration_ms / 1000)} in {_clock(seconds)}"
    text += f", {written.duration_ms / 1000 / seconds:.1f} x real time"
    return [text if idle is None else f"{text}, the device idle for {idle:.0%} of it"]


def _summary(outcomes: Sequence[Outcome]) -> str:
    from subgen.model import Written

    written = sum(isinstance(o, Written) for o in outcomes)
    failed = sum(_failed(o) for o in outcomes)
    return f"{written} written, {len(outcomes) - written - failed} skipped, {failed} failed"


class Display:
    """One file's progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(
        self,
        path: Path,
        *,
        quiet: bool,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = path.name
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._clock = clock
        self._began = clock()
        self._shown: float | None = None
        self._bar: Any = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress) -> None:
        """Position, speed and time left, after one more stretch of `progress`."""
        if self._quiet:
            return
        if self._stream.isatty():
            self._show_bar(progress)
        elif self._shown is None or self._clock() - self._shown >= PLAIN_EVERY_S:
            self._shown = self._clock()
            print(f"{self._name}: {self._line(progress)}", file=self._stream, flush=True)

    def _show_bar(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=progress.duration_ms, desc=self._name, bar_format=BAR, file=self._stream, leave=False
            )
        self._bar.n = min(progress.heard_ms, progress.duration_ms)
        self._bar.bar_format = BAR + self._line(progress)
        self._bar.refresh()

    def _line(self, progress: Progress) -> str:
        position, whole = _clock(progress.heard_ms / 1000), _clock(progress.duration_ms / 1000)
        if not progress.heard_ms:
            return f"{position} of {whole}"
        speed = progress.heard_ms / 1000 / max(self._clock() - self._began, 1e-3)
        left = max(progress.duration_ms - progress.heard_ms, 0) / 1000 / speed
        return f"{position} of {whole}, {speed:.1f} x real time, {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
