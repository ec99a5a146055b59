"""Everything that can go wrong in a way we foresaw.

    SubgenError                 one line: what is wrong with which file, and the way out
    ├── UsageError              the call is wrong (exit status 2)
    │   └── SettingsError       a wrong key or value in a settings file or SUBGEN_*
    ├── MediaError              the input cannot be heard
    │   ├── MediaMissing        no such file
    │   ├── MediaUnreadable     permissions, or a share that went away
    │   ├── NotMedia            ffprobe finds nothing in it
    │   ├── NoAudio             media, but nothing to hear (or not the track asked for)
    │   ├── MediaEncrypted      DRM
    │   └── FfmpegMissing       the programs ffmpeg and ffprobe are not there
    ├── EngineError             the input cannot be transcribed
    │   ├── CheckpointMissing   no such folder, or no way to download it
    │   ├── CheckpointInvalid   a folder that is no Voxtral Realtime checkpoint
    │   ├── IllegalDelay        a delay the model was not trained for
    │   └── FramesLost          frames in and frames out differ: nothing may be written
    └── WriteError              the subtitle cannot be put in place
        └── SubtitleProtected   somebody's subtitle is there already, and stays

Errors of libraries are turned into these at the edge where they appear.
"""

from __future__ import annotations


class SubgenError(Exception):
    """`message` says what is wrong and names the file; `way_out` says what to do about it."""

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message, way_out)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message}: {self.way_out}" if self.way_out else self.message


class UsageError(SubgenError):
    """The call is wrong."""


class SettingsError(UsageError):
    """A wrong key or value in a settings file or the environment."""


class MediaError(SubgenError):
    """The input cannot be heard."""


class MediaMissing(MediaError):
    """No such file."""


class MediaUnreadable(MediaError):
    """The file is there but cannot be read."""


class NotMedia(MediaError):
    """ffprobe finds no media in the file."""


class NoAudio(MediaError):
    """The file has no audio track, or not the one that was asked for."""


class MediaEncrypted(MediaError):
    """The audio is encrypted."""


class FfmpegMissing(MediaError):
    """ffmpeg or ffprobe cannot be started."""


class EngineError(SubgenError):
    """The input cannot be transcribed."""


class CheckpointMissing(EngineError):
    """The checkpoint is not on this machine and cannot be fetched."""


class CheckpointInvalid(EngineError):
    """The folder holds no checkpoint of this model."""


class IllegalDelay(EngineError):
    """The delay is not one that the model was trained for."""


class FramesLost(EngineError):
    """The engine consumed another number of frames than the audio has."""


class WriteError(SubgenError):
    """The subtitle cannot be put in place."""


class SubtitleProtected(WriteError):
    """A subtitle is there that subgen did not write, or that somebody edited since."""
