"""Frames -> words with their times.

    stream = WordStream(bias_ms=-40)
    for chunk, frames in ...:
        words += stream.feed(frames, levels_db(chunk.pcm))
    words += stream.finish()

What a frame of the kind `word` at index k announces ended (k + 1) * 80 ms after the beginning of
the chunk, whatever the model's delay: the padding before the audio and the delay cancel. Where such
a frame directly follows text, the writer may have been late, and the time is only an upper bound.
A constant bias that belongs to the checkpoint remains; -40 ms, the middle of the frame, where it
was not measured.

Where a chunk begins inside the one before (`lead_frames`), `subgen.captions.seams` tells from which
word on it is believed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from subgen.captions import timing
from subgen.captions.cjk import is_cjk
from subgen.captions.pieces import LATE_MS, Piece, has_letters, is_opening, read_pieces
from subgen.captions.seams import change_over
from subgen.levels import STEP_MS, Levels
from subgen.model import FRAME_MS, SAMPLES_PER_MS, ChunkFrames, Span, Timing, Word


class WordStream:
    """Words of chunk after chunk, in the order of time.

    The words never overlap, each lasts at least 1 ms, and their ends ascend. They stay inside their
    chunk (unless it has more words than milliseconds). A chunk's last word is held until the next
    chunk is there, which may begin with a full stop that belongs to it; and so are the words of its
    last `run_up_ms`, where the next chunk may have begun already and heard better.
    """

    def __init__(self, bias_ms: int, run_up_ms: int = 0) -> None:
        self._bias_ms = bias_ms
        self._run_up_ms = run_up_ms
        self._end_ms = 0  # of the last word that was returned, on the file's clock
        self._held: list[Word] = []

    def feed(self, chunk: ChunkFrames, levels_db: Levels) -> list[Word]:
        """Take a chunk's frames and the loudness of its audio [10 ms steps, dBFS]; return words."""
        pieces = read_pieces(chunk.frames)
        left_out = self._change_over(pieces, chunk, levels_db) if chunk.lead_frames else 0
        # What was left out parts the rest from the words held: it is no longer the chunk's beginning.
        pieces = pieces[left_out:] if left_out else self._joined_to_held(pieces, chunk)
        words = [*self._held, *self._timed(pieces, chunk, levels_db)]
        uncertain_ms = _first_ms(chunk) + chunk.chunk_frames * FRAME_MS - self._run_up_ms
        certain = min(sum(word.end_ms <= uncertain_ms for word in words), max(len(words) - 1, 0))
        self._held = words[certain:]
        if certain:
            self._end_ms = words[certain - 1].end_ms
        return words[:certain]

    def finish(self) -> list[Word]:
        """No more chunks: return what was held."""
        words, self._held = self._held, []
        return words

    def _change_over(self, pieces: list[Piece], chunk: ChunkFrames, levels: Levels) -> int:
        """Drop the held words that the chunk heard better; return how many of its own others heard better."""
        first = _first_ms(chunk)
        end = first + chunk.lead_frames * FRAME_MS
        held, self._held = self._held, []
        overlap = Span(min(max(first, end - self._run_up_ms, self._end_ms), end), end)
        keep, left_out = change_over(held, self._timed(pieces, chunk, levels), overlap)
        self._held = held[:keep]
        return left_out

    def _joined_to_held(self, pieces: list[Piece], chunk: ChunkFrames) -> list[Piece]:
        """Give the punctuation that comes first to a neighbour, and say if a space comes before."""
        if pieces and self._takes(pieces[0], chunk):
            held, mark = self._held.pop(), pieces.pop(0)
            text = f"{held.text} {mark.text}" if mark.space_before else held.text + mark.text
            self._held.append(replace(held, text=unicodedata.normalize("NFC", text)))
        if len(pieces) > 1 and not has_letters(pieces[0].text) and has_letters(pieces[1].text):
            mark = pieces.pop(0)
            pieces[0] = mark.plus(pieces[0]).at(pieces[0].index)
        if pieces and not pieces[0].space_before:
            left = self._held[-1].text[-1] if self._held else ""
            space = not any(map(is_cjk, left + pieces[0].text[0]))
            pieces[0] = replace(pieces[0], space_before=space)
        return pieces

    def _takes(self, mark: Piece, chunk: ChunkFrames) -> bool:
        """Whether a chunk's first piece is punctuation that belongs to the word held."""
        if not self._held or has_letters(mark.text) or is_opening(mark, None):
            return False
        at = _first_ms(chunk) + (mark.index + 1) * FRAME_MS
        return not mark.space_before or at - self._held[-1].end_ms <= LATE_MS

    def _timed(self, pieces: list[Piece], chunk: ChunkFrames, levels: Levels) -> list[Word]:
        """Words for pieces; within, times in ms count from the chunk's first sample."""
        offset = _first_ms(chunk)
        limit = chunk.chunk_frames * FRAME_MS
        if len(levels):  # the last frame of a file may be filled in part only
            limit = min(limit, len(levels) * STEP_MS)
        phrases = [(end, list(group)) for end, group in groupby(pieces, lambda p: self._end_of(p, limit))]
        floor = max(0, (self._held[-1].end_ms if self._held else self._end_ms) - offset)
        ends = timing.spread([end for end, _ in phrases], [len(p) for _, p in phrases], floor, limit)
        words: list[Word] = []
        for (announced, phrase), end in zip(phrases, ends, strict=True):
            alone = len(phrase) == 1 and end == announced
            how = Timing.MEASURED if alone else Timing.SHARED
            words += _phrase_words(phrase, levels, floor, end, how)
            floor = end
        return [_moved(word, offset) for word in words]

    def _end_of(self, piece: Piece, limit: int) -> int:
        return max(0, min((piece.index + 1) * FRAME_MS + self._bias_ms, limit))


def _phrase_words(phrase: Sequence[Piece], levels: Levels, floor: int, end: int, how: Timing) -> list[Word]:
    """The words of one group, between the onset of its sound and its end."""
    sizes = [max(1, timing.letters(piece.text)) for piece in phrase]
    start = min(timing.start_of(levels, floor, end, sum(sizes)), end - len(phrase))
    ends = timing.share(start, end, sizes)
    starts = [start, *ends[:-1]]
    return [
        Word(unicodedata.normalize("NFC", piece.text), first, last, how, piece.space_before)
        for piece, first, last in zip(phrase, starts, ends, strict=True)
    ]


def _first_ms(chunk: ChunkFrames) -> int:
    return chunk.first_sample // SAMPLES_PER_MS


def _moved(word: Word, offset_ms: int) -> Word:
    return replace(word, start_ms=word.start_ms + offset_ms, end_ms=word.end_ms + offset_ms)


def join(words: Sequence[Word]) -> str:
    """The text as the model wrote it: NFC, runs of whitespace as one space, none at the ends."""
    text = "".join(f" {word.text}" if word.space_before else word.text for word in words)
    return unicodedata.normalize("NFC", text).strip()
