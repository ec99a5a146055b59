import pytest

from subgen.languages import language_of


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("eng", "en"), ("en-US", "en"), ("EN", "en"), ("ger", "de"), ("deu", "de"), ("fre", "fr"),
        ("fra", "fr"), ("spa", "es"), ("ita", "it"), ("por", "pt"), ("pt-BR", "pt"), ("dut", "nl"),
        ("nld", "nl"), ("rus", "ru"), ("chi", "zh"), ("zho", "zh"), ("zh_Hant", "zh"), ("cmn", "zh"),
        ("jpn", "ja"), ("kor", "ko"), ("hin", "hi"), ("ara", "ar"), ("cze", "cs"), ("per", "fa"),
        ("iw", "he"), ("yue", "yue"), ("fil", "fil"), ("und", None), ("", None), ("mul", None),
        ("zxx", None), ("mis", None), ("unk", None), ("qaa", None), ("qad", None), ("qtz", None),
        ("que", "qu"), ("quc", "quc"), ("English", None), ("xx", None),
    ],
)  # fmt: skip
def test_languages_are_iso_639_1_where_they_can_be(tag: str, language: str | None) -> None:
    assert language_of(tag) == language
