import pytest

from subgen.media.decode_log import DecodeLog, clock


def second(n: int) -> str:
    """What ashowinfo prints for the n-th second of sound."""
    return f"[Parsed_ashowinfo_4 @ 0x1] [info] n:{n} pts:{n * 16000} pts_time:{n} nb_samples:16000 x"


def silence(seconds: float) -> list[str]:
    chunks, rest = divmod(round(seconds * 16000), 16384)
    return [f"[SWR @ 0x1] [verbose] adding {n} audio samples of silence" for n in [16384] * chunks + [rest]]


def log(*lines: str, start_ms: int = 0) -> DecodeLog:
    said = DecodeLog(start_ms)
    said.feed("".join(line + "\n" for line in lines).encode())
    return said


@pytest.mark.parametrize(
    "jump",
    [
        "[debug] timestamp discontinuity for stream #0:0 (id=256, type=video): 55000000, new offset= -1",
        "[vist#0:0/h264 @ 0x1] [warning] timestamp discontinuity (stream id=256): 55000000, new offset= -1",
        "[debug] Inter stream timestamp discontinuity 55000000, new offset= -56400000",
    ],
    ids=["ffmpeg 5", "ffmpeg 7", "between streams"],
)
def test_a_jump_is_told_with_its_place_and_size(jump: str) -> None:
    (note,) = log(second(0), second(1), jump, second(2)).notes()
    assert note.startswith("the timestamps jump by +55.0 s at about 0:00:02, ")


def test_sound_and_picture_that_jump_together_are_one_splice() -> None:
    jump = "[debug] timestamp discontinuity for stream #0:{} (id=1, type=x): {}, new offset= 1"
    back = jump.format(1, -200_000)
    assert len(log(second(9), jump.format(0, -12_000_000), second(10), back).notes()) == 1
    assert len(log(second(9), jump.format(0, -12_000_000), second(90), back).notes()) == 2


def test_a_gap_is_told_with_its_place_and_size() -> None:
    (note,) = log(second(0), *silence(2.5), second(1), second(2), start_ms=3_600_000).notes()
    assert note.startswith("2.5 s of sound are missing at about 1:00:01 ")


def test_a_late_start_and_corrected_drift_are_no_gaps() -> None:
    assert log(*silence(4.2), second(0), *silence(0.01), second(1), *silence(0.01), second(2)).notes() == ()


def test_notes_come_in_the_order_of_their_places() -> None:
    jump = "[debug] timestamp discontinuity for stream #0:0 (id=1, type=video): -1000000, new offset= 1"
    notes = log(
        second(0), *silence(2), second(1), second(10), jump, second(11), *silence(3), second(12)
    ).notes()
    assert [note.split()[0] for note in notes] == ["2.0", "the", "3.0"]


def test_places_are_ordered_as_numbers() -> None:
    notes = log(second(8), *silence(2), second(9), second(9999), *silence(1), second(10_000)).notes()
    assert [note.split()[0] for note in notes] == ["2.0", "1.0"]


@pytest.mark.parametrize(
    "line",
    [
        "[mov,mp4 @ 0x1] [error] stream 1, offset 0xece0: partial file",
        "[matroska,webm @ 0x1] [error] File ended prematurely",
        "[error] file:x.mkv: Input/output error",
    ],
)
def test_a_file_that_ends_too_soon(line: str) -> None:
    assert log(line).cut_short
    assert line in log(line).complaints


def test_a_debug_line_is_no_complaint() -> None:
    said = log("[debug] Opening 'file:partial file.mkv' for reading")
    assert not said.cut_short
    assert said.complaints == ""


def test_damage_is_counted_but_not_where_a_reading_begins_inside_the_file() -> None:
    bad = "[error] Error while decoding stream #0:1: Invalid data found when processing input"
    new = "[aist#0:1/aac @ 0x1] [error] Error submitting packet to decoder: Invalid data found"
    assert log(bad, second(0), start_ms=5000).notes() == ()
    assert log(bad, second(0), bad, start_ms=5000).notes() == ("1 damaged packet could not be decoded",)
    assert log(bad, second(0)).notes() == ("1 damaged packet could not be decoded",)
    assert log(second(0), bad, new).notes() == ("2 damaged packets could not be decoded",)


def test_a_guessed_duration() -> None:
    assert log(
        "[aac @ 0x1] [warning] Estimating duration from bitrate, this may be inaccurate"
    ).duration_is_guessed
    assert not log(second(0)).duration_is_guessed


def test_the_end_of_all_streams() -> None:
    line = "[info] frame= 9 fps=0.0 q=-1.0 Lsize=N/A time=01:02:03.45 bitrate=N/A speed=9x"
    assert log(line, start_ms=1000).end_ms == 3_724_450


def test_lines_may_come_in_pieces() -> None:
    whole = "\n".join([second(0), *silence(2), second(1), ""]).encode()
    said = DecodeLog()
    for at in range(len(whole)):
        said.feed(whole[at : at + 1])
    assert len(said.notes()) == 1


def test_memory_is_bounded() -> None:
    said = log(*(f"[error] complaint {n}" for n in range(1000)))
    assert said.complaints.count("\n") < 50
    assert said.complaints.endswith("complaint 999")


def test_the_clock() -> None:
    assert [clock(0), clock(61_999), clock(36_000_000)] == ["0:00:00", "0:01:01", "10:00:00"]
