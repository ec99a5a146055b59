"""Subtitles on disk: whole or not at all, and never over what somebody else wrote."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from subgen.errors import SubtitleProtected, WriteError
from subgen.library.provenance import Provenance

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links (exFAT, many network shares) say to `link`."""

_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES})
"""What file systems say that cannot sync a folder; the file itself is safe on disk then."""

_WAYS_OUT = {
    errno.ENOSPC: "the disk is full: make room and try again",
    errno.EDQUOT: "your quota is used up: make room and try again",
    errno.EROFS: "the disk is read-only: choose another place with --output-dir",
    errno.EACCES: "you may not write there: change the permissions or choose --output-dir",
    errno.EPERM: "you may not write there: change the permissions or choose --output-dir",
    errno.ENAMETOOLONG: "the name is too long for this disk: rename the video",
    errno.ENOTDIR: "a part of the path is a file: choose another place with --output-dir",
    errno.EEXIST: "a file has the name of a folder that is needed: choose another --output-dir",
}


class SubtitleWriter:
    """Puts subtitles in place, and knows from `provenance` which of those there are our own."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance

    def check(self, path: Path, overwrite: bool) -> None:
        """Whether `write` would be let, as far as can be told now.

        Raises SubtitleProtected if there is a file and it is to stay; WriteError if the folder is
        not one to write in, takes no such name, or what is written cannot be recorded.
        """
        with _mapped(path):
            if os.path.lexists(path):
                self._check_existing(path, overwrite)
            _check_place(path)
        self._provenance.check()

    def write(self, path: Path, text: str, *, overwrite: bool) -> Path:
        """Put `text` at `path` in UTF-8, and return the path.

        Raises SubtitleProtected if a file is there, unless it holds the same text already, or
        `overwrite` is set and it is ours and unedited; WriteError if the disk does not take it.
        At every moment the file is as it was or complete; a temporary file goes, whatever happens.
        """
        content = text.encode("utf-8")
        with _mapped(path):
            if _holds(path, content):
                return path
            if os.path.lexists(path):
                self._check_existing(path, overwrite)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path.parent, content) as temporary:
                self._provenance.intend(path, content)
                self._place(temporary, path, overwrite)
            _sync_folder(path.parent)
        self._provenance.record(path, content)
        return path

    def _check_existing(self, path: Path, overwrite: bool) -> None:
        if not overwrite:
            raise SubtitleProtected(f"{path}: is there already", "replace it with --overwrite")
        if not self._provenance.is_ours(path):
            raise SubtitleProtected(
                f"{path}: was not written by subgen, or edited since", "move it away to get a new one"
            )

    def _place(self, temporary: Path, path: Path, overwrite: bool) -> None:
        """Give the file its name. What appeared there in the meantime is judged anew."""
        if not os.path.lexists(path) and _linked(temporary, path):
            return
        if os.path.lexists(path):
            self._check_existing(path, overwrite)
        temporary.replace(path)


def _check_place(path: Path) -> None:
    """Raise the OSError that to write at `path` would, as far as its nearest folder tells."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    longest = os.pathconf(folder, "PC_NAME_MAX")  # bytes; -1 where there is no limit
    if 0 < longest < len(os.fsencode(path.name)):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


def _linked(temporary: Path, path: Path) -> bool:
    """Name the file without replacing anything; False where that cannot be done."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


@contextmanager
def _temporary(folder: Path, content: bytes) -> Iterator[Path]:
    """A hidden file in `folder` with `content`, safe on disk; its name ends after the block."""
    path = folder / f".subgen-{secrets.token_hex(6)}.part"
    try:
        # Not tempfile, whose files nobody else may read: here the umask decides.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn what the system says about `path` into a WriteError."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        way_out = _WAYS_OUT.get(error.errno or 0, "check the disk")
        raise WriteError(f"{path}: cannot be written ({reason})", way_out) from error
