"""The story of one file, with real media, real files and a scripted engine."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import srt

from subgen.app import App, find_media
from subgen.errors import CheckpointMissing, EngineError, FramesLost
from subgen.listening import Progress
from subgen.media.audio import AudioReader
from subgen.media.probe import probe
from subgen.model import (
    FRAME_MS,
    SAMPLE_RATE,
    SAMPLES_PER_MS,
    Chunk,
    ChunkFrames,
    Failed,
    Outcome,
    Pcm,
    Skipped,
    Span,
    Transcript,
    Written,
)
from subgen.settings import Settings, load_settings
from subgen.speech.engine import Engine
from subgen.speech.faults import Babble, Cure, Deaf, Ends, Fails, Fault, Loop, Short
from subgen.speech.scripted import ScriptedEngine
from subgen.testing import word_errors
from tests.media_files import cut_off, ffmpeg, mux, write_wav

ROOT = Path(__file__).parents[2]
SENTENCE = "the quick brown fox jumps over the lazy dog and then it sleeps under a large old tree."
SCRIPT = [(word, 2000 + 400 * i) for i, word in enumerate(SENTENCE.split() * 13)]


def speech(seconds: int) -> Pcm:
    """Somebody who hardly draws breath: two sentences of the demo, over and over."""
    media = probe(ROOT / "samples/demo.mkv")
    with AudioReader(media, media.audio[0], start_ms=10_800, duration_ms=14_480) as reader:
        return np.resize(np.concatenate(list(reader)), seconds * SAMPLE_RATE)


@pytest.fixture(scope="module")
def spoken_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 s of speech with a pause, so that there is something to cut."""
    folder = tmp_path_factory.mktemp("film")
    pcm = speech(90)
    pcm[40 * SAMPLE_RATE : 41 * SAMPLE_RATE] = 0
    sound = write_wav(folder / "sound.wav", pcm, rate=SAMPLE_RATE)
    return mux(folder / "film.mkv", sound, video_seconds=90)


@pytest.fixture
def film(spoken_film: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(spoken_film, tmp_path))


def app(folder: Path, engine: Engine | None = None, **settings: object) -> App:
    chosen = load_settings(ROOT / "config/subgen.yaml", {}, {"state_dir": folder / "state", **settings})
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
    outcome = app(tmp_path, chunk_seconds=20).caption(film, on_progress=seen.append)
    assert isinstance(outcome, Skipped)
    assert seen[-1].heard_ms < 80_000


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


def forgetful() -> ScriptedEngine:
    """Loses the last frames of every chunk."""
    return ScriptedEngine(SCRIPT, faults=[Short(Span(0, 90_000), 50)])


class Altering(ScriptedEngine):
    """Says something else about the second chunk than what is so."""

    def __init__(self, **wrong: Any) -> None:
        super().__init__(SCRIPT)
        self._wrong = wrong

    def submit(self, chunk: Chunk, **how: Any) -> Future[ChunkFrames]:
        made = super().submit(chunk, **how)
        if not chunk.first_sample:
            return made
        altered: Future[ChunkFrames] = Future()
        altered.set_result(replace(made.result(), **self._wrong))
        return altered


