"""The documentation: complete, true of this version, and free of what belongs to one machine."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml

import subgen
from subgen.cli import build_parser
from subgen.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = sorted(Settings.model_fields)


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def names_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every command and long option below a parser."""
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for command, below in action.choices.items():
                yield command
                yield from names_of(below)


def shell_commands(markdown: str) -> list[list[str]]:
    """The words of each command in the ```sh blocks, without variables set before it."""
    commands = []
    for block in re.findall(r"^```sh\n(.*?)^```", markdown, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            commands += list(without_operators(list(lexer)))
    return commands


def without_operators(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if set(word) <= set("();<>|&"):
            if command:
                yield command
            command = []
        elif command or not re.match(r"\w+=", word):
            command.append(word)


def test_shell_commands_are_found() -> None:
    text = "```sh\n$ A=1 subgen x 'a b' && ls # why\n./scripts/test \\\n  --all\n```\n```\nsubgen no\n```\n"
    assert shell_commands(text) == [["subgen", "x", "a b"], ["ls"], ["./scripts/test", "--all"]]


@pytest.mark.parametrize("key", SETTINGS)
def test_each_setting_is_in_the_readme(readme: str, key: str) -> None:
    assert re.search(rf"\b{key}\b", readme), f"README.md does not mention {key}"


@pytest.mark.parametrize("name", ["SUBGEN_CONFIG", "SUBGEN_NO_INSTALL"])
def test_each_other_variable_is_in_the_readme(readme: str, name: str) -> None:
    assert name in readme


def test_the_settings_file_explains_every_setting() -> None:
    lines = (ROOT / "config/subgen.yaml").read_text(encoding="utf-8").splitlines()
    assert sorted(yaml.safe_load("\n".join(lines))) == SETTINGS
    for key in SETTINGS:
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
        assert lines[number - 1].startswith("# "), f"{key} has no comment above it"


@pytest.mark.parametrize("name", sorted(set(names_of(build_parser()))))
def test_each_command_and_option_is_in_the_readme(readme: str, name: str) -> None:
    assert re.search(rf"(?<![\w-]){name}(?![\w-])", readme), f"README.md does not mention {name}"


def test_the_readmes_commands_are_real(readme: str) -> None:
    ours = [words for words in shell_commands(readme) if words[0] in ("subgen", "./scripts/subgen")]
    assert ours
    for words in ours:
        try:
            build_parser().parse_args(words[1:])
        except SystemExit as end:
            assert end.code == 0, words  # 0: --help and --version


def test_the_readmes_scripts_are_there(readme: str) -> None:
    scripts = {words[0] for words in shell_commands(readme) if words[0].startswith("./")}
    assert "./scripts/test" in scripts
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(
        r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert newest is not None
    assert subgen.__version__ == project["version"] == newest[1]


def test_each_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = chain(project["dependencies"], *project["optional-dependencies"].values())
    pins = (ROOT / "scripts/constraints.txt").read_text(encoding="utf-8")
    for requirement in asked:
        name = re.split(r"[\[=<>;~! ]", requirement)[0]
        assert re.search(rf"^{name}==[\w.]+(;|$)", pins, re.MULTILINE | re.IGNORECASE), name
    assert "://" not in pins


def test_nothing_names_a_registry_or_a_place_on_one_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    names = ["pypi" + ".org", "python" + "hosted", "conda" + ".org", "/opt/" + "pypi", "npmjs" + ".com"]
    places = [r"(?<![\w.~-])/" + place + "/" for place in ("work", "home/[a-z]+/work", "Users/[a-z]+/work")]
    pattern = re.compile("|".join([*map(re.escape, names), *places]).encode())
    found = {str(path) for path in files if path.is_file() and pattern.search(path.read_bytes())}
    assert not found
