from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.errors import SubtitleProtected, WriteError
from subgen.library.provenance import Provenance
from subgen.library.writer import SubtitleWriter

OLD, NEW = "old text\n", "new text: é 日本\n"


@pytest.fixture
def provenance(tmp_path: Path) -> Provenance:
    return Provenance(tmp_path / "state" / "subgen.db")


@pytest.fixture
def writer(provenance: Provenance) -> SubtitleWriter:
    return SubtitleWriter(provenance)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    return tmp_path / "films" / "film.en.srt"


def beside(path: Path) -> list[str]:
    """All that is in the folder, hidden files too."""
    return sorted(each.name for each in path.parent.iterdir())


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_new_file(writer: SubtitleWriter, provenance: Provenance, path: Path) -> None:
    assert writer.write(path, NEW, overwrite=False) == path
    assert path.read_bytes() == NEW.encode()
    assert beside(path) == ["film.en.srt"]
    assert provenance.is_ours(path)


def test_it_has_the_mode_of_the_umask(writer: SubtitleWriter, path: Path) -> None:
    old = os.umask(0o027)
    try:
        writer.write(path, NEW, overwrite=False)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_nlink == 1


def test_missing_folders_are_made(writer: SubtitleWriter, path: Path) -> None:
    deep = path.parent / "out" / "films" / "film.en.srt"
    writer.check(deep, overwrite=False)
    assert not (path.parent / "out").exists()
    assert writer.write(deep, NEW, overwrite=False).read_text() == NEW


def test_an_existing_file_stays(writer: SubtitleWriter, path: Path) -> None:
    writer.write(path, OLD, overwrite=False)
    with pytest.raises(
        SubtitleProtected, match=r"film\.en\.srt: is there already: replace it with --overwrite"
    ):
        writer.check(path, overwrite=False)
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=False)
    assert path.read_text() == OLD


def test_our_own_is_overwritten(writer: SubtitleWriter, provenance: Provenance, path: Path) -> None:
    writer.write(path, OLD, overwrite=False)
    writer.check(path, overwrite=True)
    writer.write(path, NEW, overwrite=True)
    assert path.read_text() == NEW
    assert provenance.is_ours(path)
    assert beside(path) == ["film.en.srt"]


def test_somebody_elses_is_never_overwritten(writer: SubtitleWriter, path: Path) -> None:
    path.write_text("theirs")
    for overwrite in (True, False):
        with pytest.raises(SubtitleProtected):
            writer.check(path, overwrite)
        with pytest.raises(SubtitleProtected):
            writer.write(path, NEW, overwrite=overwrite)
    assert path.read_text() == "theirs"


def test_an_edited_one_is_never_overwritten(writer: SubtitleWriter, path: Path) -> None:
    writer.write(path, OLD, overwrite=False)
    path.write_text("edited")
    with pytest.raises(SubtitleProtected, match="not written by subgen, or edited since: move it away"):
        writer.write(path, NEW, overwrite=True)
    assert path.read_text() == "edited"


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_what_is_no_file_stays(writer: SubtitleWriter, path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(SubtitleProtected):
        writer.check(path, overwrite=True)
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=True)
    assert path.is_dir() or path.is_symlink()


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_same_again_is_not_written(writer: SubtitleWriter, path: Path, overwrite: bool) -> None:
    writer.write(path, NEW, overwrite=False)
    before = path.stat()
    assert writer.write(path, NEW, overwrite=overwrite) == path
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_same_by_somebody_else_stays_theirs(
    writer: SubtitleWriter, provenance: Provenance, path: Path
) -> None:
    path.write_text(NEW)
    writer.write(path, NEW, overwrite=True)
    assert not provenance.is_ours(path)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_that_appears_meanwhile_stays(
    writer: SubtitleWriter, path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.link

    def link(*args: Any, **options: Any) -> None:
        path.write_text("theirs")
        really(*args, **options)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=overwrite)
    assert (path.read_text(), beside(path)) == ("theirs", ["film.en.srt"])


def test_an_edit_that_happens_meanwhile_stays(
    writer: SubtitleWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(path, OLD, overwrite=False)
    really = os.fsync

    def fsync(descriptor: int) -> None:
        path.write_text("edited")
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=True)
    assert (path.read_text(), beside(path)) == ("edited", ["film.en.srt"])


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_file_systems_without_links(
    writer: SubtitleWriter, path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    writer.write(path, OLD, overwrite=False)
    assert (path.read_text(), beside(path)) == (OLD, ["film.en.srt"])
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=False)


def test_without_links_too_a_file_that_appears_meanwhile_stays(
    writer: SubtitleWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        path.write_text("theirs")
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=True)
    assert (path.read_text(), beside(path)) == ("theirs", ["film.en.srt"])


@pytest.mark.parametrize(
    ("function", "code", "way_out"),
    [
        ("write", errno.ENOSPC, "the disk is full"),
        ("fsync", errno.ENOSPC, "the disk is full"),
        ("fsync", errno.EDQUOT, "quota"),
        ("open", errno.EROFS, "read-only"),
        ("open", errno.EACCES, "permissions"),
        ("link", errno.ENOSPC, "the disk is full"),
        ("link", errno.EIO, "check the disk"),
    ],
)
def test_a_disk_that_does_not_take_it(
    writer: SubtitleWriter,
    path: Path,
    function: str,
    code: int,
    way_out: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, function, failing(code))
    with pytest.raises(WriteError, match=way_out) as caught:
        writer.write(path, NEW, overwrite=False)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert beside(path) == []


def test_a_write_may_take_a_part_at_a_time(
    writer: SubtitleWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: really(descriptor, content[:3]))
    writer.write(path, NEW, overwrite=False)
    assert path.read_text() == NEW


