from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from subgen.errors import WriteError
from subgen.library.provenance import Provenance


@pytest.fixture
def provenance(tmp_path: Path) -> Provenance:
    return Provenance(tmp_path / "state" / "subgen.db")


def test_what_was_recorded_is_ours_until_it_is_edited(provenance: Provenance, tmp_path: Path) -> None:
    path = tmp_path / "film.en.srt"
    assert not provenance.is_ours(path)
    path.write_bytes(b"one")
    assert not provenance.is_ours(path)
    provenance.record(path, b"one")
    assert provenance.is_ours(path)
    path.write_bytes(b"edited")
    assert not provenance.is_ours(path)
    path.write_bytes(b"one")
    assert provenance.is_ours(path)


def test_only_the_last_record_counts(provenance: Provenance, tmp_path: Path) -> None:
    path = tmp_path / "film.en.srt"
    provenance.record(path, b"one")
    provenance.record(path, b"two")
    path.write_bytes(b"one")
    assert not provenance.is_ours(path)
    path.write_bytes(b"two")
    assert provenance.is_ours(path)


def test_what_was_moved_is_still_ours(provenance: Provenance, tmp_path: Path) -> None:
    provenance.record(tmp_path / "a.srt", b"one")
    (tmp_path / "b.srt").write_bytes(b"one")
    assert provenance.is_ours(tmp_path / "b.srt")
    (tmp_path / "b.srt").write_bytes(b"one, edited")
    assert not provenance.is_ours(tmp_path / "b.srt")


def test_what_was_intended_is_ours_and_so_is_what_was_there(provenance: Provenance, tmp_path: Path) -> None:
    path = tmp_path / "film.en.srt"
    provenance.record(path, b"one")
    provenance.intend(path, b"two")
    for content, ours in ((b"one", True), (b"two", True), (b"three", False)):
        path.write_bytes(content)
        assert provenance.is_ours(path) is ours
    provenance.record(path, b"two")
    path.write_bytes(b"one")
    assert not provenance.is_ours(path)


def test_a_path_is_the_same_however_it_is_written(
    provenance: Provenance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("film.en.srt").write_bytes(b"one")
    provenance.record(Path("film.en.srt"), b"one")
    assert provenance.is_ours(tmp_path / "state" / ".." / "film.en.srt")


def test_names_need_not_be_utf8(provenance: Provenance, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.en.srt"))
    path.write_bytes(b"one")
    provenance.record(path, b"one")
    assert provenance.is_ours(path)


def test_it_lasts(provenance: Provenance, tmp_path: Path) -> None:
    path = tmp_path / "film.en.srt"
    path.write_bytes(b"one")
    provenance.record(path, b"one")
    again = Provenance(tmp_path / "state" / "subgen.db")
    assert again.is_ours(path)


def test_no_connection_stays_open(provenance: Provenance, tmp_path: Path) -> None:
    provenance.record(tmp_path / "film.en.srt", b"one")
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["subgen.db"]


def test_several_processes_may_record(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from subgen.library.provenance import Provenance\n"
        "p = Provenance(Path(sys.argv[1]))\n"
        "for n in range(40): p.record(Path(f'/films/{sys.argv[2]}-{n}.srt'), b'x')"
    )
    database = tmp_path / "subgen.db"
    running = [subprocess.Popen([sys.executable, "-c", code, str(database), str(n)]) for n in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    connection = sqlite3.connect(database)
    assert connection.execute("SELECT count(*) FROM subtitles").fetchone() == (160,)
    connection.close()


def test_a_damaged_database_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    database = tmp_path / "subgen.db"
    database.write_bytes(b"this is no database, and long enough to be seen as none" * 40)
    (tmp_path / "film.en.srt").write_bytes(b"one")
    with pytest.raises(WriteError, match=r"subgen\.db: .* is damaged .*: move it away"):
        Provenance(database).record(tmp_path / "film.en.srt", b"one")
    with pytest.raises(WriteError, match="damaged"):
        Provenance(database).is_ours(tmp_path / "film.en.srt")


def test_a_database_cut_in_the_middle_is_an_error(provenance: Provenance, tmp_path: Path) -> None:
    for number in range(60):
        provenance.record(tmp_path / f"{number}.srt", b"one")
    database = tmp_path / "state" / "subgen.db"
    content = database.read_bytes()
    database.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(WriteError, match="damaged"):
        provenance.record(tmp_path / "new.srt", b"one")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be made"):
        Provenance(tmp_path / "file" / "state" / "subgen.db").record(tmp_path / "a.srt", b"one")


def test_a_database_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "subgen.db").mkdir()
    with pytest.raises(WriteError, match="cannot be used"):
        Provenance(tmp_path / "subgen.db").record(tmp_path / "a.srt", b"one")
