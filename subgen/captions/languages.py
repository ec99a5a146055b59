"""What a language asks of its captions: line length, reading speed, how wide a character is.

Line lengths and speeds follow the Netflix Timed Text Style Guides for captions in the language
that is spoken, for adults; durations and gaps those and the BBC Subtitle Guidelines.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from subgen.captions.cjk import is_cjk
from subgen.languages import language_of

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier


@dataclass(frozen=True, slots=True)
class Limits:
    """What fits a reader. `chars_per_line` and `cps` (characters a second) are in text_width's units."""

    chars_per_line: int
    cps: int
    lines: int = 2
    min_ms: int = 833
    max_ms: int = 7000
    gap_ms: int = 83  # two frames at 24 a second
    wide: bool = False  # full width characters count 1 and half width ones 0.5


_LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        "ar": Limits(42, 23),
        "de": Limits(42, 20),
        "en": Limits(42, 20),
        "es": Limits(42, 20),
        "fr": Limits(42, 20),
        "hi": Limits(42, 25),
        "it": Limits(42, 20),
        "ja": Limits(13, 7, min_ms=500, wide=True),
        "ko": Limits(16, 14, wide=True),
        "nl": Limits(42, 20),
        "pt": Limits(42, 20),
        "ru": Limits(39, 20),
        "zh": Limits(16, 11, wide=True),
    }
)
LANGUAGES = tuple(_LIMITS)
"""ISO 639-1 codes of the languages that the model was trained on."""


def limits(language: str) -> Limits:
    """The limits of a language (a tag, or a code of ISO 639); an unknown one is read like English."""
    return _LIMITS.get(language_of(language) or "en", _LIMITS["en"])


def text_width(text: str, language: str) -> float:
    """How much of a line `text` takes: characters as a reader sees them, marks on them not counted.

    In Japanese and Chinese a half width character takes 0.5; in Korean everything but Hangul and Han.
    """
    if not limits(language).wide:
        return sum(not _is_mark(char) for char in text)
    korean = language_of(language) == "ko"
    return sum(_wide_width(char, korean) for char in text)


def _is_mark(char: str) -> bool:
    """Vowel signs, accents and joiners, which take no place of their own."""
    return unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf")


def _wide_width(char: str, korean: bool) -> float:
    if _is_mark(char):
        return 0
    if korean:
        return 1 if char.isalpha() and unicodedata.east_asian_width(char) == "W" else 0.5
    kind = unicodedata.east_asian_width(char)
    return 1 if kind in "WF" or (kind == "A" and not char.isalnum()) else 0.5


_ENOUGH = 12  # letters; fewer say little. An ideogram or a syllable says as much as three
_CONFIDENT = 0.8  # normalised probability among the languages of the model


def detect(text: str) -> str:
    """The language of `text` among those of the model, ISO 639-1; "und" where it cannot be told."""
    evidence = sum(3 if is_cjk(char) or "가" <= char <= "힣" else 1 for char in text if char.isalpha())
    if evidence < _ENOUGH:
        return "und"
    language, probability = _identifier().classify(text)
    return str(language) if probability >= _CONFIDENT else "und"


@cache
def _identifier() -> LanguageIdentifier:
    """Loaded on first use (0.2 s). Our own, as restricting the shared one would affect others."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier
