"""The command as a user meets it: statuses, one-line errors, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.media_files import cut_off, ffmpeg

ROOT = Path(__file__).parents[2]
TINY, DEMO = str(ROOT / "samples/tiny"), ROOT / "samples/demo.mkv"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose settings and memory are this test's own."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("SUBGEN_")}
    folders = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    return {**keep, **folders, "SUBGEN_MODEL": TINY, "SUBGEN_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """The first 12 s of the demo."""
    folder = tmp_path / "films"
    folder.mkdir()
    ffmpeg("-i", DEMO, "-t", "12", "-c", "copy", folder / "clip.mkv")
    return folder / "clip.mkv"


def subgen(*arguments: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "subgen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd=ROOT)


def test_written_then_skipped_then_overwritten_but_never_what_was_edited(
    clip: Path, home: dict[str, str]
) -> None:
    subtitle = clip.with_name("clip.en.srt")
    first = subgen("transcribe", clip, env=home)
    assert (first.returncode, first.stdout.strip()) == (0, str(subtitle))
    made = subtitle.read_text()
    again = subgen("transcribe", clip, env=home)
    assert again.returncode == 0
    assert "skipped" in again.stderr
    replaced = subgen("transcribe", clip, "--overwrite", "--delay-ms", "480", env=home)
    assert (replaced.returncode, replaced.stdout.strip()) == (0, str(subtitle))
    subtitle.write_text(made + "\nmine\n")
    edited = subgen("transcribe", clip, "--overwrite", env=home)
    assert edited.returncode == 0
    assert "skipped" in edited.stderr
    assert subtitle.read_text().endswith("mine\n")
    assert not list(clip.parent.glob(".*"))


def test_a_folder_with_a_bad_file_does_the_good_ones_and_fails(clip: Path, home: dict[str, str]) -> None:
    (clip.parent / "broken.mkv").write_bytes(b"nothing")
    done = subgen("transcribe", clip.parent, env=home)
    assert done.returncode == 1
    assert clip.with_name("clip.en.srt").exists()
    assert "broken.mkv" in done.stderr
    assert "1 written, 0 skipped, 1 failed" in done.stderr


def test_a_truncated_file_is_transcribed_as_far_as_it_goes(clip: Path, home: dict[str, str]) -> None:
    torn = cut_off(clip.with_name("torn.mkv"), clip, 0.6)
    done = subgen("transcribe", torn, "--language", "en", env=home)
    assert done.returncode == 0
    assert torn.with_name("torn.en.srt").stat().st_size > 50
    assert "torn.mkv: " in done.stderr


def test_a_film_without_speech_gets_no_words(tmp_path: Path, home: dict[str, str]) -> None:
    film = tmp_path / "tone.mkv"
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=300:duration=15", "-c:a", "flac", film)
    done = subgen("transcribe", film, "--format", "json", "--language", "en", env=home)
    assert done.returncode == 0
    assert '"words": []' in film.with_name("tone.en.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["transcribe", "nowhere.mkv"], 1, "nowhere.mkv"),
        (["transcribe", "README.md"], 1, "README.md"),
        (["transcribe", "nowhere.mkv", "--format", "sub"], 2, "srt"),
        (["transcribe", "nowhere.mkv", "--delay-ms", "500"], 2, "2400"),
        (["transcribe"], 2, "PATH"),
        (["transcribe", "samples/demo.mkv", "--track", "7"], 1, "track"),
        (["transcribe", "samples/demo.mkv", "--model", "./nowhere"], 1, "no such folder"),
        (["nonsense"], 2, "transcribe"),
        (["doctor", "--config", "nowhere.yaml"], 2, "nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], status: int, words: str, home: dict[str, str], tmp_path: Path
) -> None:
    extra = ["--output-dir", str(tmp_path / "out")] if arguments[0] == "transcribe" else []
    done = subgen(*arguments, *extra, env=home)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_interrupt_leaves_nothing_half_written(home: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    # A test run in the background has its interrupts switched off: switch them on again.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        " from subgen.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "transcribe", str(DEMO), "--output-dir", str(out)]
    process = subprocess.Popen(command, env=home, stderr=subprocess.PIPE, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not _has_child(process.pid) and time.monotonic() < deadline:  # ffmpeg runs: in the middle of it
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"stopped" in printed
    assert not out.exists() or not list(out.iterdir())


def _has_child(pid: int) -> bool:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if children.exists():
        return bool(children.read_text().strip())
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False).returncode == 0


def test_help_needs_no_model_and_no_mlx() -> None:
    loaded = "print('mlx' in sys.modules, 'numpy' in sys.modules)"
    code = f"import sys, subgen.cli; subgen.cli.build_parser().format_help(); {loaded}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_doctor_finds_everything(home: dict[str, str]) -> None:
    done = subgen("doctor", env=home)
    assert done.returncode == 0
    for name in ("ffmpeg", "ffprobe", "MLX", "checkpoint", "disk"):
        assert name in done.stdout


def test_doctor_fails_without_ffmpeg(home: dict[str, str]) -> None:
    done = subgen("doctor", env={**home, "PATH": ""})
    assert done.returncode == 1
    assert "apt-get install ffmpeg" in done.stdout
