"""Decoded sample i is at presentation time i / 16000, whatever the container does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from subgen.media.audio import AudioReader, AudioReport
from subgen.media.probe import probe
from subgen.model import Pcm
from tests import media_files as make
from tests.contract.media.conftest import TIMES

CONTAINERS = ["mkv", "mp4", "ts"]
WITHIN_MS = 20


def read(path: Path, *, start_ms: int = 0, duration_ms: int | None = None) -> tuple[Pcm, AudioReport]:
    media = probe(path)
    reader = AudioReader(media, media.audio[0], start_ms=start_ms, duration_ms=duration_ms)
    return np.concatenate(list(reader)), reader.report


def assert_clicks(pcm: Pcm, expected_s: list[float], within_ms: float = WITHIN_MS) -> None:
    found = make.find_clicks(pcm)
    assert len(found) == len(expected_s)
    np.testing.assert_allclose(found, np.array(expected_s) * 1000, rtol=0, atol=within_ms)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_sound_that_starts_late(late_films: dict[str, Path], kind: str) -> None:
    pcm, report = read(late_films[kind])
    assert_clicks(pcm, [4.2 + t for t in TIMES], within_ms=2)
    assert report == AudioReport(len(pcm), truncated=False, notes=())


@pytest.mark.parametrize("kind", CONTAINERS)
def test_two_seconds_of_packets_missing(films: dict[str, Path], tmp_path: Path, kind: str) -> None:
    pcm, report = read(make.without_packets(tmp_path / f"gap.{kind}", films[kind], 4.2, 6.2))
    heard = [t for t in TIMES if not 4.2 <= t + 0.1 <= 6.2]
    assert_clicks(pcm, [0.1 + t for t in heard])
    (note,) = report.notes
    assert note.startswith("2.0 s of sound are missing at about 0:00:0")


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("factor", [1.02, 0.98])
def test_a_clock_that_drifts(films: dict[str, Path], tmp_path: Path, kind: str, factor: float) -> None:
    pcm, report = read(make.stretched(tmp_path / f"drift.{kind}", films[kind], factor))
    assert_clicks(pcm, [(0.1 + t) * factor for t in TIMES])
    assert report.notes == ()


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_picture_of_unknown_size_keeps_the_clock(
    click_wav: Path, late_films: dict[str, Path], tmp_path: Path, codec: str
) -> None:
    """As where a recording begins after the only packet that tells the size of the picture."""
    film, without = late_films["ts"], ["-bsf:v", "filter_units=remove_types=7-8"]
    if codec == "mpeg4":  # with a global header, which a transport stream leaves out
        film, without = tmp_path / "film.mp4", []
        picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=25:duration=18"]
        make.ffmpeg(*picture, "-itsoffset", "4.2", "-i", click_wav, "-c:v", codec, "-c:a", "mp2", film)
    path = make.remux(tmp_path / "film.ts", film, *without)
    pcm, report = read(path)
    assert_clicks(pcm, [4.2 + t for t in TIMES])
    assert report == AudioReport(len(pcm), truncated=False, notes=())


def test_a_second_sound_track_without_packets(late_films: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "film.ts"
    silent = ["-f", "lavfi", "-i", "sine=duration=2", "-map", "0", "-map", "1"]
    coded = ["-c", "copy", "-c:a:1", "ac3", "-bsf:a:1", "noise=drop=1"]
    make.ffmpeg("-i", late_films["ts"], *silent, *coded, path)
    assert [t.channels for t in probe(path).audio] == [1, 0]
    assert_clicks(read(path)[0], [4.2 + t for t in TIMES])


def test_an_edit_list(films: dict[str, Path], tmp_path: Path) -> None:
    """Cut at 3.3 s without recoding: MP4 keeps the picture from its last key frame on and hides it."""
    cut = make.remux(tmp_path / "edit.mp4", films["mp4"], before=["-ss", "3.3"])
    pcm, _ = read(cut)
    assert_clicks(pcm, [0.1 + t - 3.3 for t in TIMES if t > 3.3])


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "m4a"])
def test_files_without_a_picture(click_wav: Path, tmp_path: Path, kind: str) -> None:
    path = click_wav if kind == "wav" else make.mux(tmp_path / f"sound.{kind}", click_wav)
    pcm, report = read(path)
    assert_clicks(pcm, TIMES, within_ms=2)
    assert len(pcm) / 16 == pytest.approx(11_000, abs=50)
    assert not report.truncated


def test_a_cover_picture_is_left_alone(click_wav: Path, tmp_path: Path) -> None:
    cover = ["-f", "lavfi", "-i", "testsrc=size=32x32:duration=0.04", "-map", "0", "-map", "1"]
    path = tmp_path / "cover.mp3"
    make.ffmpeg("-i", click_wav, *cover, "-c:v", "mjpeg", "-disposition:v", "attached_pic", path)
    assert_clicks(read(path)[0], TIMES, within_ms=2)


@pytest.mark.parametrize("picture", [False, True])
def test_a_second_sound_track_does_not_move_the_clock(click_wav: Path, tmp_path: Path, picture: bool) -> None:
    """The one that is not chosen begins first, and the clock of a file begins with its first stream."""
    path = tmp_path / "two.ts"
    sounds = ["-itsoffset", "1.5", "-i", str(click_wav), "-itsoffset", "0.1", "-i", str(click_wav)]
    film = ["-itsoffset", "0.5", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=25:duration=3", "-map", "2"]
    make.ffmpeg(*sounds, *(film if picture else []), "-map", "0", "-map", "1", "-c:a", "mp2", path)
    pcm, _ = read(path)
    priming = 0.01  # with which the encoder begins the other track, and so the file
    assert_clicks(pcm, [1.4 + priming + t for t in TIMES], within_ms=2)


@pytest.mark.parametrize(
    ("later_s", "told"), [(60, "jump by +"), (-12, "jump by -"), (5, "s of sound are missing at")]
)  # fmt: skip
def test_a_splice_is_told(films: dict[str, Path], tmp_path: Path, later_s: float, told: str) -> None:
    """Right up to the splice; after it ffmpeg does its best, and the report says where that begins."""
    second = make.remux(tmp_path / "second.ts", films["ts"], "-output_ts_offset", str(12 + later_s))
    pcm, report = read(make.joined(tmp_path / "spliced.ts", films["ts"], second))
    found = make.find_clicks(pcm)
    assert len(found) == 20
    np.testing.assert_allclose(found[:10], [1000 * t + 100 for t in TIMES], rtol=0, atol=WITHIN_MS)
    after = 12_100 + (later_s * 1000 if later_s == 5 else 0)
    np.testing.assert_allclose(found[10:], [1000 * t + after for t in TIMES], rtol=0, atol=250)
    (note,) = [note for note in report.notes if told in note]
    assert "at about 0:00:11" in note


@pytest.mark.parametrize("source", ["late_films", "films"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_piece_alone_is_the_same_stretch(request: pytest.FixtureRequest, source: str, kind: str) -> None:
    path = request.getfixturevalue(source)[kind]
    whole, _ = read(path)
    for start_ms in (500, 2000, 6317):
        piece, report = read(path, start_ms=start_ms, duration_ms=4250)
        assert report.samples == len(piece) == 4250 * 16
        expected = [at - start_ms for at in make.find_clicks(whole) if 0 <= at - start_ms < 4240]
        np.testing.assert_allclose(make.find_clicks(piece), expected, rtol=0, atol=1)


@pytest.mark.parametrize("kind", ["mp3", "flac", "m4a"])
def test_a_piece_of_a_file_without_a_picture(click_wav: Path, tmp_path: Path, kind: str) -> None:
    pcm, _ = read(make.mux(tmp_path / f"sound.{kind}", click_wav), start_ms=3300)
    assert_clicks(pcm, [t - 3.3 for t in TIMES if t > 3.3], within_ms=2)


def level_db(pcm: Pcm) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(pcm[16_000:32_000] ** 2))))


@pytest.mark.parametrize(("kind", "codec"), [("wav", None), ("mkv", "ac3"), ("mp4", "aac")])
def test_the_centre_of_surround_keeps_its_level(
    surround_wav: Path, tone_wav: Path, tmp_path: Path, kind: str, codec: str | None
) -> None:
    path = surround_wav
    if codec:
        path = make.mux(tmp_path / f"surround.{kind}", surround_wav, video_seconds=3, codec=codec)
    assert level_db(read(path)[0]) == pytest.approx(level_db(read(tone_wav)[0]), abs=1)


def test_the_same_sound_in_two_channels_is_as_loud_as_in_one(tone_wav: Path, tmp_path: Path) -> None:
    both = np.stack([make.tone(seconds=3, level=0.99)] * 2, axis=1)
    one = make.write_wav(tmp_path / "one.wav", make.tone(seconds=3, level=0.99))
    stereo, mono = read(make.write_wav(tmp_path / "two.wav", both))[0], read(one)[0]
    np.testing.assert_allclose(stereo, mono, atol=1e-4)
    assert np.abs(stereo).max() <= 1
