"""Words against the sound: speech without words is heard again, words without speech are dropped.

    words, looped = without_loops(words)
    words, over_silence = without_silent(words, sure_silence)
    for hole in holes(words, sure_speech, start_ms, end_ms):  # a loop leaves one behind
        again = decode(retry_span(hole, attempt, audio_at_hand))
        words = patched(words, hole, again)

All of it is pure. Words come in order, never overlap, and their ends ascend; spans come in order and
do not overlap. All times are ms on the file's clock.
"""

from subgen.captions.guard.coverage import holes, patched, retry_span
from subgen.captions.guard.loops import without_loops
from subgen.captions.guard.silence import without_silent
from subgen.captions.guard.summary import summary

__all__ = ["holes", "patched", "retry_span", "summary", "without_loops", "without_silent"]
