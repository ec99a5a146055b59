from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from subgen.errors import MediaUnreadable, UsageError
from subgen.library import naming
from subgen.library.naming import sidecars, subtitle_path

FILM = Path("/films/Movie (2020)/Movie (2020).1080p.mkv")


@pytest.mark.parametrize(
    ("language", "extension", "name"),
    [
        ("en", "srt", "Movie (2020).1080p.en.srt"),
        ("hi", "vtt", "Movie (2020).1080p.hin.vtt"),
        ("und", "json", "Movie (2020).1080p.und.json"),
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


def laid(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()


def found(media: Path) -> list[str]:
    return [path.relative_to(media.parent).as_posix() for path in sidecars(media)]


def test_sidecars_are_told_by_the_stem(tmp_path: Path) -> None:
    laid(tmp_path, "Movie.mkv", "Movie.srt", "movie.EN.SRT", "Movie.en.forced.ass", "Movie.sup")
    laid(tmp_path, "Movie 2.en.srt", "Movie2.srt", "Movie.nfo", "Movie.en.txt", "Movi.srt", "._Movie.srt")
    assert found(tmp_path / "Movie.mkv") == ["Movie.en.forced.ass", "Movie.srt", "Movie.sup", "movie.EN.SRT"]


def test_sidecars_may_lie_in_a_folder_for_them(tmp_path: Path) -> None:
    laid(tmp_path, "Movie.mkv", "Subs/Movie.de.srt", "Subs/Other.de.srt", "Extras/Movie.fr.srt")
    assert found(tmp_path / "Movie.mkv") == ["Subs/Movie.de.srt"]


def test_sidecars_match_in_any_unicode_form(tmp_path: Path) -> None:
    laid(tmp_path, unicodedata.normalize("NFD", "Amélie.fr.srt"))
    assert len(sidecars(tmp_path / unicodedata.normalize("NFC", "AMÉLIE.mkv"))) == 1


def test_a_folder_is_no_sidecar(tmp_path: Path) -> None:
    (tmp_path / "Movie.srt").mkdir()
    assert found(tmp_path / "Movie.mkv") == []


def test_a_folder_that_is_gone_has_none(tmp_path: Path) -> None:
    assert sidecars(tmp_path / "gone" / "Movie.mkv") == []


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MediaUnreadable, match="cannot be listed"):
        sidecars(tmp_path / "file" / "Movie.mkv")


def test_extensions_that_count() -> None:
    assert {"srt", "ass", "vtt", "sup"} <= naming.EXTENSIONS
