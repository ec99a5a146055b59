"""The nouns. Frozen, and with the unit in the name of every quantity.

Time is integral: samples at 16 kHz, frames of 1280 samples (80 ms), or milliseconds. Sample i of a
file lies at i / 16 ms on its presentation clock, the one that players show.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from subgen.errors import SubgenError

SAMPLE_RATE = 16_000
SAMPLES_PER_MS = 16
FRAME_SAMPLES = 1280
FRAME_MS = 80
LEGAL_DELAYS_MS = (*range(80, 1201, 80), 2400)
"""The delays that the model was trained for: how long after a word it may write it."""

Pcm = NDArray[np.float32]
"""Mono samples at 16 kHz in -1..1, shape [samples]."""


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One audio stream of a file. `index` is the stream's number in the file, as ffprobe counts.

    `channels` is 0 where ffprobe found no sound in it that it could make out.
    """

    index: int
    codec: str
    channels: int
    language: str | None = None  # ISO 639-1 where it has one, else 639-3; None: untagged or "und"
    language_is_weak: bool = False  # the tag may be the container's default and not a statement
    start_ms: int = 0
    title: str = ""
    is_default: bool = False
    is_forced: bool = False
    is_original: bool = False
    is_dub: bool = False
    is_commentary: bool = False
    is_visual_impaired: bool = False
    is_hearing_impaired: bool = False


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """One subtitle stream of a file; `is_text` where it is text and not pictures."""

    index: int
    codec: str
    language: str | None = None
    title: str = ""
    is_text: bool = True
    is_default: bool = False
    is_forced: bool = False
    is_hearing_impaired: bool = False
    is_commentary: bool = False


@dataclass(frozen=True, slots=True)
class MediaFile:
    """What ffprobe says of a file. `video_index` is the moving picture, None where there is none."""

    path: Path
    size_bytes: int
    mtime_ns: int
    duration_ms: int
    container: str
    audio: tuple[AudioTrack, ...]
    subtitles: tuple[SubtitleTrack, ...] = ()
    video_index: int | None = None


@dataclass(frozen=True, slots=True)
class TrackChoice:
    """The audio track to listen to and, in a few words, why this one."""

    track: AudioTrack
    reason: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a file's audio to decode; `first_sample` is a multiple of FRAME_SAMPLES.

    Its first `lead_frames` frames belong to the chunk before it and are heard again as a run-up.
    """

    first_sample: int
    pcm: Pcm
    lead_frames: int = 0

    @property
    def frames(self) -> int:
        """80 ms frames of real audio in it, run-up included; the last may be partly filled."""
        return -(-len(self.pcm) // FRAME_SAMPLES)


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch of a file's audio without speech, which is not decoded; in samples."""

    first_sample: int
    samples: int

    @property
    def frames(self) -> int:
        """80 ms frames; the last of a file may be partly filled."""
        return -(-self.samples // FRAME_SAMPLES)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_ms` up to, and not including, `end_ms` on the file's clock."""

    start_ms: int
    end_ms: int

    @property
    def duration_ms(self) -> int:
        """How long it is."""
        return self.end_ms - self.start_ms


class Priority(IntEnum):
    """Whose chunk takes the next free lane: someone waits for it, it is new, or it is backfill."""

    WAITED_FOR = 0
    NEW = 1
    BACKFILL = 2


class TokenKind(StrEnum):
    """`pad` while nothing is due, `word` opens a group, `text` is a subword, `control` all else."""

    PAD = "pad"
    WORD = "word"
    TEXT = "text"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the model said after one frame; index 0 is the first frame of real audio of its chunk.

    `piece` holds the raw bytes of a subword: a character may be spread over several frames.
    """

    index: int
    token_id: int
    kind: TokenKind
    piece: bytes = b""


@dataclass(frozen=True, slots=True)
class ChunkFrames:
    """A chunk's tokens, in order. After its `chunk_frames` of audio come some that only write on."""

    first_sample: int
    chunk_frames: int
    frames: tuple[Frame, ...]
    lead_frames: int = 0


class Timing(StrEnum):
    """How the times of a word were obtained.

    `measured`: its end is the model's own, its start follows from the word before and the sound.
    `shared`: it shares a frame's group with others, and the time was divided among them.
    `snapped`: moved onto an onset or offset of the sound. `aligned`: by a forced aligner.
    """

    MEASURED = "measured"
    SNAPPED = "snapped"
    SHARED = "shared"
    ALIGNED = "aligned"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, punctuation included; `space_before` is False inside CJK text."""

    text: str
    start_ms: int
    end_ms: int
    timing: Timing = Timing.MEASURED
    space_before: bool = True


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle on the screen."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What made a transcript: enough to tell whether another run would make the same."""

    name: str
    checkpoint: str
    delay_ms: int
    device: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every frame of a file, and of what the model said.

    `decoded_frames` and the spans of `skipped` (no speech in them, not decoded) are all of its audio.
    `uncovered`: speech for which there is no word, though it was decoded again. `repaired` of the
    `retried` such stretches got words. `over_silence` and `looped` count words that were dropped,
    because nobody speaks there or because the model repeated itself.
    """

    decoded_frames: int = 0
    skipped: tuple[Span, ...] = ()
    uncovered: tuple[Span, ...] = ()
    retried: int = 0
    repaired: int = 0
    over_silence: int = 0
    looped: int = 0


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything known about what is said in a file."""

    language: str
    duration_ms: int
    words: tuple[Word, ...]
    cues: tuple[Cue, ...]
    engine: EngineInfo
    frames: tuple[ChunkFrames, ...] = ()
    notes: tuple[str, ...] = ()  # what a person should know: levelled by so many dB, spliced, cut short
    account: Account = Account()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long it took to hear a file, and the share of it that the device waited for work, if known."""

    seconds: float
    device_idle: float | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The subtitles are in place. `notes` says what is not as it should be."""

    media: Path
    paths: tuple[Path, ...]
    language: str
    duration_ms: int
    words: int
    cues: int
    notes: tuple[str, ...] = ()
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing was to be done."""

    media: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now; it may go later."""

    media: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be done as things are."""

    media: Path
    error: SubgenError


Outcome = Written | Skipped | Deferred | Failed
