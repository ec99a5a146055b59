import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.media.level import Leveller, LevelReport
from subgen.model import SAMPLE_RATE, Pcm


def sound(*parts: tuple[float, float]) -> Pcm:
    """A sine for each (peak in dBFS, seconds), one after the other."""
    tones = [
        10 ** (db / 20) * np.sin(2 * np.pi * 400 * np.arange(round(s * SAMPLE_RATE)) / SAMPLE_RATE)
        for db, s in parts
    ]
    return np.concatenate(tones).astype(np.float32)


def levelled(pcm: Pcm, cuts: list[int] | None = None) -> tuple[Pcm, LevelReport]:
    leveller = Leveller()
    pieces = np.split(pcm, sorted(cuts or []))
    out = np.concatenate([*(leveller.feed(piece) for piece in pieces), leveller.finish()])
    return out, leveller.report


def peak_db(pcm: Pcm) -> float:
    return 20 * float(np.log10(np.abs(pcm).max()))


@pytest.mark.parametrize(("peak", "expected"), [(-6.5, -1), (-13, -1), (-24, -1), (-30, -6), (-50, -26)])
def test_quiet_sound_comes_out_at_minus_one_dbfs_but_is_raised_by_24_db_at_most(
    peak: float, expected: float
) -> None:
    out, report = levelled(sound((peak, 20)))
    assert peak_db(out) == pytest.approx(expected, abs=0.01)
    assert report.levelled_ms == 20_000
    assert report.max_gain_db == pytest.approx(expected - peak, abs=0.01)


@pytest.mark.parametrize("peak", [0, -1, -5.9, -56, -90])
def test_loud_sound_and_empty_rooms_pass_bit_for_bit(peak: float) -> None:
    pcm = sound((peak, 20.3))
    out, report = levelled(pcm)
    np.testing.assert_array_equal(out, pcm)
    assert report == LevelReport(0, 0.0)


def test_digital_silence_passes() -> None:
    out, report = levelled(np.zeros(100_001, np.float32))
    assert len(out) == 100_001
    assert not out.any()
    assert report.note() == ""


def test_more_than_full_scale_is_brought_down_to_it() -> None:
    out, report = levelled(sound((6, 5)))
    assert peak_db(out) == pytest.approx(0, abs=0.01)
    assert report.levelled_ms == 0


def test_a_loud_passage_keeps_what_is_near_it_as_it_is() -> None:
    """Untouched: 10 s before and 30 s after it, so that music and speech keep their proportion."""
    pcm = sound((-20, 60), (-2, 5), (-20, 60))
    out, _ = levelled(pcm)
    gain = np.array(
        [peak_db(out[at : at + 4000]) - peak_db(pcm[at : at + 4000]) for at in range(0, len(pcm), 4000)]
    )
    raised = gain > 18.9
    at_s = np.arange(len(gain)) / 4
    assert raised[at_s < 49].all()
    assert raised[at_s > 96.5].all()
    assert (gain[(at_s > 50.5) & (at_s < 94.5)] == 0).all()


def test_the_gain_never_jumps() -> None:
    """It runs linearly in dB: 19 dB in half a second is 0.0024 dB a sample."""
    pcm = np.full(100 * SAMPLE_RATE, 0.1, np.float32)
    pcm[50 * SAMPLE_RATE : 51 * SAMPLE_RATE] = 0.9
    gain_db = 20 * np.log10(levelled(pcm)[0] / pcm)
    assert np.abs(np.diff(gain_db)).max() < 0.003
    assert gain_db.max() > 18.9


levels = st.lists(st.tuples(st.floats(-70, 3), st.floats(0.01, 15)), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(parts=levels, cuts=st.lists(st.integers(0, 90 * SAMPLE_RATE), max_size=40))
def test_however_the_input_is_cut_no_bit_changes(parts: list[tuple[float, float]], cuts: list[int]) -> None:
    pcm = sound(*parts)
    whole, report = levelled(pcm)
    pieces, same_report = levelled(pcm, [min(cut, len(pcm)) for cut in cuts])
    assert whole.dtype == np.float32
    assert whole.tobytes() == pieces.tobytes()
    assert report == same_report
    assert len(whole) == len(pcm)
    assert np.abs(whole).max() <= 1


def test_cut_into_single_samples() -> None:
    pcm = sound((-20, 1.2))
    assert levelled(pcm)[0].tobytes() == levelled(pcm, list(range(1, len(pcm))))[0].tobytes()


@settings(max_examples=30, deadline=None)
@given(peaks=st.lists(st.floats(-60, 0), min_size=1, max_size=120))
def test_nothing_quiet_is_raised_beyond_minus_one_dbfs(peaks: list[float]) -> None:
    pcm = sound(*((peak, 0.5) for peak in peaks))
    out, _ = levelled(pcm)
    changed = out != pcm
    assert not changed.any() or peak_db(out[changed]) <= -0.999


def test_it_looks_ahead_eleven_seconds_at_most_however_long_the_file() -> None:
    leveller = Leveller()
    came = 0
    for second in range(1, 200):
        came += len(leveller.feed(sound((-20, 1))))
        assert second * SAMPLE_RATE - came <= 11 * SAMPLE_RATE


def test_an_empty_file() -> None:
    leveller = Leveller()
    assert len(leveller.finish()) == 0
    assert leveller.report == LevelReport()


def test_the_note() -> None:
    assert LevelReport(42_300, 11.53).note() == "levelled 42 s of quiet audio by up to 11.5 dB"
    assert LevelReport(120, 3.0).note() == "levelled 1 s of quiet audio by up to 3.0 dB"
    assert LevelReport().note() == ""
