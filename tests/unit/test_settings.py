"""The settings: who overrules whom, and what is said when something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from subgen.errors import SettingsError
from subgen.model import LEGAL_DELAYS_MS
from subgen.settings import (
    Settings,
    default_config_file,
    load_settings,
    sources,
    state_folder,
)
from subgen.settings.fields import Allowed

ROOT = Path(__file__).parents[2]
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a person's file would be: not on the machine that runs the tests."""
    path = tmp_path / "usual.yaml"
    monkeypatch.setattr(sources, "default_config_file", lambda: path)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def text_to_file(text: str) -> Path:
        path = tmp_path / "given.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return text_to_file


def complaint(path: Path | None, environ: dict[str, str], overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ, overrides)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_without_any_source_the_defaults_hold() -> None:
    assert load_settings(None, {}) == Settings()


def test_the_documented_file_holds_exactly_the_defaults() -> None:
    assert load_settings(ROOT / "config/subgen.yaml", {}) == Settings()


def test_defaults_read_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBGEN_DELAY_MS", "480")
    assert Settings().delay_ms == 2400
    assert load_settings(None, {}).delay_ms == 2400


def test_command_line_beats_variable_beats_file(write: Write) -> None:
    path = write("delay_ms: 80\nlanes: 2\nlanguage: de\n")
    settings = load_settings(path, {"SUBGEN_DELAY_MS": "160", "SUBGEN_LANES": "3"}, {"delay_ms": 240})
    assert (settings.delay_ms, settings.lanes, settings.language) == (240, 3, "de")


def test_options_that_were_not_given_overrule_nothing() -> None:
    assert load_settings(None, {"SUBGEN_LANES": "3"}, {"lanes": None}).lanes == 3


def test_a_mapping_is_a_value_like_others(write: Write) -> None:
    path = write("chunk_seconds: {max: 90}")
    assert load_settings(path, {"SUBGEN_CHUNK_SECONDS": "20"}).chunk_seconds == 20
    said = complaint(path, {"SUBGEN_LANES": "2"}, {"overwrite": True})
    assert said.startswith(f"{path}: chunk_seconds cannot be {{'max': 90}}: allowed: a whole number")
    said = complaint(write("chunk_seconds: 20"), {}, {"chunk_seconds": {"max": 90}})
    assert said.startswith("option chunk_seconds cannot be {'max': 90}: allowed: a whole number")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().delay_ms = 480


def test_which_file_is_read(write: Write, usual_file: Path, tmp_path: Path) -> None:
    usual_file.write_text("lanes: 1")
    named = tmp_path / "named.yaml"
    named.write_text("lanes: 2")
    environ = {"SUBGEN_CONFIG": str(named)}
    assert load_settings(None, {}).lanes == 1
    assert load_settings(None, environ).lanes == 2
    assert load_settings(write("lanes: 3"), environ).lanes == 3


def test_the_usual_file_is_named_after_the_program() -> None:
    assert default_config_file().parts[-2:] == ("subgen", "subgen.yaml")


def test_variables_spell_lists_with_commas_and_empty_ones_do_not_count() -> None:
    environ = {"SUBGEN_FORMATS": "srt, vtt,srt", "SUBGEN_LANGUAGE": "", "SUBGEN_OVERWRITE": "yes"}
    settings = load_settings(None, environ)
    assert (settings.formats, settings.language, settings.overwrite) == (("srt", "vtt"), None, True)


