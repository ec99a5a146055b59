from __future__ import annotations

import os
from pathlib import Path

import pytest

from subgen.errors import FfmpegMissing, MediaEncrypted, MediaMissing, MediaUnreadable, NotMedia
from subgen.media.probe import probe
from tests import media_files as make
from tests.contract.media.conftest import Program


@pytest.mark.parametrize(
    ("kind", "container", "codec"),
    [("mkv", "matroska,webm", "flac"), ("mp4", "mov,mp4,m4a,3gp,3g2,mj2", "aac"), ("ts", "mpegts", "mp2")],
)
def test_a_film(late_films: dict[str, Path], kind: str, container: str, codec: str) -> None:
    path = late_films[kind]
    media = probe(path)
    assert (media.path, media.container, media.video_index) == (path, container, 0)
    assert media.size_bytes == path.stat().st_size
    assert media.mtime_ns == path.stat().st_mtime_ns
    assert media.duration_ms == pytest.approx(18_000, abs=50)
    (track,) = media.audio
    assert (track.index, track.codec, track.channels) == (1, codec, 1)
    assert track.start_ms == pytest.approx(4200, abs=25)  # the packets begin with the encoder's priming


@pytest.fixture(scope="module")
def rich(folder: Path, tone_wav: Path) -> Path:
    """A Matroska file with everything that a track can say."""
    text = folder / "lines.srt"
    text.write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    sounds = [
        ("language=ger", "title=Stereo", "default+original"),
        ("language=fre", "title=Doublage", "dub"),
        ("language=eng", "title=Director's Commentary", "0"),
        ("language=spa", "title=", "comment"),
        ("language=por", "title=Audio Description", "0"),
        ("language=und", "title=", "visual_impaired+hearing_impaired"),
    ]
    texts = [
        ("language=chi", "title=Signs & Songs", "0"),
        ("language=hin", "title=SDH", "forced"),
        ("language=nld", "title=Kommentar", "default+hearing_impaired"),
    ]
    maps = ["-map", "0", *["-map", "1"] * len(sounds), *["-map", "2"] * len(texts)]
    options = [
        option
        for letter, tracks in (("a", sounds), ("s", texts))
        for n, (language, title, flags) in enumerate(tracks)
        for stream in [f"{letter}:{n}"]
        for option in (
            f"-metadata:s:{stream}",
            language,
            f"-metadata:s:{stream}",
            title,
            f"-disposition:{stream}",
            flags,
        )
    ]
    picture = ["-f", "lavfi", "-i", "testsrc=size=32x32:rate=5:duration=3"]
    path = folder / "rich.mkv"
    codecs = ["-c:v", "mpeg4", "-c:a", "flac", "-c:s:0", "ass", "-c:s:1", "srt", "-c:s:2", "srt"]
    make.ffmpeg(*picture, "-i", tone_wav, "-i", text, *maps, *codecs, *options, path)
    return path


def test_what_audio_tracks_say(rich: Path) -> None:
    audio = probe(rich).audio
    assert [t.index for t in audio] == [1, 2, 3, 4, 5, 6]
    assert [t.language for t in audio] == ["de", "fr", "en", "es", "pt", None]
    assert [t.title for t in audio][:2] == ["Stereo", "Doublage"]
    assert [t.is_default for t in audio] == [True, False, False, False, False, False]
    assert [t.is_original for t in audio] == [True, False, False, False, False, False]
    assert [t.is_dub for t in audio][:2] == [False, True]
    assert [t.is_commentary for t in audio] == [False, False, True, True, False, False]
    assert [t.is_visual_impaired for t in audio] == [False, False, False, False, True, True]
    assert [t.is_hearing_impaired for t in audio] == [False] * 5 + [True]
    assert [t.language_is_weak for t in audio] == [False, False, True, False, False, False]


def test_what_subtitle_tracks_say(rich: Path) -> None:
    subtitles = probe(rich).subtitles
    assert [t.codec for t in subtitles] == ["ass", "subrip", "subrip"]
    assert [t.language for t in subtitles] == ["zh", "hi", "nl"]
    assert [t.is_text for t in subtitles] == [True] * 3
    assert [t.is_forced for t in subtitles] == [True, True, False]
    assert [t.is_hearing_impaired for t in subtitles] == [False, True, True]
    assert [t.is_commentary for t in subtitles] == [False, False, True]
    assert [t.is_default for t in subtitles] == [False, False, True]


def test_matroska_without_a_language_reads_as_english_and_is_weak(tone_wav: Path, tmp_path: Path) -> None:
    path = make.mux(tmp_path / "film.mkv", tone_wav, options=["-metadata:s:a:0", "language=fre"])
    element, void = b"\x22\xb5\x9c\x83fre", b"\xec\x85" + bytes(5)
    data = path.read_bytes()
    assert data.count(element) == 1
    path.write_bytes(data.replace(element, void))
    (track,) = probe(path).audio
    assert (track.language, track.language_is_weak) == ("en", True)


