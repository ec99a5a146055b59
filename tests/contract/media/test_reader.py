"""How an AudioReader behaves: pieces, ends, damage, errors, and the process behind it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from subgen.errors import (
    FfmpegMissing,
    MediaEncrypted,
    MediaError,
    MediaMissing,
    MediaUnreadable,
    NoAudio,
    NotMedia,
)
from subgen.media import decode
from subgen.media.audio import AudioReader, AudioReport
from subgen.media.probe import probe
from subgen.model import AudioTrack, MediaFile
from tests import media_files as make
from tests.contract.media.conftest import TIMES, Program


def reader_of(path: Path, **stretch: int) -> AudioReader:
    media = probe(path)
    return AudioReader(media, media.audio[0], **stretch)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every ffmpeg that a reader starts."""
    started: list[subprocess.Popen[bytes]] = []
    start = decode.start

    def recording(media: MediaFile, track: AudioTrack, start_ms: int) -> subprocess.Popen[bytes]:
        started.append(start(media, track, start_ms))
        return started[-1]

    monkeypatch.setattr(decode, "start", recording)
    return started


def assert_all_over(processes: list[subprocess.Popen[bytes]], count: int) -> None:
    assert len(processes) == count
    for process in processes:
        assert process.returncode is not None
        assert process.stdout is not None
        assert process.stdout.closed


def test_pieces_are_seconds_of_float32(films: dict[str, Path]) -> None:
    reader = reader_of(films["mkv"])
    pieces = list(reader)
    assert {piece.dtype for piece in pieces} == {np.dtype(np.float32)}
    assert {len(piece) for piece in pieces[:-1]} == {16_000}
    assert 0 < len(pieces[-1]) <= 16_000
    assert reader.report.samples == sum(map(len, pieces))


def test_reading_twice_gives_the_same(films: dict[str, Path]) -> None:
    reader = reader_of(films["ts"])
    np.testing.assert_array_equal(np.concatenate(list(reader)), np.concatenate(list(reader)))


def test_leaving_early_ends_ffmpeg(films: dict[str, Path], processes: list[subprocess.Popen[bytes]]) -> None:
    with reader_of(films["mp4"]) as reader:
        for _ in reader:
            break
    assert_all_over(processes, 1)
    assert reader.report == AudioReport(16_000)


