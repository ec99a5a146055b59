"""The story of one file, with real media, real files and a scripted engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import srt

from subgen.app import App, find_media
from subgen.errors import CheckpointMissing, FramesLost
from subgen.listening import Progress
from subgen.model import Chunk, ChunkFrames, Failed, Outcome, Skipped, Written
from subgen.settings import Settings, load_settings
from subgen.speech.engine import Engine
from subgen.speech.scripted import ScriptedEngine
from tests.media_files import RATE, cut_off, ffmpeg, mux, write_wav

SENTENCE = "the quick brown fox jumps over the lazy dog and then it sleeps under a large old tree."
SCRIPT = [(word, 2000 + 400 * i) for i, word in enumerate(SENTENCE.split() * 13)]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """90 s of noise with quieter places, so that there is something to cut."""
    rng = np.random.default_rng(1)
    pcm = rng.standard_normal(90 * RATE).astype(np.float32) * np.float32(0.1)
    pcm[40 * RATE : 41 * RATE] = 0
    sound = write_wav(tmp_path / "sound.wav", pcm)
    return mux(tmp_path / "film.mkv", sound, video_seconds=90)


def app(folder: Path, engine: Engine | None = None, **settings: object) -> App:
    chosen = load_settings(
        Path(__file__).parents[2] / "config/subgen.yaml", {}, {"state_dir": folder / "state", **settings}
    )
    return App(chosen, make_engine=lambda _: engine or ScriptedEngine(SCRIPT))


def written(outcome: Outcome) -> Written:
    assert isinstance(outcome, Written), outcome
    return outcome


def test_words_cues_and_language(film: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    outcome = written(app(tmp_path).caption(film, on_progress=seen.append))
    assert outcome.language == "en"
    assert outcome.paths == (film.with_name("film.en.srt"),)
    assert outcome.words == len([word for word, end in SCRIPT if end <= 90_000])
    assert seen[0].heard_ms == 0
    assert [p.heard_ms for p in seen] == sorted(p.heard_ms for p in seen)
    assert seen[-1].heard_ms == pytest.approx(90_000, abs=160)
    cues = list(srt.parse(outcome.paths[0].read_text("utf-8")))
    text = " ".join(cue.content for cue in cues).split()
    spoken = " ".join(word for word, end in SCRIPT if end <= 90_000).split()
    assert text == spoken  # across the seam of two chunks, too


def test_two_runs_write_the_same(film: Path, tmp_path: Path) -> None:
    first = written(app(tmp_path, formats=["json"]).caption(film)).paths[0].read_bytes()
    second = (
        written(app(tmp_path, formats=["json"], output_dir=tmp_path / "o").caption(film))
        .paths[0]
        .read_bytes()
    )
    assert first == second


def test_what_is_there_is_kept_and_the_rest_is_written(film: Path, tmp_path: Path) -> None:
    theirs = film.with_name("film.en.srt")
    theirs.write_text("mine")
    outcome = written(app(tmp_path, formats=["srt", "vtt"], language="en").caption(film))
    assert [p.name for p in outcome.paths] == ["film.en.vtt"]
    assert "film.en.srt" in " ".join(outcome.notes)
    assert theirs.read_text() == "mine"


def test_a_known_language_spares_the_work(film: Path, tmp_path: Path) -> None:
    film.with_name("film.en.srt").write_text("mine")

    def no_engine(_: Settings) -> Engine:
        raise AssertionError("the engine was loaded for nothing")

    chosen = load_settings(None, {"SUBGEN_STATE_DIR": str(tmp_path / "s")}, {"language": "en"})
    outcome = App(chosen, make_engine=no_engine).caption(film)
    assert isinstance(outcome, Skipped)
    assert "film.en.srt" in outcome.reason


def test_a_language_found_on_the_way_spares_the_rest(film: Path, tmp_path: Path) -> None:
    film.with_name("film.en.srt").write_text("mine")
    seen: list[Progress] = []
    outcome = app(tmp_path).caption(film, on_progress=seen.append)
    assert isinstance(outcome, Skipped)
    assert seen[-1].heard_ms < 89_000


def test_overwrite_replaces_ours_only(film: Path, tmp_path: Path) -> None:
    target = written(app(tmp_path).caption(film)).paths[0]
    other = ScriptedEngine([(w.upper(), t) for w, t in SCRIPT])
    replaced = written(app(tmp_path, other, overwrite=True, language="en").caption(film))
    assert "FOX" in replaced.paths[0].read_text()
    target.write_text("edited")
    assert isinstance(app(tmp_path, overwrite=True, language="en").caption(film), Skipped)
    assert target.read_text() == "edited"


def test_a_truncated_film_says_so(film: Path, tmp_path: Path) -> None:
    torn = cut_off(tmp_path / "torn.mkv", film, 0.5)
    outcome = written(app(tmp_path).caption(torn))
    assert outcome.duration_ms < 80_000
    assert any("torn.mkv" in n or "truncated" in n or "ends" in n for n in outcome.notes), outcome.notes


@pytest.mark.parametrize("name", ["none.mkv", "text.mkv"])
def test_failures_are_values(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("no film")
    outcome = app(tmp_path).caption(tmp_path / name)
    assert isinstance(outcome, Failed)
    assert name in str(outcome.error)


class Forgetful(ScriptedEngine):
    """Loses the last frames of every chunk."""

    def transcribe(
        self, chunks: Iterable[Chunk], heard: Callable[[int], None] = lambda _: None
    ) -> Iterator[ChunkFrames]:
        for made in super().transcribe(chunks, heard):
            yield ChunkFrames(made.first_sample, made.chunk_frames, made.frames[:100])


class Skipping(ScriptedEngine):
    """Loses every second chunk."""

    def transcribe(
        self, chunks: Iterable[Chunk], heard: Callable[[int], None] = lambda _: None
    ) -> Iterator[ChunkFrames]:
        yield from list(super().transcribe(chunks, heard))[::2]


@pytest.mark.parametrize("engine", [Forgetful(SCRIPT), Skipping(SCRIPT)], ids=["frames", "chunks"])
def test_lost_frames_are_noticed_and_nothing_is_written(engine: Engine, film: Path, tmp_path: Path) -> None:
    outcome = app(tmp_path, engine, chunk_seconds={"min": 20, "max": 40}).caption(film)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, FramesLost)
    assert not list(tmp_path.glob("film.*.srt"))


def test_no_checkpoint_is_a_failure_of_the_file(film: Path, tmp_path: Path) -> None:
    def missing(_: Settings) -> Engine:
        raise CheckpointMissing("nowhere", "put it there")

    chosen = load_settings(None, {"SUBGEN_STATE_DIR": str(tmp_path / "s")}, {})
    outcome = App(chosen, make_engine=missing).caption(film)
    assert isinstance(outcome, Failed)


def found_in(path: Path) -> tuple[list[str], list[OSError]]:
    unreadable: list[OSError] = []
    found = [p.as_posix() for p, _ in find_media(path, frozenset({".mkv", ".mp4"}), unreadable.append)]
    return found, unreadable


def test_folders_are_searched_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.mkv", "a/c.MP4", ".hidden/d.mkv", "a/._c.mp4", "a/text.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert found_in(tmp_path) == ([f"{tmp_path}/b.mkv", f"{tmp_path}/a/c.MP4"], [])


def test_a_named_file_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    assert found_in(tmp_path / "x.bin") == ([f"{tmp_path}/x.bin"], [])


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "film.mkv").touch()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, unreadable = found_in(tmp_path)
    assert found == [f"{tmp_path}/film.mkv"]
    assert [error.filename for error in unreadable] == [f"{tmp_path}/locked"]


def test_the_tree_is_mirrored_below_the_output_folder(tmp_path: Path, film: Path) -> None:
    deep = tmp_path / "films/series/one.mkv"
    deep.parent.mkdir(parents=True)
    film.rename(deep)
    outcome = written(app(tmp_path, output_dir=tmp_path / "out").caption(deep, root=tmp_path / "films"))
    assert outcome.paths == (tmp_path / "out/series/one.en.srt",)


def test_the_same_name_twice_in_one_run_is_no_overwriting(film: Path, tmp_path: Path) -> None:
    other = film.with_suffix(".mka")
    shutil.copy(film, other)
    running = app(tmp_path, overwrite=True, language="en")
    written(running.caption(film))
    outcome = running.caption(other)
    assert isinstance(outcome, Failed)
    assert "another file" in str(outcome.error)


def test_one_early_doubt_does_not_settle_the_language(film: Path, tmp_path: Path) -> None:
    chant = [("la", 1000 + 150 * i) for i in range(180)]
    english = [(word, 30_000 + 250 * i) for i, word in enumerate(SENTENCE.split() * 13)]
    engine = ScriptedEngine([*chant, *english])
    outcome = written(app(tmp_path, engine, chunk_seconds={"min": 20, "max": 40}).caption(film))
    assert outcome.language == "en"


def test_whoever_stops_listening_stops_ffmpeg(film: Path, tmp_path: Path) -> None:
    outcome = app(tmp_path, Forgetful(SCRIPT), chunk_seconds={"min": 5, "max": 10}).caption(film)
    assert isinstance(outcome, Failed)
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(film).encode() in _read(p)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_choice_among_tracks_is_told(film: Path, tmp_path: Path) -> None:
    two = tmp_path / "two.mkv"
    ffmpeg("-i", film, "-map", "0:a", "-map", "0:a", "-c", "copy", "-metadata:s:a:1", "language=deu", two)
    outcome = written(app(tmp_path, audio_languages=["de"]).caption(two))
    assert "audio track 2 of 2" in outcome.notes[0]


def test_half_a_film_never_looks_like_a_whole_one(film: Path, tmp_path: Path) -> None:
    broken = app(tmp_path, Forgetful(SCRIPT)).transcribe(film)
    with pytest.raises(FramesLost):
        list(broken)
    with pytest.raises(FramesLost, match="not heard to its end"):
        broken.transcript()


def test_a_model_that_cannot_be_loaded_is_tried_once(film: Path, tmp_path: Path) -> None:
    tries: list[Settings] = []

    def missing(settings: Settings) -> Engine:
        tries.append(settings)
        raise CheckpointMissing("nowhere", "put it there")

    chosen = load_settings(None, {"SUBGEN_STATE_DIR": str(tmp_path / "s")}, {})
    running = App(chosen, make_engine=missing)
    assert all(isinstance(running.caption(film), Failed) for _ in range(3))
    assert len(tries) == 1
