"""One question about MP4 files that ffprobe leaves open: is the sound encrypted?

ffprobe prints the codec of an encrypted track as if it were clear. The truth is in the sample entry,
`moov/trak/mdia/minf/stbl/stsd`: `enca` for Common Encryption (ISO/IEC 23001-7), `drms` for FairPlay and
`aavd` for Audible. A box is 4 bytes size, 4 bytes type, contents (ISO/IEC 14496-12, 4.2); a size of 1
means that 8 bytes of size follow, 0 that the box reaches to the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_WAY_DOWN = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_ENCRYPTED = {b"enca", b"drms", b"aavd"}
_SOUND = {b"mp4a", b"ac-3", b"ec-3", b"alac", b"fLaC", b"Opus", b"samr", b"sawb", b"dtsc", b".mp3"}


def all_sound_encrypted(path: Path) -> bool:
    """Whether an MP4 has encrypted audio tracks and no clear one; raises OSError."""
    with path.open("rb") as file:
        file.seek(0, 2)
        entries = set(_sample_entries(file, 0, file.tell(), _WAY_DOWN))
    return bool(entries & _ENCRYPTED) and not entries & _SOUND


def _sample_entries(file: BinaryIO, start: int, end: int, way: tuple[bytes, ...]) -> Iterator[bytes]:
    """The types of all sample entries below `way` in the bytes `start` to `end` of the file."""
    for kind, inside, stop in _boxes(file, start, end):
        if not way:
            yield kind
        elif kind == way[0]:
            head = 8 if kind == b"stsd" else 0  # version, flags and a count come before its entries
            yield from _sample_entries(file, inside + head, stop, way[1:])


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, first byte of the contents, first byte after the box) of every box, in order."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, kind, contents = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if size == 1:
            size, contents = int.from_bytes(head[8:16], "big"), start + 16
        stop = start + size if size else end
        if stop < contents:
            return  # nonsense, such as zeros where a box should be
        yield kind, contents, min(stop, end)
        start = stop
