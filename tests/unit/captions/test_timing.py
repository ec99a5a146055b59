from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgen.captions.timing import letters, share, spread, start_of
from subgen.levels import levels_db
from subgen.model import SAMPLES_PER_MS


def sound(*stretches: tuple[int, float]) -> np.ndarray:
    """Levels of stretches of (ms, dBFS), with the restlessness of a voice in those above -40."""
    random = np.random.default_rng(3)
    parts = [np.full(ms // 10, db) + random.uniform(-5, 0, ms // 10) * (db > -40) for ms, db in stretches]
    return np.concatenate(parts).astype(np.float32)


def test_levels_of_known_sounds() -> None:
    time = np.arange(16_000) / 16_000
    sine = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    assert levels_db(sine) == pytest.approx(-3.01, abs=0.01)
    assert levels_db(np.ones(160, np.float32)) == pytest.approx(0)
    assert levels_db(np.zeros(320, np.float32)).tolist() == [-100, -100]


@pytest.mark.parametrize(("samples", "steps"), [(0, 0), (1, 1), (160, 1), (161, 2), (1280, 8)])
def test_levels_cover_the_last_samples_too(samples: int, steps: int) -> None:
    levels = levels_db(np.full(samples, 0.1, np.float32))
    assert levels.dtype == np.float32
    assert levels == pytest.approx(np.full(steps, -20.0), abs=1e-4)


def test_a_word_after_a_pause_starts_with_its_sound() -> None:
    levels = sound((1000, -25), (600, -70), (400, -25), (500, -70))
    assert start_of(levels, 1000, 2000, 5) == 1600


def test_a_pause_counts_even_if_the_word_before_seems_to_end_inside_it() -> None:
    levels = sound((1000, -25), (200, -70), (400, -25), (500, -70))
    assert start_of(levels, 1120, 1600, 5) == 1200


def test_words_without_a_pause_follow_each_other() -> None:
    levels = sound((2000, -25), (1000, -70))
    assert start_of(levels, 1000, 1400, 5) == 1000


def test_a_closure_within_a_word_is_no_start() -> None:
    levels = sound((1000, -70), (300, -25), (100, -70), (300, -25), (500, -70))
    assert start_of(levels, 0, 1700, 6) == 1000


def test_a_start_leaves_time_to_say_the_word() -> None:
    levels = sound((500, -70), (500, -25), (200, -70), (60, -25), (500, -70))
    assert start_of(levels, 0, 1260, 12) == 500


def test_a_short_word_announced_before_its_sound_starts_with_the_sound() -> None:
    levels = sound((2030, -70), (60, -25), (1000, -70))
    assert start_of(levels, 0, 2040, 3) == 1980
    assert start_of(levels, 1990, 2040, 3) == 1990


def test_quiet_is_relative_to_the_voice() -> None:
    loud = sound((1000, -20), (300, -50), (400, -20), (500, -50))
    assert start_of(loud, 1000, 1700, 5) == start_of(loud - 25, 1000, 1700, 5) == 1300


def test_without_contrast_a_word_has_its_usual_duration() -> None:
    levels = np.full(1000, -30, np.float32)
    assert start_of(levels, 0, 9000, 3) == 9000 - 100 - 3 * 75
    assert start_of(np.zeros(0, np.float32), 0, 9000, 3) == 9000 - 100 - 3 * 75


def noisy(snr_db: float, gap_ms: int, word_ms: int) -> np.ndarray:
    """Levels of a second of voice, a gap, a word and a second more, all under noise at -30 dBFS."""
    random = np.random.default_rng(11)
    voice = np.repeat([1, 0, 1, 0], [100, gap_ms // 10, word_ms // 10, 100])
    swing = 0.7 + 0.3 * np.abs(np.sin(np.arange(len(voice)) / 4))  # syllables
    power = 1 + voice * swing * 10 ** (snr_db / 10)
    return (-30 + 10 * np.log10(power) + random.normal(0, 0.5, len(voice))).astype(np.float32)


@pytest.mark.parametrize("snr_db", [0, 6, 10, 20])
@pytest.mark.parametrize("size", [2, 5, 9, 14])
@pytest.mark.parametrize("gap_ms", range(0, 1600, 100))
def test_under_noise_a_word_does_not_begin_in_the_pause_before(snr_db: int, size: int, gap_ms: int) -> None:
    usual = 100 + 75 * size
    word_ms = usual * 9 // 100 * 10
    end = 1000 + gap_ms + word_ms
    start = start_of(noisy(snr_db, gap_ms, word_ms), 1000, end, size)
    assert start >= 1000
    assert end - start <= 1.3 * usual + 10
    if snr_db >= 6 and gap_ms >= 200:
        assert start == pytest.approx(1000 + gap_ms, abs=30)


def test_a_slow_word_in_clear_speech_follows_the_word_before() -> None:
    levels = sound((1200, -25), (80, -70), (1220, -25), (1000, -70))
    assert start_of(levels, 1000, 1000 + 240 + 5 * 115, 5) == 1000


def test_sound_measured_from_samples_gives_the_onset() -> None:
    random = np.random.default_rng(5)
    pcm = random.normal(0, 0.0005, 2000 * SAMPLES_PER_MS).astype(np.float32)
    pcm[730 * SAMPLES_PER_MS : 1200 * SAMPLES_PER_MS] += random.normal(0, 0.1, 470 * SAMPLES_PER_MS).astype(
        np.float32
    )
    assert abs(start_of(levels_db(pcm), 0, 1200, 5) - 730) <= 10


def test_letters() -> None:
    assert letters("don't!") == 4
    assert letters("...") == 0
    assert letters("42") > letters("ab")
    assert letters("東京") == letters("서울") == 4


@given(st.integers(0, 10_000), st.integers(0, 5000), st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_shared_time_is_divided_whole(start: int, length: int, sizes: list[int]) -> None:
    end = start + len(sizes) + length
    ends = share(start, end, sizes)
    assert ends[-1] == end
    assert all(later > sooner for sooner, later in zip([start, *ends], ends, strict=False))


def test_shares_are_proportional() -> None:
    assert share(0, 1003, [1, 2, 1]) == [251, 752, 1003]


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 9)), max_size=30), st.integers(0, 3000))
def test_spread_leaves_room_for_every_word(groups: list[tuple[int, int]], start: int) -> None:
    ends, counts = sorted(end for end, _ in groups), [count for _, count in groups]
    moved = spread(ends, counts, start, 3000)
    previous = start
    for end, count in zip(moved, counts, strict=True):
        assert end - previous >= count
        previous = end
    if 3000 - start >= sum(counts):
        assert previous <= max(3000, start)


def test_spread_does_not_touch_what_has_room() -> None:
    assert spread([500, 900, 1000], [1, 3, 2], 100, 1000) == [500, 900, 1000]
