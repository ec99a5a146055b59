"""What the command prints, and when."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from subgen import cli
from subgen.cli import Display
from subgen.errors import MediaMissing
from subgen.listening import Progress
from subgen.model import Failed, MediaFile, Skipped, Written

FILM = MediaFile(Path("film.mkv"), 1, 1, 600_000, "matroska", ())


class Screen(io.StringIO):
    """A terminal, as far as a stream can be."""

    def isatty(self) -> bool:
        return True


def progress(heard_ms: int) -> Progress:
    return Progress(FILM, heard_ms, FILM.duration_ms)


def test_a_bar_on_a_terminal_with_position_speed_and_time_left() -> None:
    now = iter([100.0, 110.0, 120.0])
    screen = Screen()
    with Display(Path("film.mkv"), quiet=False, stream=screen, clock=lambda: next(now)) as display:
        display.show(progress(60_000))
        display.show(progress(300_000))
    printed = screen.getvalue()
    assert "film.mkv" in printed
    assert "1:00 of 10:00, 6.0 x real time, 1:30 left" in printed
    assert "5:00 of 10:00, 15.0 x real time, 0:20 left" in printed


def test_plain_lines_elsewhere_and_not_too_many() -> None:
    now = [0.0]
    stream = io.StringIO()
    with Display(Path("film.mkv"), quiet=False, stream=stream, clock=lambda: now[0]) as display:
        for second, heard_ms in ((0, 0), (1, 0), (2, 10_000), (40, 80_000), (41, 90_000)):
            now[0] = second
            display.show(progress(heard_ms))
    assert stream.getvalue().splitlines() == [
        "film.mkv: 0:00 of 10:00",
        "film.mkv: 1:20 of 10:00, 2.0 x real time, 4:20 left",
    ]


def test_quiet_says_nothing() -> None:
    stream = Screen()
    with Display(Path("film.mkv"), quiet=True, stream=stream) as display:
        display.show(progress(80_000))
    assert stream.getvalue() == ""


def test_written_paths_go_to_stdout_and_all_else_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    done = Written(FILM.path, (Path("film.en.srt"),), "en", 1, 1, 1, ("levelled 3 s",))
    cli._report(done, quiet=False)
    cli._report(Skipped(FILM.path, "there already"), quiet=False)
    cli._report(Failed(FILM.path, MediaMissing("film.mkv: no such file", "check the name")), quiet=True)
    printed = capsys.readouterr()
    assert printed.out == "film.en.srt\n"
    assert "levelled 3 s" in printed.err
    assert "skipped film.mkv: there already" in printed.err
    assert "subgen: film.mkv: no such file: check the name" in printed.err


def test_the_summary_counts() -> None:
    done = Written(FILM.path, (), "en", 1, 1, 1)
    failed = Failed(FILM.path, MediaMissing("x"))
    assert cli._summary([done, done, Skipped(FILM.path, "x"), failed]) == "2 written, 1 skipped, 1 failed"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61, "1:01"), (3725.4, "1:02:05")])
def test_clock(seconds: float, text: str) -> None:
    assert cli._clock(seconds) == text


def test_only_what_was_said_overrides_settings() -> None:
    options = cli.build_parser().parse_args(["transcribe", "x", "--format", "srt,vtt"])
    assert cli._overrides(options) == {"formats": ["srt", "vtt"]}
