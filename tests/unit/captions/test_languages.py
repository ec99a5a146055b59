from __future__ import annotations

import subprocess
import sys

import pytest

from subgen.captions.languages import LANGUAGES, detect, limits, text_width


def test_every_language_of_the_model_has_limits() -> None:
    assert LANGUAGES == ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pt", "ru", "zh")
    assert all(limits(name).lines == 2 and limits(name).max_ms == 7000 for name in LANGUAGES)


@pytest.mark.parametrize(
    ("language", "width", "cps"),
    [("en", 42, 20), ("ru", 39, 20), ("ja", 13, 7), ("ko", 16, 14), ("zh", 16, 11)],
)
def test_limits(language: str, width: int, cps: int) -> None:
    assert (limits(language).chars_per_line, limits(language).cps) == (width, cps)


def test_an_unknown_language_is_read_like_english() -> None:
    assert limits("und") == limits("xx") == limits("en")


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("ja-JP", "ja"),
        ("jpn", "ja"),
        ("zh_Hant", "zh"),
        ("chi", "zh"),
        ("KO", "ko"),
        ("rus", "ru"),
        ("hin", "hi"),
    ],
)
def test_tags_and_longer_codes_are_the_same_language(tag: str, language: str) -> None:
    assert limits(tag) == limits(language)
    assert text_width("안녕, you 今日", tag) == text_width("안녕, you 今日", language)


@pytest.mark.parametrize(
    ("text", "language", "width"),
    [
        ("Hello, you", "en", 10),
        ("cafe\u0301", "fr", 4),
        ("今日は、AB", "ja", 5),
        ("ｱｲ", "ja", 1),
        ("“好”……", "zh", 5),
        ("안녕, you", "ko", 4.5),
        ("नमस्ते", "hi", 4),
        ("مُحَمَّد", "ar", 4),
        ("", "ja", 0),
    ],
)
def test_text_width(text: str, language: str, width: float) -> None:
    assert text_width(text, language) == width


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ar", "الكلب في بيت جدتي الكبيرة"),
        ("de", "Der Mann ging nach Hause und schlief."),
        ("en", "And he went home with the others."),
        ("es", "El perro está en la casa de mi abuela."),
        ("fr", "Bonjour tout le monde, comment allez-vous ?"),
        ("hi", "नमस्ते दुनिया, आप कैसे हो?"),
        ("it", "Il cane è nella casa di mia nonna."),
        ("ja", "はい、そうですね。"),
        ("ko", "안녕하세요, 여러분."),
        ("nl", "De hond is in het huis van mijn oma."),
        ("pt", "O cachorro está na casa da minha avó."),
        ("ru", "Собака в доме моей бабушки."),
        ("zh", "我们今天去公园玩吧。"),
    ],
)
def test_detection(language: str, text: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize(
    "text", ["", "...", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12", "Okay.", "東京", "la " * 20]
)
def test_too_little_tells_nothing(text: str) -> None:
    assert detect(text) == "und"


def test_the_identifier_is_loaded_on_demand() -> None:
    code = "import sys, subgen.captions.languages; sys.exit('py3langid' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