def test_every_setting_can_be_a_variable() -> None:
    environ = {
        "SUBGEN_MODEL": "samples/tiny",
        "SUBGEN_REVISION": "main",
        "SUBGEN_DELAY_MS": "480",
        "SUBGEN_FORMATS": "json",
        "SUBGEN_LANGUAGE": "hin",
        "SUBGEN_AUDIO_LANGUAGES": "de,pt-BR",
        "SUBGEN_OUTPUT_DIR": "out",
        "SUBGEN_OVERWRITE": "true",
        "SUBGEN_SPECIAL_TRACKS": "1",
        "SUBGEN_LEVEL_QUIET_AUDIO": "false",
        "SUBGEN_SKIP_SILENCE_SECONDS": "0",
        "SUBGEN_CHUNK_SECONDS": "10",
        "SUBGEN_LEAD_IN_SECONDS": "2",
        "SUBGEN_LANES": "4",
        "SUBGEN_CACHE_BITS": "8",
        "SUBGEN_MEDIA_EXTENSIONS": "MKV,.mp4",
        "SUBGEN_STATE_DIR": "state",
    }
    settings = load_settings(None, environ)
    assert settings.model_dump() == {
        "model": "samples/tiny",
        "revision": "main",
        "delay_ms": 480,
        "formats": ("json",),
        "language": "hi",
        "audio_languages": ("de", "pt"),
        "output_dir": Path("out"),
        "overwrite": True,
        "special_tracks": True,
        "level_quiet_audio": False,
        "skip_silence_seconds": 0,
        "chunk_seconds": 10,
        "lead_in_seconds": 2,
        "lanes": 4,
        "cache_bits": 8,
        "media_extensions": (".mkv", ".mp4"),
        "state_dir": Path("state"),
    }
    assert all(settings.model_dump()[key] != value for key, value in Settings().model_dump().items())


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    settings = load_settings(write("output_dir: ~/subs\nstate_dir: ~\nmodel: ~/voxtral"), {})
    assert settings.output_dir == Path("/home/ann/subs")
    assert settings.model == "/home/ann/voxtral"
    assert settings.state_dir is None  # in YAML a lone ~ is null


def test_the_state_folder_is_the_set_one_or_the_systems(tmp_path: Path) -> None:
    assert state_folder(load_settings(None, {}, {"state_dir": tmp_path})) == tmp_path
    assert state_folder(Settings()).name == "subgen"