def test_english_in_mp4_is_meant(tone_wav: Path, tmp_path: Path) -> None:
    path = make.mux(tmp_path / "film.mp4", tone_wav, options=["-metadata:s:a:0", "language=eng"])
    (track,) = probe(path).audio
    assert (track.language, track.language_is_weak) == ("en", False)


def test_a_cover_is_no_moving_picture(tone_wav: Path, tmp_path: Path) -> None:
    cover = ["-f", "lavfi", "-i", "testsrc=size=32x32:duration=0.04", "-map", "0", "-map", "1"]
    path = tmp_path / "cover.m4a"
    make.ffmpeg("-i", tone_wav, *cover, "-c:v", "mjpeg", "-disposition:v", "attached_pic", path)
    media = probe(path)
    assert media.video_index is None
    assert len(media.audio) == 1


def test_a_film_without_sound(tmp_path: Path) -> None:
    make.ffmpeg(
        "-f", "lavfi", "-i", "testsrc=size=32x32:duration=1", "-c:v", "mpeg4", tmp_path / "silent.mkv"
    )
    media = probe(tmp_path / "silent.mkv")
    assert (media.audio, media.video_index) == ((), 0)


def test_sound_without_a_rate_has_no_channels(tmp_path: Path, program: Program) -> None:
    (tmp_path / "x.ts").write_bytes(b"x")
    sound = '{"index": 0, "codec_type": "audio", "channels": 2, "sample_rate": "0"}'
    program("ffprobe", f"""echo '{{"streams": [{sound}], "format": {{}}}}'""")
    assert probe(tmp_path / "x.ts").audio[0].channels == 0


@pytest.mark.parametrize(("stated", "expected"), [('"2.5"', 2500), ('"N/A"', 0)])
def test_a_duration_is_computed_where_the_container_has_none(
    tmp_path: Path, program: Program, stated: str, expected: int
) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(b"x")
    sound = '{"index": 0, "codec_type": "audio"'
    program(
        "ffprobe", f"""echo '{{"streams": [{sound}}}, {sound}, "duration": {stated}}}], "format": {{}}}}'"""
    )
    assert probe(path).duration_ms == expected


@pytest.mark.parametrize(
    "name", [b"-v.wav", b"a:b.wav", b"100%d.wav", b"caf\xe9.wav", "日本 'x'.wav".encode()]
)
def test_names_mean_nothing_to_ffmpeg(
    tone_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    path = Path(os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    path.write_bytes(tone_wav.read_bytes())
    media = probe(path)
    assert (media.path, media.duration_ms) == (path, 3000)


@pytest.mark.parametrize("name", ["nothing.mkv", "file/nothing.mkv"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaMissing, match=r"nothing\.mkv: no such file"):
        probe(tmp_path / name)


def test_folders_and_devices_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MediaUnreadable, match="a folder"):
        probe(tmp_path)
    with pytest.raises(MediaUnreadable, match="not a file"):
        probe(Path("/dev/null"))


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (PermissionError(13, "Permission denied"), "the right to read"),
        (OSError(5, "Input/output error"), "disk"),
    ],
)
def test_files_that_cannot_be_opened(
    tone_wav: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, way_out: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MediaUnreadable, match=way_out) as caught:
        probe(tone_wav)
    assert str(error.strerror) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"just some text\n" * 100, bytes(5000), b"1\n00:00:01,000 --> 00:00:02,000\nHi\n"]
)
def test_files_that_are_no_media(tmp_path: Path, content: bytes) -> None:
    for name in ("film.mkv", "notes.txt", "film.en.srt"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(NotMedia, match=name):
            probe(path)


def test_an_mp4_whose_index_was_cut_off(films: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NotMedia, match=r"cut\.mp4: cut short: .*: copy or download it again"):
        probe(make.cut_off(tmp_path / "cut.mp4", films["mp4"], 0.6))


def test_an_encrypted_mp4(films: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MediaEncrypted, match=r"locked\.mp4: its audio is encrypted"):
        probe(make.encrypted(tmp_path / "locked.mp4", films["mp4"]))


@pytest.mark.parametrize(
    "told", ['"codec_tag_string": "drms"', '"side_data_list": [{"side_data_type": "Encryption info"}]']
)
def test_encryption_that_ffprobe_tells_of(tmp_path: Path, program: Program, told: str) -> None:
    path = tmp_path / "song.m4p"
    path.write_bytes(b"x")
    stream = f'{{"index": 0, "codec_type": "audio", {told}}}'
    program("ffprobe", f'echo \'{{"streams": [{stream}], "format": {{"format_name": "x"}}}}\'')
    with pytest.raises(MediaEncrypted):
        probe(path)


def test_what_ffprobe_says_becomes_an_error_of_ours(tone_wav: Path, program: Program) -> None:
    program("ffprobe", "echo 'file:tone.wav: Permission denied' >&2; exit 1")
    with pytest.raises(MediaUnreadable):
        probe(tone_wav)


def test_without_ffprobe(tone_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FfmpegMissing, match=r"ffprobe .*apt-get install ffmpeg.*brew install ffmpeg"):
        probe(tone_wav)
