"""Synthetic speech with true word times, from libespeak-ng and libflite through ctypes.

    utterance = speak("Anna crossed the river.", Voice("espeak", "gmw/en+f2", rate=160, pitch=50))
    utterance.pcm           float32 mono at 16 kHz, shape [samples]
    utterance.words         [(text, start_sample, end_sample), ...], one per space-separated word

espeak reports where each word starts; a word then ends where the next one starts, moved back
over near-silence. flite knows the end of each segment of its synthesis. Neither library is
thread-safe: one process, one speaker at a time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

SAMPLE_RATE = 16_000
Pcm = NDArray[np.float32]
TimedWord = tuple[str, int, int]


@dataclass(frozen=True)
class Voice:
    """`engine` is `espeak` or `flite`; `name` such as `gmw/en-US+f3` or `slt`.

    `rate` is in words a minute (flite: relative to its own 170), `pitch` is espeak's 0 to 99
    (flite: 50 leaves the voice as it is, 99 is an octave up or so).
    """

    engine: str
    name: str
    rate: int = 165
    pitch: int = 50


@dataclass(frozen=True)
class Utterance:
    """`guessed` holds the indices of words whose end the engine did not tell (see `_espeak`)."""

    pcm: Pcm
    words: list[TimedWord]
    guessed: frozenset[int] = frozenset()


def speak(text: str, voice: Voice) -> Utterance | None:
    """Say `text`; None where the engine did not report every word of it."""
    say = {"espeak": _espeak, "flite": _flite}[voice.engine]
    pcm, rate, marks, guessed = say(text, voice)
    words = text.split()
    if len(marks) != len(words):
        return None
    ratio = SAMPLE_RATE / rate
    if rate != SAMPLE_RATE:
        common = math.gcd(rate, SAMPLE_RATE)
        pcm = resample_poly(pcm, SAMPLE_RATE // common, rate // common).astype(np.float32)
    pcm = pcm / max(float(np.abs(pcm).max(initial=0.0)), 1e-9) * 0.89
    times = [(round(s * ratio), round(e * ratio)) for s, e in marks]
    trimmed = _trim(pcm, times)
    return Utterance(pcm, [(w, s, e) for w, (s, e) in zip(words, trimmed, strict=True)], guessed)


def _trim(pcm: Pcm, times: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pull both ends of each word in over near-silence (35 dB under the utterance's loud parts)."""
    hop = 80
    frames = pcm[: len(pcm) // hop * hop].reshape(-1, hop)
    level = np.sqrt((frames**2).mean(axis=1) + 1e-12)
    loud = level > 0.018 * np.percentile(level, 95)
    out = []
    for start, end in times:
        voiced = np.flatnonzero(loud[start // hop : -(-end // hop)])
        if len(voiced):
            first = start // hop + int(voiced[0])
            start, end = max(start, first * hop), min(end, (start // hop + int(voiced[-1]) + 1) * hop)
        out.append((start, min(end, len(pcm))))
    return out


# --- espeak-ng -------------------------------------------------------------------------------

_WORD = 1
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when all was said
_UTF8 = 1
_RATE, _PITCH = 1, 3


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@functools.cache
def _espeak_library() -> tuple[ctypes.CDLL, int]:
    library = _load("espeak-ng", "libespeak-ng.so.1")
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
    if rate <= 0:
        raise OSError("libespeak-ng could not find its data: install the package espeak-ng-data")
    return library, rate


Said = tuple[Pcm, int, list[tuple[int, int]], frozenset[int]]


def _espeak(text: str, voice: Voice) -> Said:
    """Samples, their rate, and the (start, end) sample of each word.

    espeak says some pairs ("there were", "in the") as one dictionary entry and marks only the
    first word. Such a stretch is shared out by letters and the inner ends are marked as guessed.
    """
    library, rate = _espeak_library()
    pieces: list[Pcm] = []
    starts: dict[int, int] = {}

    def heard(wave: object, count: int, events: object) -> int:
        if wave and count:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / 32768)  # type: ignore[arg-type]
        i = 0
        while events[i].type != 0:  # type: ignore[index]
            if events[i].type == _WORD:  # type: ignore[index]
                starts[events[i].text_position - 1] = events[i].sample  # type: ignore[index]
            i += 1
        return 0

    callback = _Callback(heard)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice.name}")
    library.espeak_SetParameter(_RATE, voice.rate, 0)
    library.espeak_SetParameter(_PITCH, voice.pitch, 0)
    raw = text.encode()
    library.espeak_Synth(raw, ctypes.c_size_t(len(raw) + 1), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    words, positions = text.split(), []
    for word in words:
        positions.append(text.index(word, positions[-1] + len(words[len(positions) - 1]) if positions else 0))
    return pcm, rate, *_share_out(words, [starts.get(p) for p in positions], len(pcm))


def _share_out(
    words: list[str], starts: list[int | None], total: int
) -> tuple[list[tuple[int, int]], frozenset[int]]:
    if not starts or starts[0] is None:
        return [], frozenset()
    known = [i for i, s in enumerate(starts) if s is not None] + [len(words)]
    edges = [s for s in starts if s is not None] + [total]
    marks: list[tuple[int, int]] = []
    guessed = set()
    for (first, last), start, end in zip(itertools.pairwise(known), edges, edges[1:], strict=False):
        lengths = np.cumsum([0] + [len(w) for w in words[first:last]])
        cuts = [round(start + (end - start) * int(n) / int(lengths[-1])) for n in lengths]
        marks += list(itertools.pairwise(cuts))
        guessed |= set(range(first, last - 1))
    return marks, frozenset(guessed)


# --- flite -----------------------------------------------------------------------------------


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


@functools.cache
def _flite_library() -> ctypes.CDLL:
    library = _load("flite", "libflite.so.1")
    pointer = ctypes.c_void_p
    library.flite_synth_text.restype = pointer
    library.flite_synth_text.argtypes = [ctypes.c_char_p, pointer]
    library.utt_wave.restype = ctypes.POINTER(_Wave)
    library.utt_wave.argtypes = [pointer]
    library.utt_relation.restype = pointer
    library.utt_relation.argtypes = [pointer, ctypes.c_char_p]
    for name in ("relation_head", "item_next"):
        getattr(library, name).restype = pointer
        getattr(library, name).argtypes = [pointer]
    library.ffeature_float.restype = ctypes.c_float
    library.ffeature_float.argtypes = [pointer, ctypes.c_char_p]
    library.flite_feat_set_float.argtypes = [pointer, ctypes.c_char_p, ctypes.c_float]
    library.feat_remove.argtypes = [pointer, ctypes.c_char_p]
    library.get_param_float.restype = ctypes.c_float
    library.get_param_float.argtypes = [pointer, ctypes.c_char_p, ctypes.c_float]
    library.delete_utterance.argtypes = [pointer]
    library.flite_init()
    return library


@functools.cache
def _flite_voice(name: str) -> tuple[int, int]:
    """The voice and its features (the first field of cst_voice is its name, the second those)."""
    _flite_library()
    voice = _load(f"flite_cmu_us_{name}", f"libflite_cmu_us_{name}.so.1")
    register = getattr(voice, f"register_cmu_us_{name}")
    register.restype = ctypes.c_void_p
    register.argtypes = [ctypes.c_void_p]
    handle = register(None)
    features = ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[1]
    assert features is not None
    return handle, features


_FLITE_F0 = {"slt": 170.0, "rms": 95.0, "awb": 120.0, "kal": 105.0, "kal16": 105.0}
_F0 = b"int_f0_target_mean"


@functools.cache
def _flite_natural_f0(name: str) -> float:
    """The voice's own mean pitch in Hz, 0 where it states none; asked before anything is changed."""
    _, features = _flite_voice(name)
    return float(_flite_library().get_param_float(features, _F0, 0.0))


def _flite(text: str, voice: Voice) -> Said:
    library = _flite_library()
    handle, features = _flite_voice(voice.name)
    library.flite_feat_set_float(features, b"duration_stretch", 170 / voice.rate)
    natural = _flite_natural_f0(voice.name)
    if voice.pitch != 50:
        mean = (natural or _FLITE_F0[voice.name]) * 2 ** ((voice.pitch - 50) / 50)
        library.flite_feat_set_float(features, _F0, mean)
    elif natural:
        library.flite_feat_set_float(features, _F0, natural)
    else:  # left over from a sentence at another pitch
        library.feat_remove(features, _F0)
    utterance = library.flite_synth_text(text.encode(), handle)
    wave = library.utt_wave(utterance).contents
    pcm = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).astype(np.float32) / 32768
    rate = int(wave.sample_rate)
    marks = []
    item = library.relation_head(library.utt_relation(utterance, b"Word"))
    while item:
        start = library.ffeature_float(item, b"R:SylStructure.daughter1.daughter1.R:Segment.p.end")
        end = library.ffeature_float(item, b"R:SylStructure.daughtern.daughtern.R:Segment.end")
        marks.append((round(start * rate), round(end * rate)))
        item = library.item_next(item)
    library.delete_utterance(utterance)
    return pcm, rate, marks, frozenset()


def _load(name: str, fallback: str) -> ctypes.CDLL:
    found = ctypes.util.find_library(name) or fallback
    try:
        # Global, because flite's voices look their language's symbols up in one another.
        return ctypes.CDLL(found, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise OSError(f"lib{name} is missing: apt-get install espeak-ng flite") from error
