from __future__ import annotations

from pathlib import Path

import pytest

from subgen.errors import UsageError
from subgen.library.naming import subtitle_path

FILM = Path("/films/Movie (2020)/Movie (2020).1080p.mkv")


@pytest.mark.parametrize(
    ("language", "extension", "name"),
    [
        ("en", "srt", "Movie (2020).1080p.en.srt"),
        ("hi", "vtt", "Movie (2020).1080p.hin.vtt"),
        ("und", "json", "Movie (2020).1080p.und.json"),
        ("hin", "srt", "Movie (2020).1080p.hin.srt"),
        ("eng", "srt", "Movie (2020).1080p.en.srt"),
        ("jpn", "srt", "Movie (2020).1080p.ja.srt"),
        ("zh_Hant", "srt", "Movie (2020).1080p.zh.srt"),
        ("gsw", "srt", "Movie (2020).1080p.gsw.srt"),
        ("en-US", "srt", "Movie (2020).1080p.en.srt"),
        ("EN", "tokens.jsonl", "Movie (2020).1080p.en.tokens.jsonl"),
    ],
)
def test_names(language: str, extension: str, name: str) -> None:
    assert subtitle_path(FILM, language, extension) == FILM.parent / name


@pytest.mark.parametrize("language", ["", "e", "../x", "english", "é1", "e/"])
def test_a_language_is_a_code(language: str) -> None:
    with pytest.raises(UsageError, match="not a language code"):
        subtitle_path(FILM, language, "srt")


def test_another_folder_mirrors_the_tree() -> None:
    out = Path("/out")
    assert subtitle_path(FILM, "en", "srt", output_dir=out) == out / "Movie (2020).1080p.en.srt"
    mirrored = subtitle_path(FILM, "en", "srt", output_dir=out, root=Path("/films"))
    assert mirrored == out / "Movie (2020)" / "Movie (2020).1080p.en.srt"
    assert subtitle_path(Path("a/b.mkv"), "en", "srt", output_dir=out, root=Path("a")) == out / "b.en.srt"


def test_a_root_may_be_written_in_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film = tmp_path / "films" / "new" / "a.mkv"
    path = subtitle_path(film, "en", "srt", output_dir=Path("out"), root=Path("films"))
    assert path == Path("out/new/a.en.srt")


def test_a_video_outside_the_root_is_refused() -> None:
    with pytest.raises(UsageError, match="is not below /series"):
        subtitle_path(FILM, "en", "srt", output_dir=Path("/out"), root=Path("/series"))
