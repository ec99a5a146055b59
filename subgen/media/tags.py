"""What titles of streams mean: commentary, descriptions, forced subtitles."""

from __future__ import annotations

import re

_COMMENTARY = re.compile(
    r"comment(?:ar(?:y|ies|io|ios|iu)|aires?|aar|i?o\b)|kommentar|comentari|comentári|komment|komentar|komentář"
    r"|коммент|комент|解説|コメンタリー|评论|評論|해설|코멘터리",
    re.IGNORECASE,
)
_DESCRIPTION = re.compile(
    r"audio[\s-]*d[ei]s[ck]ri|descriptive|described|video[\s-]*description|deskription|hörfilm"
    r"|visually impaired",
    re.IGNORECASE,
)
_FORCED = re.compile(r"\bforced\b|\bsigns?\b|\bsongs?\b|\bforcés?\b|\bforzad[oa]s?\b", re.IGNORECASE)
_FULL = re.compile(r"\bfull\b|\bdialog", re.IGNORECASE)
_HEARING_IMPAIRED = re.compile(r"\bSDH\b|\bCC\b|hard of hearing|hearing impaired", re.IGNORECASE)


def says_commentary(title: str) -> bool:
    """Whether a title announces people who talk about the film."""
    return bool(_COMMENTARY.search(title))


def says_description(title: str) -> bool:
    """Whether a title announces a voice that tells what is to be seen."""
    return bool(_DESCRIPTION.search(title))


def says_forced(title: str) -> bool:
    """Whether a title announces subtitles for signs, songs and foreign phrases alone."""
    return bool(_FORCED.search(title)) and not _FULL.search(title)


def says_hearing_impaired(title: str) -> bool:
    """Whether a title announces subtitles that describe sounds too."""
    return bool(_HEARING_IMPAIRED.search(title))
