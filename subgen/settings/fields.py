"""Every setting, its type, its default and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from subgen.languages import language_of
from subgen.model import LEGAL_DELAYS_MS

VIDEO_EXTENSIONS = (
    *(".mkv", ".mp4", ".m4v", ".mov", ".webm", ".avi", ".ts", ".m2ts", ".mts"),
    *(".mpg", ".mpeg", ".vob", ".ogv", ".wmv", ".flv", ".3gp"),
)
AUDIO_EXTENSIONS = (
    *(".mp3", ".m4a", ".m4b", ".aac", ".flac", ".wav", ".ogg", ".oga", ".opus", ".wma", ".mka"),
)


@dataclass(frozen=True)
class Allowed:
    """Says to a person which values a setting takes."""

    text: str


def _no_bool(value: object) -> object:
    """`lanes: true` is a slip, though Python counts True as 1."""
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic gathers ValueErrors only
    return value


def _legal_delay(value: int) -> int:
    if value not in LEGAL_DELAYS_MS:
        raise ValueError("not a delay of the model")
    return value


def _eight_or_sixteen(value: int) -> int:
    if value not in {8, 16}:
        raise ValueError("not a number of bits for the cache")
    return value


def _listed(value: object) -> object:
    """`a, b` is the list that `[a, b]` is: a variable can only hold text."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~nobody/films
        raise ValueError(str(error)) from error


def _expanded_model(value: str) -> str:
    """A hub id cannot begin with `~`, a folder can."""
    return str(_expanded(Path(value))) if value.startswith("~") else value


def _language(value: str) -> str:
    """`ja-JP` and `jpn` are the `ja` that an audio track's tag becomes."""
    code = language_of(value)
    if code is None:
        raise ValueError("not a language code")
    return code


def _digits_as_text(value: object) -> object:
    """A commit may be all digits, which YAML takes for a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _dotted(value: str) -> str:
    return "." + value.lower().removeprefix(".")


Whole = Annotated[int, BeforeValidator(_no_bool)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Code = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"),
    AfterValidator(_language),
]
Suffix = Annotated[str, StringConstraints(pattern=r"^\.?[A-Za-z0-9]+$"), AfterValidator(_dotted)]
Format = Literal["srt", "vtt", "json", "tokens"]

Model = Annotated[
    Text, AfterValidator(_expanded_model), Allowed("a folder with a checkpoint, or a hub id like owner/name")
]
Revision = Annotated[
    Text | None,
    BeforeValidator(_digits_as_text),
    Allowed("a commit, tag or branch of the model's repository"),
]
Delay = Annotated[Whole, AfterValidator(_legal_delay), Allowed(", ".join(map(str, LEGAL_DELAYS_MS)))]
Formats = Annotated[
    tuple[Format, ...],
    BeforeValidator(_listed),
    AfterValidator(_once_each),
    Field(min_length=1),
    Allowed("one or more of srt, vtt, json, tokens"),
]
Language = Annotated[Code | None, Allowed("a language code like en, jpn or pt-BR")]
Languages = Annotated[
    tuple[Code, ...],
    BeforeValidator(_listed),
    AfterValidator(_once_each),
    Allowed("language codes like en, jpn, pt-BR"),
]
Folder = Annotated[Annotated[Path, AfterValidator(_expanded)] | None, Allowed("a folder")]
YesNo = Annotated[bool, Allowed("true or false")]
Chunk = Annotated[Whole | None, Field(ge=5, le=600), Allowed("a whole number of seconds from 5 to 600")]
Silence = Annotated[Whole, Field(ge=0, le=3600), Allowed("a whole number of seconds up to 3600, 0 for never")]
LeadIn = Annotated[Whole, Field(ge=0, le=10), Allowed("a whole number of seconds from 0 to 10")]
CacheBits = Annotated[Annotated[Whole, AfterValidator(_eight_or_sixteen)] | None, Allowed("8 or 16")]
Lanes = Annotated[Whole | None, Field(ge=1, le=256), Allowed("a whole number from 1 to 256")]
Suffixes = Annotated[
    tuple[Suffix, ...],
    BeforeValidator(_listed),
    AfterValidator(_once_each),
    Field(min_length=1),
    Allowed("file name extensions like .mkv"),
]


class Settings(BaseSettings):
    """Everything that can be set. `Settings()` is the defaults: it reads no file and no variable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="SUBGEN_", enable_decoding=False
    )

    # The checkpoint that transcribes, and its revision; None: the one that subgen was tested with.
    model: Model = "mlx-community/Voxtral-Mini-4B-Realtime-2602-4bit"
    revision: Revision = None
    # How much audio the model hears beyond a word before it writes it. Longer is more accurate.
    delay_ms: Delay = 2400
    # The kinds of file to write.
    formats: Formats = ("srt",)
    # The language that is spoken; None: the track's tag, else detected from the text.
    language: Language = None
    # Which audio track to listen to, by language, the best liked first.
    audio_languages: Languages = ()
    # Where subtitles go; None: beside each video.
    output_dir: Folder = None
    # Replace subtitles that subgen wrote and that nobody edited since.
    overwrite: YesNo = False
    # Choose among commentary and audio description tracks too.
    special_tracks: YesNo = False
    # Amplify quiet audio before the model hears it.
    level_quiet_audio: YesNo = True
    # How long a stretch without speech must be for it not to be transcribed; 0: all is transcribed.
    skip_silence_seconds: Silence = 8
    # How long the pieces are that a file is cut into; None: what suits the file and the machine.
    chunk_seconds: Chunk = None
    # How much of the piece before is heard again at the beginning of each.
    lead_in_seconds: LeadIn = 3
    # How many pieces are transcribed side by side; None: what suits the machine.
    lanes: Lanes = None
    # What the model remembers of a piece, in 16 bits or 8; None: what suits the machine.
    cache_bits: CacheBits = None
    # Which files are looked for when a folder is given: lower case, with the dot.
    media_extensions: Suffixes = (*VIDEO_EXTENSIONS, *AUDIO_EXTENSIONS)
    # Where subgen remembers what it wrote; None: the system's place for that.
    state_dir: Folder = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read behind the caller's back: `load_settings` names every source."""
        return (init_settings,)


def speeds_file(settings: Settings) -> Path:
    """Where subgen remembers how fast this machine is."""
    return state_folder(settings) / "speeds.json"


def state_folder(settings: Settings) -> Path:
    """Where subgen remembers what it wrote: as set, or the system's folder for a program's state."""
    return settings.state_dir or Path(platformdirs.user_state_dir("subgen", appauthor=False))
