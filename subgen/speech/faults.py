"""Ways in which a scripted engine misbehaves, each at a place on the file's clock.

To add one: a frozen dataclass here, a member of `Fault`, and its effect in `ScriptedEngine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from subgen.model import Span

Cure = Literal["start", "delay"] | None
"""What helps: another first sample than that of the chunk that suffered first, another delay, nothing."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Pads over the words that end in `span`."""

    span: Span
    cured_by: Cure = None


@dataclass(frozen=True, slots=True)
class Babble:
    """Says the words of `text`, evenly over `span`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Loop:
    """Says `text` again and again, a token a frame, from `from_ms` to the end of that chunk."""

    from_ms: int
    text: str
    cured_by: Cure = None


@dataclass(frozen=True, slots=True)
class Fails:
    """Raises EngineError for chunks that touch `span`: the first `times` of them, None: all."""

    span: Span
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Short:
    """Gives only the first `frames` frames of chunks that touch `span`."""

    span: Span
    frames: int


@dataclass(frozen=True, slots=True)
class Ends:
    """Says in the frame of `at_ms` that the text has come to its end, and goes on."""

    at_ms: int


Fault = Deaf | Babble | Loop | Fails | Short | Ends