@pytest.mark.parametrize(
    "engine",
    [forgetful(), Altering(first_sample=0), Altering(chunk_frames=100), Altering(lead_frames=1)],
    ids=["frames", "a chunk", "a chunk's end", "a chunk's beginning"],
)
def test_lost_frames_are_noticed_and_nothing_is_written(engine: Engine, film: Path, tmp_path: Path) -> None:
    outcome = app(tmp_path, engine).caption(film)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, FramesLost), outcome.error
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
    chant = [("la", 1000 + 150 * i + 1000 * (i // 20)) for i in range(140)]
    english = [(word, 30_000 + 250 * i) for i, word in enumerate(SENTENCE.split() * 13)]
    engine = ScriptedEngine([*chant, *english])
    outcome = written(app(tmp_path, engine, chunk_seconds=20).caption(film))
    assert outcome.language == "en"


class Watching(ScriptedEngine):
    """Loses frames, and looks whether `film` is being read."""

    def __init__(self, film: Path) -> None:
        super().__init__(SCRIPT, faults=[Short(Span(0, 90_000), 50)])
        self.film = film
        self.reads: list[bool] = []

    def submit(self, chunk: Chunk, **how: Any) -> Future[ChunkFrames]:
        self.reads.append(is_read(self.film))
        return super().submit(chunk, **how)


def is_read(film: Path) -> bool:
    return any(str(film).encode() in _read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc")
def test_whoever_stops_listening_stops_ffmpeg(film: Path, tmp_path: Path) -> None:
    engine = Watching(film)
    outcome = app(tmp_path, engine, chunk_seconds=5).caption(film)
    assert isinstance(outcome, Failed)
    assert engine.reads == [True]
    assert not is_read(film)


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
    broken = app(tmp_path, forgetful()).transcribe(film)
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


PAUSE = Span(24_000, 54_000)


@pytest.fixture(scope="module")
def halting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech, half a minute in which nobody speaks, and speech."""
    pcm = speech(80)
    pcm[PAUSE.start_ms * SAMPLES_PER_MS : PAUSE.end_ms * SAMPLES_PER_MS] = 0
    return write_wav(tmp_path_factory.mktemp("halting") / "halting.wav", pcm, rate=SAMPLE_RATE)


SAID = [(w, end) for w, end in SCRIPT if end <= PAUSE.start_ms or PAUSE.end_ms + 400 <= end <= 80_000]


def heard(
    film: Path, folder: Path, *faults: Fault, script: list[tuple[str, int]] = SAID, **settings: object
) -> tuple[Transcript, str]:
    """What is said of a film by an engine with faults, and the notes on it in one."""
    engine = ScriptedEngine(script, delay_ms=2400, faults=faults)
    made = app(folder, engine, **settings).transcribe(film).transcript()
    return made, "; ".join(made.notes)


def texts(made: Transcript) -> list[str]:
    return [word.text for word in made.words]


def test_long_silence_is_not_decoded_and_nothing_shifts(halting: Path, tmp_path: Path) -> None:
    skipping, notes = heard(halting, tmp_path)
    (skipped,) = skipping.account.skipped
    assert PAUSE.start_ms <= skipped.start_ms - 1000 <= PAUSE.start_ms + 500
    assert PAUSE.end_ms - 500 <= skipped.end_ms + 1000 <= PAUSE.end_ms + 500
    assert skipping.account.decoded_frames + skipped.duration_ms // FRAME_MS == 1000
    assert "has no speech and was not decoded" in notes
    all_of_it, notes = heard(halting, tmp_path, skip_silence_seconds=0)
    assert (all_of_it.account.skipped, all_of_it.account.decoded_frames, notes) == ((), 1000, "")
    assert texts(skipping) == texts(all_of_it) == [word for word, _ in SAID]
    late = [one.end_ms - other.end_ms for one, other in zip(skipping.words, all_of_it.words, strict=True)]
    assert max(map(abs, late)) <= 2 * FRAME_MS


def test_words_over_silence_are_dropped_and_counted(halting: Path, tmp_path: Path) -> None:
    babble = Babble(Span(30_000, 34_000), "thank you for watching")
    made, notes = heard(halting, tmp_path, babble, skip_silence_seconds=0)
    assert texts(made) == [word for word, _ in SAID]
    assert made.account.over_silence == 4
    assert "4 words over silence were dropped" in notes


@pytest.mark.parametrize("cure", ["start", "delay"])
def test_speech_without_words_is_decoded_again(halting: Path, tmp_path: Path, cure: Cure) -> None:
    made, notes = heard(halting, tmp_path, Deaf(Span(8_000, 14_000), cured_by=cure))
    assert texts(made) == [word for word, _ in SAID]
    assert (made.account.retried, made.account.repaired, made.account.uncovered) == (1, 1, ())
    assert "no words" not in notes


def test_what_stays_uncovered_is_told(halting: Path, tmp_path: Path) -> None:
    made, notes = heard(halting, tmp_path, Deaf(Span(8_000, 14_000)))
    assert texts(made) == [word for word, end in SAID if not 8_000 < end <= 14_000]
    (hole,) = made.account.uncovered
    assert 8_000 <= hole.start_ms <= 9_000
    assert 13_000 <= hole.end_ms <= 14_000
    assert (made.account.retried, made.account.repaired) == (1, 0)
    assert "1 stretch of speech has no words: 0:00:08 to 0:00:14" in notes


def test_a_loop_is_dropped_and_what_it_hid_is_heard_again(halting: Path, tmp_path: Path) -> None:
    made, notes = heard(halting, tmp_path, Loop(6_000, "again and", cured_by="start"))
    assert made.account.looped > 20
    assert "of a loop were dropped" in notes
    errors, _ = word_errors([word for word, _ in SAID], texts(made))
    assert errors <= 8  # the loop's first rounds stay
    assert not made.account.uncovered


def test_an_early_end_of_the_text_ends_nothing(halting: Path, tmp_path: Path) -> None:
    made, _ = heard(halting, tmp_path, Ends(5_000))
    assert texts(made) == [word for word, _ in SAID]


def test_a_chunk_that_fails_fails_the_file(halting: Path, tmp_path: Path) -> None:
    engine = ScriptedEngine(SAID, faults=[Fails(PAUSE)])
    outcome = app(tmp_path, engine, skip_silence_seconds=0).caption(halting)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, EngineError)
    assert not list(halting.parent.glob("*.srt"))


def test_a_run_up_doubles_and_loses_nothing(halting: Path, tmp_path: Path) -> None:
    plain, _ = heard(halting, tmp_path, chunk_seconds=10, lead_in_seconds=0)
    made, _ = heard(halting, tmp_path, chunk_seconds=10, lead_in_seconds=3)
    assert max(chunk.lead_frames for chunk in made.frames) == 38
    assert texts(made) == texts(plain) == [word for word, _ in SAID]
