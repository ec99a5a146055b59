import os
from pathlib import Path

import pytest

from subgen.errors import MediaEncrypted, MediaError, MediaMissing, MediaUnreadable, NoAudio, NotMedia
from subgen.media.failures import failure, shown

OTHERWISE = NoAudio("nothing known")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[error] file:film.mkv: No such file or directory", MediaMissing),
        ("file:film.mkv: Permission denied", MediaUnreadable),
        ("file:film.mkv: Operation not permitted", MediaUnreadable),
        ("file:film.mkv: Input/output error", MediaUnreadable),
        ("[error] Error during demuxing: Input/output error", MediaUnreadable),
        ("file:film.mkv: Stale file handle", MediaUnreadable),
        ("[mov] moov atom not found\nfile:film.mkv: Invalid data found when processing input", NotMedia),
        ("file:film.mkv: Invalid data found when processing input", NotMedia),
        ("[error] Error opening input files: Invalid data found when processing input", NotMedia),
        ("[matroska] [error] The track is encrypted, decoding is not supported", MediaEncrypted),
        ("[mov] Decryption failed", MediaEncrypted),
        ("[error] Decoder (codec ac4) not found for input stream #0:1", NoAudio),
        ("[fatal] Stream specifier ':5' in filtergraph description matches no streams.", NoAudio),
        ("[null @ 0x1] [error] dimensions not set", NoAudio),
        ("[null @ 0x1] [error] sample rate not set", NoAudio),
    ],
)
def test_what_the_programs_say_becomes_an_error_of_ours(said: str, kind: type[MediaError]) -> None:
    error = failure(Path("film.mkv"), said, OTHERWISE)
    assert type(error) is kind
    assert error is not OTHERWISE
    assert error.message.startswith("film.mkv: ")
    assert error.way_out


def test_the_reasons_of_decoders_are_not_those_of_files() -> None:
    said = "[error] Error while decoding stream #0:1: Operation not permitted"
    assert failure(Path("film.mkv"), said, OTHERWISE) is OTHERWISE


@pytest.mark.parametrize("name", ["film.mkv", "Permission denied.mkv", "encrypted: DRM.mkv"])
def test_what_is_not_known_stays_as_it_was(name: str) -> None:
    said = f"[warning] file:{name}: some trouble"
    assert failure(Path(name), said, OTHERWISE) is OTHERWISE


def test_a_name_that_is_no_utf_8_can_be_printed() -> None:
    assert shown(Path(os.fsdecode(b"caf\xe9.mkv"))).encode() == "caf\ufffd.mkv".encode()
