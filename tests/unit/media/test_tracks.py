from pathlib import Path

import pytest

from subgen.errors import NoAudio
from subgen.media.tracks import choose_track
from subgen.model import AudioTrack, MediaFile


def film(*tracks: AudioTrack) -> MediaFile:
    return MediaFile(Path("film.mkv"), 1, 1, 60_000, "matroska,webm", tracks)


ENGLISH = AudioTrack(1, "ac3", 6, "en", is_default=True, title="Surround")
GERMAN = AudioTrack(2, "aac", 2, "de")
COMMENTARY = AudioTrack(3, "aac", 2, "de", is_commentary=True)
DESCRIBED = AudioTrack(4, "aac", 1, "en", is_visual_impaired=True)


def test_the_only_track() -> None:
    choice = choose_track(film(GERMAN))
    assert (choice.track, choice.reason) == (GERMAN, "only track")


def test_the_default_track_and_not_the_first() -> None:
    choice = choose_track(film(GERMAN, ENGLISH))
    assert (choice.track, choice.reason) == (ENGLISH, "default track")


def test_the_first_where_nothing_is_marked() -> None:
    other = AudioTrack(5, "aac", 2, "fr")
    choice = choose_track(film(GERMAN, other))
    assert (choice.track, choice.reason) == (GERMAN, "first track")


def test_the_default_goes_before_the_original_and_that_before_the_first() -> None:
    original = AudioTrack(7, "aac", 2, "ja", is_original=True)
    choice = choose_track(film(original, ENGLISH))
    assert (choice.track, choice.reason) == (ENGLISH, "default track")
    choice = choose_track(film(GERMAN, original))
    assert (choice.track, choice.reason) == (original, "original track")


def test_a_track_without_sound_is_chosen_only_if_there_is_no_other() -> None:
    empty = AudioTrack(0, "ac3", 0, "de", is_default=True)
    assert choose_track(film(empty, GERMAN, ENGLISH), languages=["de"]).track is GERMAN
    assert choose_track(film(empty, ENGLISH)).track is ENGLISH
    assert choose_track(film(empty)).track is empty


@pytest.mark.parametrize("languages", [("de", "en"), ("deu",), ("fr", "de-AT", "en")])
def test_configured_languages_come_first_in_their_order(languages: tuple[str, ...]) -> None:
    choice = choose_track(film(ENGLISH, GERMAN), languages=languages)
    assert (choice.track, choice.reason) == (GERMAN, "language de is configured")


def test_a_language_that_is_not_there_changes_nothing() -> None:
    assert choose_track(film(GERMAN, ENGLISH), languages=["ko"]).track is ENGLISH


def test_a_language_that_is_none_does_not_match_an_untagged_track() -> None:
    untagged = AudioTrack(1, "aac", 2)
    assert choose_track(film(untagged, ENGLISH), languages=["und"]).track is ENGLISH


def test_within_a_language_a_firm_tag_goes_before_a_weak_one() -> None:
    weak = AudioTrack(0, "aac", 2, "en", language_is_weak=True, is_default=True)
    firm = AudioTrack(1, "aac", 2, "en")
    assert choose_track(film(weak, firm), languages=["en"]).track is firm
    assert "may be no more than a default" in choose_track(film(weak, GERMAN), languages=["en"]).reason


def test_commentary_and_descriptions_stand_back_and_the_reason_says_so() -> None:
    choice = choose_track(film(COMMENTARY, DESCRIBED, ENGLISH), languages=["de"])
    assert choice.track is ENGLISH
    assert choice.reason == "only track; commentary and audio description skipped"


def test_commentary_if_it_is_allowed() -> None:
    choice = choose_track(film(ENGLISH, COMMENTARY), languages=["de"], allow_special=True)
    assert (choice.track, choice.reason) == (COMMENTARY, "language de is configured")


def test_a_track_asked_for_is_counted_from_one_among_the_audio_tracks() -> None:
    choice = choose_track(film(ENGLISH, COMMENTARY), languages=["en"], track=2)
    assert (choice.track, choice.reason) == (COMMENTARY, "asked for")


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_track_that_is_not_there_lists_those_that_are(number: int) -> None:
    with pytest.raises(NoAudio) as caught:
        choose_track(film(ENGLISH, DESCRIBED), track=number)
    assert str(caught.value) == (
        f"film.mkv: it has no audio track {number}: "
        'it has 1 (en, "Surround", 6 channels), 2 (en, 1 channel)'
    )  # fmt: skip


def test_nothing_but_commentary_has_to_be_asked_for() -> None:
    with pytest.raises(NoAudio, match=r"--track: 1 \(de, 2 channels\)"):
        choose_track(film(COMMENTARY))


@pytest.mark.parametrize("track", [None, 1])
def test_no_audio_at_all(track: int | None) -> None:
    with pytest.raises(NoAudio, match=r"^film\.mkv: it has no audio track: "):
        choose_track(film(), track=track)
