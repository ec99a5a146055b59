"""What a person should know of the account."""

from __future__ import annotations

from collections.abc import Sequence

from subgen.model import Account, Span

_NAMED = 5


def summary(account: Account, duration_ms: int) -> tuple[str, ...]:
    """Short notes: what was not decoded, what has no words, what was dropped; none where all is well."""
    notes = (
        _skipped(account.skipped, duration_ms),
        _uncovered(account.uncovered),
        _dropped(account.over_silence, account.looped),
    )
    return tuple(note for note in notes if note)


def _skipped(spans: Sequence[Span], duration_ms: int) -> str:
    total = sum(span.duration_ms for span in spans)
    if total < 1000:
        return ""
    return f"{_clock(total)} of {_clock(duration_ms)} has no speech and was not decoded"


def _uncovered(spans: Sequence[Span]) -> str:
    if not spans:
        return ""
    named = [f"{_clock(span.start_ms)} to {_clock(span.end_ms, up=True)}" for span in spans[:_NAMED]]
    more = [f"and {len(spans) - _NAMED} more"] if len(spans) > _NAMED else []
    stretches = "1 stretch of speech has" if len(spans) == 1 else f"{len(spans)} stretches of speech have"
    return f"{stretches} no words: {', '.join([*named, *more])}"


def _dropped(over_silence: int, looped: int) -> str:
    counts = ((over_silence, "over silence"), (looped, "of a loop"))
    parts = [f"{_words(count)} {what}" for count, what in counts if count]
    if not parts:
        return ""
    return f"{' and '.join(parts)} {'was' if over_silence + looped == 1 else 'were'} dropped"


def _words(count: int) -> str:
    return "1 word" if count == 1 else f"{count} words"


def _clock(ms: int, *, up: bool = False) -> str:
    """`h:mm:ss`, in whole seconds."""
    seconds = -(-ms // 1000) if up else ms // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
