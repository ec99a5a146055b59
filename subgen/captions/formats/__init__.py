"""A transcript -> the text of a file, one format a module.

To add one: a module here with a class that has `name`, `extension` and `render` as `Format` says,
one entry in FORMATS, and a file of expected output in tests/golden. The name is what `--format`
takes; the extension is what follows the language in the file's name. `render` is a pure function,
gives all text in Unicode NFC, and gives something that players accept for a file without speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from subgen.captions.formats.srt import Srt
from subgen.captions.formats.tokens import Tokens
from subgen.captions.formats.transcript import Json
from subgen.captions.formats.vtt import Vtt
from subgen.errors import UsageError
from subgen.model import Transcript


class Format(Protocol):
    """One kind of file."""

    @property
    def name(self) -> str:
        """What `--format` takes."""

    @property
    def extension(self) -> str:
        """Without the leading dot."""

    def render(self, transcript: Transcript) -> str:
        """The whole text of the file, lines ended by a line feed."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {"srt": Srt(), "vtt": Vtt(), "json": Json(), "tokens": Tokens()}
)


def format_named(name: str) -> Format:
    """The format of that name. Raises UsageError with what there is."""
    found = FORMATS.get(name)
    if found is None:
        raise UsageError(f"there is no format {name!r}", f"choose from {', '.join(FORMATS)}")
    return found
