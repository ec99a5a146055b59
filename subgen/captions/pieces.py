"""Frames -> pieces of text, each with the index of the frame that announced its end.

A frame of the kind `word` says that something ended; the subwords that follow spell it. So a group
is such a frame and the text up to the next. Groups and words are not the same: words that fall due
together share a group, and now and then a word is spelled over two.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from subgen.captions import cjk
from subgen.model import FRAME_MS, Frame, TokenKind

_MARKS = 3  # as many silent pieces as a word takes along
LATE_MS = 1500  # a mark that comes so long after a word has nothing to do with it


@dataclass(frozen=True, slots=True)
class Piece:
    """A word to be: `index` is the frame, within the chunk, that announced its end."""

    text: str
    space_before: bool
    index: int

    def plus(self, other: Piece) -> Piece:
        """Both in one, at the time of this one."""
        space = " " if other.space_before else ""
        return Piece(self.text + space + other.text, self.space_before, self.index)

    def at(self, index: int) -> Piece:
        """The same, ended by another frame."""
        return Piece(self.text, self.space_before, index)


@dataclass(slots=True)
class _Group:
    index: int
    text: str = ""


def has_letters(text: str) -> bool:
    """Whether there is anything to pronounce."""
    return any(char.isalnum() for char in text)


def is_opening(piece: Piece, following: Piece | None) -> bool:
    """A mark that belongs to what follows: a bracket, or anything with a space only before it.

    A “ without a space closes in German.
    """
    if has_letters(piece.text) or not (piece.space_before or cjk.is_cjk(piece.text[0])):
        return False
    if piece.space_before and following and not following.space_before:
        return not cjk.is_cjk(piece.text[-1])
    kinds = {unicodedata.category(char) for char in piece.text}
    return kinds <= {"Ps", "Pi"} or set(piece.text) <= set("¿¡")


def read_pieces(frames: Iterable[Frame]) -> list[Piece]:
    """The text of one chunk's frames in pieces; nothing but whitespace is lost.

    Punctuation that stands alone belongs to its neighbour, except at the very beginning, where the
    neighbour may be in the chunk before, and where it goes on and on (♪ ♪ ♪): then it has its own times.
    """
    groups = _glued(_spaced(_read_groups(frames)))
    japanese = cjk.has_kana("".join(group.text for group in groups))
    return _attached([piece for group in groups for piece in _split(group, japanese)])


def _read_groups(frames: Iterable[Frame]) -> list[_Group]:
    """Groups as the model made them. A character of several tokens goes to the group that ends it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    groups: list[_Group] = []
    for frame in frames:
        if frame.kind is TokenKind.WORD:
            groups.append(_Group(frame.index))
        elif frame.kind is TokenKind.TEXT:
            if not groups:
                groups.append(_Group(frame.index))
            groups[-1].text += decoder.decode(frame.piece)
    if groups:
        groups[-1].text += decoder.decode(b"", final=True)
    return groups


def _spaced(groups: list[_Group]) -> list[_Group]:
    """The same text with the spaces in front; groups without text are left out."""
    result: list[_Group] = []
    space = ""
    for group in groups:
        text = space + unicodedata.normalize("NFC", group.text)
        space = " " if text[-1:].isspace() else ""
        if not text or text.isspace():
            continue
        result.append(_Group(group.index, text.rstrip()))
    return result


def _glued(groups: list[_Group]) -> list[_Group]:
    """A group that goes on in mid-word is part of the one before, and ends it; silent marks do not."""
    result: list[_Group] = []
    for group in groups:
        if not result or not _continues(result[-1].text[-1], group.text[0]):
            result.append(group)
            continue
        result[-1].text += group.text
        if has_letters(group.text):
            result[-1].index = group.index
    return result


def _continues(left: str, right: str) -> bool:
    """Whether two groups meet within a word: sub|title, don|'t, 3|.5, twenty-|one; not in end.|Then."""
    if right.isspace() or cjk.may_part(left, right):
        return False
    return unicodedata.category(left)[0] in "LNM" or left in "-'’" or not right.isalnum()


def _split(group: _Group, japanese: bool) -> list[Piece]:
    """A group's words, and inside CJK text its phrases."""
    pieces: list[Piece] = []
    for number, run in enumerate(group.text.split()):
        space = number > 0 or group.text[0].isspace()
        for part in cjk.split(run, japanese=japanese):
            pieces.append(Piece(part, space, group.index))
            space = False
    return pieces


def _attached(pieces: list[Piece]) -> list[Piece]:
    """Opening marks go to the piece that follows, all else that is silent to the one before."""
    result: list[Piece] = []
    opening: Piece | None = None
    for (piece, heads), following in zip_longest(_headed(pieces), pieces[1:]):
        if not heads and is_opening(piece, following):
            opening = opening.plus(piece) if opening else piece
        elif opening:
            opening = opening.plus(piece).at(piece.index)
            if heads:
                result.append(opening)
                opening = None
        elif heads or not result:
            result.append(piece)
        else:
            result[-1] = result[-1].plus(piece)
    if opening and result and not _is_late(opening, result[-1]):
        result[-1] = result[-1].plus(opening)
    elif opening:
        result.append(opening)
    return result


def _headed(pieces: list[Piece]) -> list[tuple[Piece, bool]]:
    """Each piece, and whether it is a word of its own: with letters, or a mark too many or too late."""
    result: list[tuple[Piece, bool]] = []
    head: Piece | None = None
    marks = 0
    for piece, following in zip_longest(pieces, pieces[1:]):
        late = head is not None and _is_late(piece, head) and not is_opening(piece, following)
        heads = has_letters(piece.text) or late or marks == _MARKS
        result.append((piece, heads))
        marks = 0 if heads else marks + 1
        head = piece if heads or head is None else head
    return result


def _is_late(mark: Piece, word: Piece) -> bool:
    """Whether so long after the word that only a mark without a space (a full stop) can belong to it."""
    return mark.space_before and (mark.index - word.index) * FRAME_MS > LATE_MS