def test_norwegian_is_a_language(write: Write) -> None:
    settings = load_settings(write("language: no\naudio_languages: [no, yes]"), {})
    assert (settings.language, settings.audio_languages) == ("no", ("no", "yes"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ja-JP", "ja"), ("jpn", "ja"), ("hin", "hi"), ("ENG", "en"), ("zh_Hant", "zh"), ("yue", "yue")],
)
def test_languages_are_spelled_as_the_tags_of_tracks(given: str, meant: str) -> None:
    settings = load_settings(None, {"SUBGEN_AUDIO_LANGUAGES": f"{given}, {meant}"}, {"language": given})
    assert (settings.language, settings.audio_languages) == (meant, (meant,))


@pytest.mark.parametrize("given", ["english", "xx", "und", "qaa", "e", "en US"])
def test_what_is_no_language_is_refused(given: str) -> None:
    said = complaint(None, {}, {"language": given})
    assert said == f"option language cannot be '{given}': allowed: a language code like en, jpn or pt-BR"


def test_a_revision_may_be_all_digits(write: Write) -> None:
    digits = "1234567890" * 4
    assert load_settings(write(f"revision: {digits}"), {}).revision == digits


def test_an_empty_file_changes_nothing(write: Write) -> None:
    assert load_settings(write("# nothing yet\n"), {}) == Settings()


@given(st.integers(-10_000, 10_000))
def test_only_legal_delays_pass(delay_ms: int) -> None:
    legal = delay_ms == 2400 or (80 <= delay_ms <= 1200 and delay_ms % 80 == 0)
    assert (delay_ms in LEGAL_DELAYS_MS) == legal
    if legal:
        assert load_settings(None, {}, {"delay_ms": delay_ms}).delay_ms == delay_ms
    else:
        assert "1120, 1200, 2400" in complaint(None, {}, {"delay_ms": delay_ms})


def test_an_unknown_key_is_named_with_its_file_and_the_likely_one(write: Write) -> None:
    path = write("delay: 480")
    said = complaint(path, {})
    assert said.startswith(
        f"{path}: delay is not a setting: did you mean delay_ms? allowed: model, revision, "
    )


def test_a_key_below_a_setting_is_shown_with_what_is_allowed(write: Write) -> None:
    path = write("chunk_seconds: {maxi: 3}")
    said = complaint(path, {})
    assert said == (
        f"{path}: chunk_seconds cannot be {{'maxi': 3}}: allowed: a whole number of seconds from 5 to 600"
    )


@pytest.mark.parametrize("text", ["7: x", "_env_file: x", "? [a]\n: b", "chunk_seconds: {3: x}", "<<: {}"])
def test_odd_keys_are_refused(write: Write, text: str) -> None:
    assert "given.yaml" in complaint(write(text), {})


def test_an_unknown_variable_is_named_with_the_likely_one() -> None:
    said = complaint(None, {"SUBGEN_DELAYMS": "480"})
    assert said.startswith(
        "environment variable SUBGEN_DELAYMS is not a setting: did you mean SUBGEN_DELAY_MS?"
    )
    assert "SUBGEN_LEAD_IN_SECONDS" in said
    said = complaint(None, {"SUBGEN_CHUNK_SECONDS__MIN": "20"})
    assert "__MIN is not a setting: did you mean SUBGEN_CHUNK_SECONDS? allowed: SUBGEN_MODEL," in said


def test_variables_of_others_and_of_the_scripts_are_let_be() -> None:
    environ = {"HOME": "/x", "PATH": "", "MYSUBGEN_X": "1", "SUBGEN_NO_INSTALL": "1", "SUBGEN_CONFIG": ""}
    assert load_settings(None, environ) == Settings()


def test_an_unknown_override_is_refused() -> None:
    assert complaint(None, {}, {"colour": "red"}).startswith("option colour is not a setting")


WRONG = {
    "delay_ms: 500": "delay_ms cannot be 500: allowed: 80, 160, ",
    "delay_ms: true": "delay_ms cannot be True: allowed: 80",
    "delay_ms:": "delay_ms cannot be empty: allowed: 80",
    "model: ''": "model cannot be '': allowed: a folder",
    "revision: true": "revision cannot be True: allowed: a commit",
    "formats: [srt, ass]": "formats cannot be 'ass': allowed: one or more of srt, vtt, json, tokens",
    "formats: []": "formats cannot be []: allowed: one or more",
    "language: German": "language cannot be 'German': allowed: a language code",
    "audio_languages: [en, '']": "audio_languages cannot be '': allowed: language codes",
    "output_dir: 3": "output_dir cannot be 3: allowed: a folder",
    "output_dir: ~nobody-of-this-name/x": "output_dir cannot be '~nobody-of-this-name/x': allowed",
    "overwrite: maybe": "overwrite cannot be 'maybe': allowed: true or false",
    "chunk_seconds: 4": "chunk_seconds cannot be 4: allowed: a whole number of seconds from 5 to 600",
    "chunk_seconds: 601": "chunk_seconds cannot be 601: allowed: a whole number of seconds from 5 to 600",
    "chunk_seconds: {min: 30, max: 60}": "chunk_seconds cannot be {'min': 30, 'max': 60}: allowed: a whole",
    "chunk_seconds: {}": "chunk_seconds cannot be {}: allowed: a whole number",
    "skip_silence_seconds: {after: 8}": "skip_silence_seconds cannot be {'after': 8}: allowed: a whole",
    "skip_silence_seconds: -1": "skip_silence_seconds cannot be -1: allowed: a whole number of seconds up to",
    "skip_silence_seconds:": "skip_silence_seconds cannot be empty: allowed: a whole number of seconds up",
    "skip_silence_seconds: false": "skip_silence_seconds cannot be False: allowed: a whole number",
    "lead_in_seconds: 11": "lead_in_seconds cannot be 11: allowed: a whole number of seconds from 0 to 10",
    "lead_in_seconds: 1.5": "lead_in_seconds cannot be '1.5': allowed: a whole number",
    "cache_bits: 4": "cache_bits cannot be 4: allowed: 8 or 16",
    "cache_bits: true": "cache_bits cannot be True: allowed: 8 or 16",
    "cache_bits: {keys: 8}": "cache_bits cannot be {'keys': 8}: allowed: 8 or 16",
    "lanes: 0": "lanes cannot be 0: allowed: a whole number from 1 to 256",
    "lanes: 2.5": "lanes cannot be '2.5': allowed",
    "media_extensions: [a/b]": "media_extensions cannot be 'a/b': allowed: file name extensions",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_value_is_named_with_its_file_and_what_is_allowed(write: Write, text: str) -> None:
    path = write(text)
    assert complaint(path, {}).startswith(f"{path}: {WRONG[text]}")


def test_a_wrong_variable_is_named() -> None:
    said = complaint(None, {"SUBGEN_CHUNK_SECONDS": "long"})
    assert said == (
        "environment variable SUBGEN_CHUNK_SECONDS cannot be 'long':"
        " allowed: a whole number of seconds from 5 to 600"
    )
    said = complaint(None, {"SUBGEN_CACHE_BITS": "4"})
    assert said == "environment variable SUBGEN_CACHE_BITS cannot be '4': allowed: 8 or 16"


def test_numbers_may_be_null_where_that_means_something(write: Write) -> None:
    path = write("chunk_seconds: null\nlanes:\ncache_bits: null")
    assert load_settings(path, {}) == Settings()
    text = "chunk_seconds: 5\nlanes: 256\ncache_bits: 16\nlead_in_seconds: 10\nskip_silence_seconds: 3600"
    settings = load_settings(write(text), {})
    assert (settings.chunk_seconds, settings.lanes, settings.cache_bits) == (5, 256, 16)
    assert (settings.lead_in_seconds, settings.skip_silence_seconds) == (10, 3600)


@pytest.mark.parametrize("key", Settings.model_fields)
def test_each_setting_says_what_it_takes(key: str) -> None:
    assert sum(isinstance(note, Allowed) for note in Settings.model_fields[key].metadata) == 1


def test_the_source_that_won_is_blamed(write: Write) -> None:
    said = complaint(write("lanes: 0"), {"SUBGEN_LANES": "many"})
    assert said.startswith("environment variable SUBGEN_LANES cannot be 'many'")
    assert load_settings(write("lanes: 0"), {"SUBGEN_LANES": "2"}).lanes == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lanes: 2\nformats: [srt", 2),
        ("lanes: 2\n\tformats: x", 2),
        ("lanes: 2\nlanes: 3", 2),
        ("a: !!python/object:os.system x", 1),
        ("a: 1\nb: \x00", 2),
        ("a: 1\nlanes: !!int abc", 2),
        ("lanes: !!int ''", 1),
        ("overwrite: !!bool foo", 1),
        ("model: !!timestamp foo", 1),
        ("a: 1\nlanes: " + "9" * 5000, 2),
    ],
)
def test_text_that_is_not_yaml_is_named_with_its_line(write: Write, text: str, line: int) -> None:
    path = write(text)
    assert complaint(path, {}).startswith(f"{path}, line {line}: not YAML: ")


def test_text_that_is_nested_too_deeply_is_refused(write: Write) -> None:
    path = write("model: " + "[" * 3000 + "]" * 3000)
    assert complaint(path, {}).startswith(f"{path}: nested too deeply: ")


def test_files_that_cannot_be_read_are_named(tmp_path: Path, write: Write) -> None:
    missing = tmp_path / "missing.yaml"
    assert complaint(missing, {}).startswith(f"{missing}: no such settings file")
    assert complaint(None, {"SUBGEN_CONFIG": str(missing)}).startswith(f"{missing}: no such settings file")
    assert complaint(tmp_path, {}).startswith(f"{tmp_path}: cannot be read (Is a directory)")
    latin = write("")
    latin.write_bytes(b"language: \xe9")
    assert complaint(latin, {}).startswith(f"{latin}: is not UTF-8 text")
    assert "holds no settings" in complaint(write("- delay_ms"), {})
