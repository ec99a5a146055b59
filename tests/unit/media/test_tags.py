import pytest

from subgen.media import tags


@pytest.mark.parametrize(
    "title",
    ["Director's Commentary", "Cast comments: commentaries", "Audiokommentar", "Commentaire du réalisateur",
     "Comentario del director", "Comentário", "Commento del regista", "Commentaar", "Комментарий", "評論"],
)  # fmt: skip
def test_commentary_is_known_by_its_title(title: str) -> None:
    assert tags.says_commentary(title)


@pytest.mark.parametrize("title", ["", "Stereo", "Surround 5.1", "English", "Commander's cut", "Recommended"])
def test_other_titles_are_no_commentary(title: str) -> None:
    assert not tags.says_commentary(title)
    assert not tags.says_description(title)


@pytest.mark.parametrize("title", ["Audio Description", "Descriptive audio", "Hörfilm", "Audiodeskription"])
def test_descriptions_for_the_blind(title: str) -> None:
    assert tags.says_description(title)


@pytest.mark.parametrize(
    ("title", "forced"),
    [
        ("Signs & Songs", True),
        ("English (Forced)", True),
        ("Full subtitles, signs and songs", False),
        ("SDH", False),
    ],
)
def test_forced_subtitles_by_title(title: str, forced: bool) -> None:
    assert tags.says_forced(title) is forced


@pytest.mark.parametrize(
    ("title", "impaired"), [("English SDH", True), ("English [CC]", True), ("Account", False)]
)
def test_subtitles_for_the_deaf_by_title(title: str, impaired: bool) -> None:
    assert tags.says_hearing_impaired(title) is impaired
