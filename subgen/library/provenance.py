"""Which subtitles are ours: a database of the content hashes of what was written where.

A subtitle that somebody edited has another hash, and is theirs from then on.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from subgen.errors import WriteError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS subtitles (
    path     BLOB PRIMARY KEY,  -- bytes, as names on disk need not be UTF-8
    sha256   TEXT,              -- of what was last written
    intended TEXT               -- of what was about to be, if we were interrupted
) WITHOUT ROWID
"""
_PATIENCE_S = 10.0  # how long to wait for another process


class Provenance:
    """What subgen wrote. Several processes may use one database; no connection stays open."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def check(self) -> None:
        """Open the database, which is made where there is none. Raises WriteError if it is not usable."""
        with self._connected():
            pass

    def intend(self, path: Path, content: bytes) -> None:
        """Note that `content` is about to be put at `path`.

        So it is known as ours even if we are killed before `record`. Raises WriteError.
        """
        present = _digest_of(path)
        with self._connected() as connection:
            # What an earlier, interrupted run put there is ours also while it is being replaced.
            connection.execute(
                "UPDATE subtitles SET sha256 = intended WHERE path = ? AND intended = ?",
                (_key(path), present),
            )
            connection.execute(
                "INSERT INTO subtitles (path, intended) VALUES (?, ?)"
                " ON CONFLICT (path) DO UPDATE SET intended = excluded.intended",
                (_key(path), _digest(content)),
            )

    def record(self, path: Path, content: bytes) -> None:
        """Note that `content` is what subgen wrote at `path`. Raises WriteError."""
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO subtitles (path, sha256) VALUES (?, ?)"
                " ON CONFLICT (path) DO UPDATE SET sha256 = excluded.sha256, intended = NULL",
                (_key(path), _digest(content)),
            )

    def is_ours(self, path: Path) -> bool:
        """Whether the file's present bytes are what subgen last wrote, here or elsewhere. Raises WriteError.

        Elsewhere, because films are moved and renamed with their subtitles. A file that is not there or
        cannot be read is not ours.
        """
        digest = _digest_of(path)
        if digest is None:
            return False
        with self._connected() as connection:
            row = connection.execute(
                "SELECT 1 FROM subtitles WHERE sha256 = ? OR intended = ? LIMIT 1", (digest, digest)
            ).fetchone()
        return row is not None

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction of its own: committed at the end, or rolled back."""
        try:
            self._database.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._database, timeout=_PATIENCE_S)) as connection, connection:
                connection.execute(_SCHEMA)
                yield connection
        except sqlite3.OperationalError as error:
            raise WriteError(
                f"{self._database}: the record of written subtitles cannot be used ({error})",
                "check that its folder may be written, has space left, and that nothing holds it locked",
            ) from error
        except sqlite3.DatabaseError as error:
            raise WriteError(
                f"{self._database}: the record of written subtitles is damaged ({error})",
                "move it away; subtitles written so far then count as somebody else's",
            ) from error
        except OSError as error:
            raise WriteError(
                f"{self._database.parent}: cannot be made ({error.strerror})",
                "choose another state folder, one that may be written",
            ) from error


def _key(path: Path) -> bytes:
    """The same for every way to write the path of one name in one folder."""
    return os.fsencode(path.parent.resolve() / path.name)


def _digest_of(path: Path) -> str | None:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
