"""Text that is written without spaces: which characters it has, and where it may be parted."""

from __future__ import annotations

import unicodedata
from functools import cache

import budoux

_CJK = (
    (0x2E80, 0x30FF),  # radicals, ideographic punctuation, Kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE4F),
    (0xFF00, 0xFF9F),  # full width forms; half width Hangul follows
    (0x20000, 0x3FFFF),
)
_KANA = ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))


def _within(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(char) <= last for first, last in ranges)


def is_cjk(char: str) -> bool:
    """Han, Kana and their full width punctuation. Hangul is not: Korean has spaces."""
    return _within(char, _CJK)


def has_kana(text: str) -> bool:
    """Chinese never has any, and hardly a Japanese sentence is without."""
    return any(_within(char, _KANA) for char in text)


@cache
def _parser(japanese: bool) -> budoux.Parser:
    if japanese:
        return budoux.load_default_japanese_parser()
    return budoux.load_default_simplified_chinese_parser()


def split(text: str, *, japanese: bool) -> list[str]:
    """Part a run without spaces into phrases; their concatenation is `text`.

    A run without Han or Kana stays whole, and so do a Latin word or a number inside Chinese or
    Japanese, and a character with the marks that belong to it.
    """
    if not any(map(is_cjk, text)):
        return [text]
    parts: list[str] = []
    for part in _parser(japanese).parse(text):
        if parts and not may_part(parts[-1][-1], part[0]):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def may_part(left: str, right: str) -> bool:
    """Whether a phrase may end between these two characters that have no space between them."""
    if unicodedata.category(right) in ("Mn", "Mc", "Me", "Cf"):
        return False
    return is_cjk(left) or is_cjk(right)