def test_file_systems_that_cannot_sync_a_folder(
    writer: SubtitleWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not here")
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert writer.write(path, NEW, overwrite=False).read_text() == NEW


def test_a_name_that_is_too_long(writer: SubtitleWriter, path: Path) -> None:
    with pytest.raises(WriteError, match="rename the video"):
        writer.write(path.with_name("x" * 300 + ".srt"), NEW, overwrite=False)
    longest = path.with_name("x" * 251 + ".srt")
    assert writer.write(longest, NEW, overwrite=False).exists()


def test_a_folder_that_is_a_file(writer: SubtitleWriter, path: Path) -> None:
    path.write_text("theirs")
    with pytest.raises(WriteError, match="--output-dir"):
        writer.write(path / "film.en.srt", NEW, overwrite=False)
    with pytest.raises(WriteError, match="--output-dir"):
        writer.write(path / "deep" / "film.en.srt", NEW, overwrite=False)


def test_a_folder_without_permission_is_known_early(
    writer: SubtitleWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(WriteError, match=r"film\.en\.srt: cannot be written .*: you may not write there"):
        writer.check(path, overwrite=False)


def test_a_name_that_is_too_long_is_known_early(writer: SubtitleWriter, path: Path) -> None:
    writer.check(path.with_name("x" * 251 + ".srt"), overwrite=False)
    for name in ("x" * 252 + ".srt", "é" * 126 + ".srt"):
        with pytest.raises(WriteError, match="rename the video"):
            writer.check(path.parent / "out" / name, overwrite=False)
    with pytest.raises(WriteError, match="rename the video"):
        writer.check(path.parent / ("x" * 300) / "film.en.srt", overwrite=False)


def test_a_folder_that_is_a_file_is_known_early(writer: SubtitleWriter, path: Path) -> None:
    path.write_text("theirs")
    with pytest.raises(WriteError, match="--output-dir"):
        writer.check(path / "deep" / "film.en.srt", overwrite=False)


def test_a_folder_that_may_not_be_looked_into_is_known_early(
    writer: SubtitleWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", failing(errno.EACCES))
    with pytest.raises(WriteError, match=r"film\.en\.srt: .* change the permissions"):
        writer.check(path, overwrite=False)


def test_a_record_that_cannot_be_kept_is_known_early(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="choose another state folder"):
        SubtitleWriter(Provenance(tmp_path / "file" / "subgen.db")).check(path, overwrite=False)
    (tmp_path / "subgen.db").write_bytes(b"no database" * 500)
    with pytest.raises(WriteError, match="damaged"):
        SubtitleWriter(Provenance(tmp_path / "subgen.db")).check(path, overwrite=False)


def test_the_same_text_by_somebody_else_stays_theirs(
    writer: SubtitleWriter, provenance: Provenance, path: Path
) -> None:
    path.write_text(OLD)
    assert writer.write(path, OLD, overwrite=True) == path
    assert not provenance.is_ours(path)
    with pytest.raises(SubtitleProtected):
        writer.write(path, NEW, overwrite=True)
    assert path.read_text() == OLD


def test_nothing_is_placed_if_it_cannot_be_recorded(path: Path, tmp_path: Path) -> None:
    (tmp_path / "subgen.db").write_bytes(b"no database" * 500)
    with pytest.raises(WriteError, match="damaged"):
        SubtitleWriter(Provenance(tmp_path / "subgen.db")).write(path, NEW, overwrite=False)
    assert beside(path) == []


STEPS = ["open", "write", "fsync", "close", "link", "replace", "rename", "unlink"]


def crashing(really: Callable[..., Any], before: bool, stop: Callable[[], None]) -> Callable[..., Any]:
    def step(*args: Any, **options: Any) -> Any:
        if before:
            stop()
        result = really(*args, **options)
        stop()
        return result

    return step


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_an_interrupted_write_leaves_old_or_new_and_nothing_else(
    writer: SubtitleWriter,
    path: Path,
    there: bool,
    links: bool,
    step: str,
    before: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if there:
        writer.write(path, OLD, overwrite=False)
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))

    def stop() -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, crashing(getattr(os, step), before, stop))
    with suppress(KeyboardInterrupt):
        writer.write(path, NEW, overwrite=True)
    monkeypatch.undo()
    if (step, before) != ("unlink", True):  # an interrupted removal removes nothing
        assert beside(path) in (["film.en.srt"], [])
    assert not path.exists() or path.read_text() in ({OLD, NEW} if there else {NEW})
    writer.write(path, "newest", overwrite=True)
    assert path.read_text() == "newest"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("there", [True, False])
def test_a_process_that_is_killed_leaves_old_or_new(
    writer: SubtitleWriter, path: Path, there: bool, step: str
) -> None:
    if there:
        writer.write(path, OLD, overwrite=False)
    child = os.fork()
    if child == 0:
        setattr(os, step, crashing(getattr(os, step), False, lambda: os._exit(0)))
        writer.write(path, NEW, overwrite=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not path.exists() or path.read_text() in ({OLD, NEW} if there else {NEW})
    assert path.exists() or not there
    writer.write(path, "newest", overwrite=True)
    assert path.read_text() == "newest"


@settings(max_examples=15, deadline=None)  # each writes to the disk and waits for it
@given(st.text(), st.text())
def test_any_text(tmp_path_factory: pytest.TempPathFactory, first: str, second: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    writer = SubtitleWriter(Provenance(folder / "subgen.db"))
    path = folder / "film.en.srt"
    for text in (first, second, first):
        assert writer.write(path, text, overwrite=True).read_bytes() == text.encode()
