"""What ffmpeg tells on stderr while it decodes, reduced to what a person should know.

ffmpeg runs with `-loglevel repeat+level+debug`, because the correction of a timestamp jump is told
at no lower level before ffmpeg 6. The place of an event is known from its neighbours: the filter
`ashowinfo` prints a line for each second of sound that went out. Memory stays bounded: counts,
and the last few complaints.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from subgen.model import SAMPLE_RATE

_PLACE = re.compile(r"ashowinfo.* pts:(\d+) .* nb_samples:(\d+)")
_JUMP = re.compile(r"timestamp discontinuity.*?(-?\d+), new offset")
_SILENCE = re.compile(r"adding (\d+) audio samples of silence")
_END = re.compile(r"\btime=(\d+):(\d\d):(\d\d)\.(\d\d)")
_COMPLAINT = re.compile(r"\[(?:warning|error|fatal)\]")
_DAMAGED = re.compile(r"Error while decoding stream|Error submitting packet to decoder")
_CUT_SHORT = re.compile(r"partial file|ended prematurely|Input/output error|Stale file handle")
_GUESSED = "Estimating duration from bitrate"

_GAP_MS = 500
"""Shorter silences are drift and jitter being corrected and no gaps."""
_SAME_JUMP_MS = 3000
"""Sound and picture jump one after the other: two corrections so close are one splice."""


@dataclass(slots=True)
class _Event:
    place_ms: int
    size_ms: int


@dataclass(slots=True)
class DecodeLog:
    """Feed it stderr, in pieces as they come; ask it when the decoding is over.

    `start_ms` is the place of the first sample that is read. `cut_short`: ffmpeg said that the file
    ends too soon. `duration_is_guessed`: from a bit rate. `damaged`: packets that could not be decoded.
    `end_ms`: where the last stream ended that ffmpeg read, picture or sound; 0 before it says so.
    """

    start_ms: int = 0
    cut_short: bool = False
    duration_is_guessed: bool = False
    damaged: int = 0
    end_ms: int = 0
    _damaged_at_start: int = 0  # a reading that begins inside the file begins in the middle of a packet
    _place_ms: int | None = None
    _jumps: list[_Event] = field(default_factory=list)
    _gaps: list[_Event] = field(default_factory=list)
    _silence_samples: int = 0
    _complaints: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    _rest: bytes = b""

    def feed(self, said: bytes) -> None:
        """Take some bytes of stderr; a line may be spread over several calls."""
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    @property
    def complaints(self) -> str:
        """The last warnings and errors, in ffmpeg's words."""
        return "\n".join(self._complaints)

    def notes(self) -> tuple[str, ...]:
        """Jumps, gaps and damage as sentences, in the order of their places."""
        told = [(jump.place_ms, _jump_note(jump)) for jump in self._jumps]
        told += [(gap.place_ms, _gap_note(gap)) for gap in self._gaps]
        notes = [note for _, note in sorted(told)]
        if damaged := self.damaged - self._damaged_at_start:
            notes.append(f"{damaged} damaged {'packet' if damaged == 1 else 'packets'} could not be decoded")
        return tuple(notes)

    def _line(self, line: str) -> None:
        if found := _PLACE.search(line):
            self._end_of_silence()
            if self._place_ms is None and self.start_ms:
                self._damaged_at_start = self.damaged
            end = int(found[1]) + int(found[2])
            self._place_ms = self.start_ms + end * 1000 // SAMPLE_RATE
        elif found := _SILENCE.search(line):
            self._silence_samples += int(found[1])
        elif found := _JUMP.search(line):
            self._jump(int(found[1]) // 1000)
        elif found := _END.search(line):
            hours, minutes, seconds, hundredths = map(int, found.groups())
            self.end_ms = self.start_ms + ((hours * 60 + minutes) * 60 + seconds) * 1000 + hundredths * 10
        elif _COMPLAINT.search(line):
            self._complaint(line)

    def _complaint(self, line: str) -> None:
        self._complaints.append(line)
        self.cut_short |= bool(_CUT_SHORT.search(line))
        self.duration_is_guessed |= _GUESSED in line
        self.damaged += bool(_DAMAGED.search(line))

    def _jump(self, size_ms: int) -> None:
        place = self.start_ms if self._place_ms is None else self._place_ms
        if not self._jumps or place - self._jumps[-1].place_ms > _SAME_JUMP_MS:
            self._jumps.append(_Event(place, size_ms))

    def _end_of_silence(self) -> None:
        """Silence before the first sample is the track's late start; later, packets are missing."""
        size = self._silence_samples * 1000 // SAMPLE_RATE
        if self._place_ms is not None and size >= _GAP_MS:
            self._gaps.append(_Event(self._place_ms, size))
        self._silence_samples = 0


def clock(ms: int) -> str:
    """`h:mm:ss`."""
    seconds = ms // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _jump_note(jump: _Event) -> str:
    return (
        f"the timestamps jump by {jump.size_ms / 1000:+.1f} s at about {clock(jump.place_ms)}, as where two "
        "recordings were joined: times after it may be wrong by some tenths of a second"
    )


def _gap_note(gap: _Event) -> str:
    lost = f"{gap.size_ms / 1000:.1f} s of sound are missing at about {clock(gap.place_ms)}"
    return f"{lost} (packets lost, or recordings joined); silence stands in"
