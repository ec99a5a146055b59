"""An audio track -> samples on the presentation clock."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from subgen.errors import MediaError, NoAudio
from subgen.media import decode
from subgen.media.decode_log import DecodeLog, clock
from subgen.media.failures import failure, shown
from subgen.model import SAMPLES_PER_MS, AudioTrack, MediaFile, Pcm

_OTHER_TRACK = "copy it again or choose another track with --track"
_MISSING_MS, _MISSING_SHARE = 2_000, 0.05
"""A file whose streams all end so much before the duration it states (both) was cut short."""
_PADDING_SAMPLES = 2_000 * SAMPLES_PER_MS
"""More than that after the stated end is sound, and the statement is wrong."""


@dataclass(frozen=True, slots=True)
class AudioReport:
    """How a reading went: samples yielded, whether the file was cut short, and what a person should know."""

    samples: int = 0
    truncated: bool = False
    notes: tuple[str, ...] = ()


class AudioReader:
    """Iterate over it for float32 pieces of a second (the last may be shorter, none is empty).

    Sample i of all pieces lies at `start_ms + i / 16` ms on the file's presentation clock. Reads
    `duration_ms`, or to the end of the file: what follows the duration that it states is left out as
    padding, but if that is more than 2 s, it is read and the report tells of it. Leaving a `with` block,
    `close`, and the end of an iteration end ffmpeg; a new iteration reads again. `report` is there when
    one has ended.

    Iterating raises FfmpegMissing, and, if nothing can be decoded, NoAudio, NotMedia, MediaEncrypted,
    MediaMissing or MediaUnreadable. What comes before damage is yielded, and the report tells of it.
    """

    def __init__(
        self, media: MediaFile, track: AudioTrack, *, start_ms: int = 0, duration_ms: int | None = None
    ) -> None:
        self.media = media
        self.track = track
        self.start_ms = start_ms
        self.duration_ms = duration_ms
        self.report = AudioReport()
        self._pieces: Generator[Pcm, None, None] | None = None

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Pcm]:
        self.close()
        self._pieces = self._read()
        return self._pieces

    def close(self) -> None:
        """End ffmpeg, if it runs."""
        if self._pieces is not None:
            self._pieces.close()
            self._pieces = None

    def _read(self) -> Generator[Pcm, None, None]:
        log = DecodeLog(self.start_ms)
        process = decode.start(self.media, self.track, self.start_ms)
        samples, to_the_end, status = 0, False, 0
        try:
            for piece in self._without_padding(map(_samples, decode.blocks(process, log)), log):
                piece = piece[: self._room(samples)]
                if not len(piece):
                    break
                samples += len(piece)
                yield piece
            else:
                to_the_end, status = True, process.wait()
                self._expect_sound(samples, status, log)
        finally:
            decode.stop(process)
            cut_short = to_the_end and (status != 0 or self._ends_early(samples, log))
            self.report = self._report(samples, cut_short, log)

    def _room(self, samples: int) -> int | None:
        """How many more samples were asked for; None for any number."""
        return None if self.duration_ms is None else max(0, self.duration_ms * SAMPLES_PER_MS - samples)

    def _without_padding(self, pieces: Iterable[Pcm], log: DecodeLog) -> Iterator[Pcm]:
        """Holds pieces beyond the stated end back, until it is clear that there is more than padding."""
        held: list[Pcm] = []
        samples = beyond = 0
        for piece in pieces:
            held.append(piece)
            samples += len(piece)
            beyond = self._beyond_stated_end(samples, log)
            if beyond <= 0 or beyond > _PADDING_SAMPLES:
                yield from held
                held.clear()
        if held:
            inside = held[0][: max(0, sum(map(len, held)) - beyond)]
            if len(inside):
                yield inside

    def _beyond_stated_end(self, samples: int, log: DecodeLog) -> int:
        """How many samples more there are than the file says; 0 where it says nothing."""
        if not self.media.duration_ms or not _states_duration(self.media, log):
            return 0
        return samples - (self.media.duration_ms - self.start_ms) * SAMPLES_PER_MS

    def _expect_sound(self, samples: int, status: int, log: DecodeLog) -> None:
        """Raise if ffmpeg gave nothing and that is not the nature of this stretch of the file."""
        if samples or (self.start_ms and not status and not log.damaged):
            return
        raise _nothing_decoded(self.media, self.track, log)

    def _ends_early(self, samples: int, log: DecodeLog) -> bool:
        if self.duration_ms is not None or not _states_duration(self.media, log):
            return log.cut_short
        missing = self.media.duration_ms - max(self._end_ms(samples), log.end_ms)
        return log.cut_short or missing >= max(_MISSING_MS, _MISSING_SHARE * self.media.duration_ms)

    def _report(self, samples: int, cut_short: bool, log: DecodeLog) -> AudioReport:
        notes = log.notes()
        if self._beyond_stated_end(samples, log) > _PADDING_SAMPLES:
            stated, end = clock(self.media.duration_ms), clock(self._end_ms(samples))
            notes += (f"the file says that it lasts {stated}, but its sound goes on; read to {end}",)
        if cut_short:
            lasts = f" and the file says {clock(self.media.duration_ms)}" if self.media.duration_ms else ""
            notes += (f"the file is cut short: its sound ends at {clock(self._end_ms(samples))}{lasts}",)
        return AudioReport(samples, cut_short, notes)

    def _end_ms(self, samples: int) -> int:
        return self.start_ms + samples // SAMPLES_PER_MS


def _states_duration(media: MediaFile, log: DecodeLog) -> bool:
    """Whether the duration is a statement of the file.

    ffmpeg guesses that of raw streams from their bit rate, and takes that of transport and program
    streams from their last timestamp, which is anything after a splice.
    """
    return not log.duration_is_guessed and media.container not in {"mpegts", "mpeg"}


def _samples(data: bytes) -> Pcm:
    """Little-endian f32; what is no number (broken float files hold such) becomes silence."""
    pcm = np.frombuffer(data, "<f4", count=len(data) // 4).astype(np.float32)
    return np.nan_to_num(pcm, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _nothing_decoded(media: MediaFile, track: AudioTrack, log: DecodeLog) -> MediaError:
    if track.codec == "unknown":
        silent = NoAudio(f"{shown(media.path)}: its audio is in no format that ffmpeg knows", _OTHER_TRACK)
    elif log.damaged:
        silent = NoAudio(f"{shown(media.path)}: nothing in its audio track can be decoded", _OTHER_TRACK)
    else:
        silent = NoAudio(f"{shown(media.path)}: its audio track is empty", _OTHER_TRACK)
    return failure(media.path, log.complaints, otherwise=silent)