def test_an_error_of_the_consumer_ends_ffmpeg(
    films: dict[str, Path], processes: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(ZeroDivisionError), reader_of(films["mp4"]) as reader:
        for _ in reader:
            1 / 0  # noqa: B018
    assert_all_over(processes, 1)


def test_the_end_and_a_new_beginning_end_ffmpeg(
    films: dict[str, Path], processes: list[subprocess.Popen[bytes]]
) -> None:
    reader = reader_of(films["mp4"])
    next(iter(reader))
    assert sum(map(len, reader)) > 0
    assert_all_over(processes, 2)


def test_leaving_early_does_not_wait_for_an_ffmpeg_that_hangs(
    films: dict[str, Path], program: Program, processes: list[subprocess.Popen[bytes]]
) -> None:
    reader = reader_of(films["mp4"])
    program("ffmpeg", "head -c 64000 /dev/zero; exec sleep 60")
    with reader:
        next(iter(reader))
    assert_all_over(processes, 1)
    assert processes[0].returncode == -9


def test_a_duration_ends_to_the_sample(films: dict[str, Path]) -> None:
    assert sum(map(len, reader_of(films["mkv"], duration_ms=1501))) == 1501 * 16
    assert sum(map(len, reader_of(films["mkv"], start_ms=2000, duration_ms=3))) == 48


@pytest.mark.parametrize("stated_ms", [9200, 10_000, 10_999])
def test_padding_after_the_end_that_the_file_states_is_left_out(
    films: dict[str, Path], stated_ms: int
) -> None:
    media = replace(probe(films["mkv"]), duration_ms=stated_ms)
    reader = AudioReader(media, media.audio[0])
    assert sum(map(len, reader)) == stated_ms * 16
    assert (reader.report.truncated, reader.report.notes) == (False, ())
    assert sum(map(len, AudioReader(media, media.audio[0], start_ms=8500))) == (stated_ms - 8500) * 16
    assert sum(map(len, AudioReader(media, media.audio[0], duration_ms=60_000))) == stated_ms * 16


def test_sound_that_goes_on_after_the_stated_end_is_read_and_told(films: dict[str, Path]) -> None:
    whole = np.concatenate(list(reader_of(films["mkv"])))
    media = replace(probe(films["mkv"]), duration_ms=3500)
    reader = AudioReader(media, media.audio[0])
    pieces = list(reader)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert {len(piece) for piece in pieces[:-1]} == {16_000}
    note = "the file says that it lasts 0:00:03, but its sound goes on; read to 0:00:11"
    assert (reader.report.truncated, reader.report.notes) == (False, (note,))
    assert sum(map(len, AudioReader(media, media.audio[0], duration_ms=4000))) == 4000 * 16


def test_a_guessed_duration_cuts_nothing_off(click_wav: Path, tmp_path: Path) -> None:
    media = probe(make.mux(tmp_path / "sound.aac", click_wav, codec="aac"))
    assert media.duration_ms < 10_500  # a guess from the bit rate, and wrong
    reader = AudioReader(media, media.audio[0])
    assert sum(map(len, reader)) / 16 == pytest.approx(11_000, abs=50)
    assert not reader.report.truncated


def test_behind_the_end_there_is_nothing(films: dict[str, Path]) -> None:
    reader = reader_of(films["mkv"], start_ms=60_000)
    assert list(reader) == []
    assert not reader.report.truncated


def test_sound_that_ends_before_the_picture_is_whole(tone_wav: Path, tmp_path: Path) -> None:
    reader = reader_of(make.mux(tmp_path / "film.mkv", tone_wav, video_seconds=20))
    assert sum(map(len, reader)) / 16 == pytest.approx(3000, abs=50)
    assert (reader.report.truncated, reader.report.notes) == (False, ())


def _assert_cut_short(path: Path) -> None:
    reader = reader_of(path)
    found = make.find_clicks(np.concatenate(list(reader)))
    expected = [1000 * t for t in TIMES][: len(found)]
    assert 2 < len(found) < 9
    np.testing.assert_allclose(found, expected, rtol=0, atol=101)
    assert reader.report.truncated
    assert reader.report.notes[-1].startswith("the file is cut short: its sound ends at 0:00:0")


def test_a_cut_mkv_is_read_as_far_as_it_goes(films: dict[str, Path], tmp_path: Path) -> None:
    _assert_cut_short(make.cut_off(tmp_path / "cut.mkv", films["mkv"], 0.6))


def test_a_cut_mp4_with_its_index_in_front_is_read_as_far_as_it_goes(
    films: dict[str, Path], tmp_path: Path
) -> None:
    fast = make.remux(tmp_path / "fast.mp4", films["mp4"], "-movflags", "+faststart")
    _assert_cut_short(make.cut_off(tmp_path / "cut.mp4", fast, 0.6))


@pytest.mark.parametrize("kind", ["mp3", "flac"])
def test_cut_sound_files_are_read_as_far_as_they_go(click_wav: Path, tmp_path: Path, kind: str) -> None:
    whole = make.mux(tmp_path / f"sound.{kind}", click_wav)
    _assert_cut_short(make.cut_off(tmp_path / f"cut.{kind}", whole, 0.6))


def test_an_mkv_that_ends_in_zeros_is_cut_short(films: dict[str, Path], tmp_path: Path) -> None:
    """As a copy that was interrupted leaves it where the space was reserved."""
    data = films["mkv"].read_bytes()
    path = tmp_path / "zeros.mkv"
    path.write_bytes(data[: len(data) * 6 // 10] + bytes(len(data) * 4 // 10))
    _assert_cut_short(path)


def test_what_is_no_number_becomes_silence(tmp_path: Path) -> None:
    pcm = make.tone(seconds=2, rate=16_000)
    pcm[5000:5010], pcm[6000] = np.nan, np.inf
    (tmp_path / "raw").write_bytes(pcm.astype("<f4").tobytes())
    shape = ["-f", "f32le", "-ar", "16000", "-ac", "1"]
    make.ffmpeg(*shape, "-i", tmp_path / "raw", "-c:a", "pcm_f32le", tmp_path / "nan.wav")
    heard = np.concatenate(list(reader_of(tmp_path / "nan.wav")))
    assert np.isfinite(heard).all()
    np.testing.assert_allclose(heard[10_000:20_000], pcm[10_000:20_000], atol=1e-4)


def test_a_track_that_is_not_there_any_more(films: dict[str, Path]) -> None:
    media = probe(films["ts"])
    with pytest.raises(NoAudio, match="audio track is gone"):
        list(AudioReader(media, replace(media.audio[0], index=7)))


def test_a_track_without_packets(films: dict[str, Path], tmp_path: Path) -> None:
    path = make.without_packets(tmp_path / "empty.mp4", films["mp4"], -10, 100)
    media = probe(films["mp4"])
    with pytest.raises(NoAudio, match=r"empty\.mp4"):
        list(AudioReader(replace(media, path=path), media.audio[0]))


def test_a_film_that_is_encrypted_after_all_is_not_read_as_noise(
    films: dict[str, Path], tmp_path: Path
) -> None:
    media = probe(films["mp4"])
    locked = replace(media, path=make.encrypted(tmp_path / "locked.mp4", films["mp4"]))
    with pytest.raises(NoAudio, match=r"nothing in its audio track can be decoded"):
        list(AudioReader(locked, media.audio[0]))


def test_the_file_may_be_gone_by_now(films: dict[str, Path], tmp_path: Path) -> None:
    media = replace(probe(films["mkv"]), path=tmp_path / "gone.mkv")
    with pytest.raises(MediaMissing, match=r"gone\.mkv"):
        list(AudioReader(media, media.audio[0]))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[error] file:x: Permission denied", MediaUnreadable),
        ("[error] file:x: Invalid data found when processing input", NotMedia),
        ("[error] The track is encrypted", MediaEncrypted),
        ("[error] Decoder (codec ac4) not found for input stream #0:1", NoAudio),
        ("[error] something new", NoAudio),
    ],
)
def test_what_ffmpeg_says_becomes_an_error_of_ours(
    films: dict[str, Path], program: Program, said: str, kind: type[MediaError]
) -> None:
    reader = reader_of(films["mkv"])
    program("ffmpeg", f"echo '{said}' >&2; exit 1")
    with pytest.raises(kind) as caught:
        list(reader)
    assert caught.value.way_out


def test_reading_that_fails_midway_is_cut_short(films: dict[str, Path], program: Program) -> None:
    reader = reader_of(films["mkv"])
    program("ffmpeg", "head -c 736000 /dev/zero; kill -9 $$")  # half a second before the end
    assert sum(map(len, reader)) == 184_000
    assert reader.report.truncated


def test_much_talk_on_stderr_blocks_nothing(films: dict[str, Path], program: Program) -> None:
    reader = reader_of(films["mkv"])
    talk = "head -c 3000000 /dev/zero | tr '\\0' 'x' >&2"
    program("ffmpeg", f"{talk}; head -c 128000 /dev/zero; {talk}; head -c 64000 /dev/zero; {talk}")
    assert [len(piece) for piece in reader] == [16_000] * 3


def test_without_ffmpeg(films: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(films["mkv"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FfmpegMissing, match=r"ffmpeg is not installed .*brew install ffmpeg"):
        list(reader)


def test_names_mean_nothing_to_ffmpeg(
    tone_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("-i %d: caf\udce9.wav")
    path.write_bytes(tone_wav.read_bytes())
    assert sum(map(len, reader_of(path))) == 48_000


def test_a_track_is_read_by_its_index(tone_wav: Path, click_wav: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    make.ffmpeg("-i", tone_wav, "-i", click_wav, "-map", "0", "-map", "1", "-c:a", "flac", path)
    media = probe(path)
    assert sum(map(len, AudioReader(media, media.audio[0]))) == 48_000
    assert len(make.find_clicks(np.concatenate(list(AudioReader(media, media.audio[1]))))) == 10
