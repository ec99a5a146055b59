"""A settings file as nested values; YAML whose plain words mean what they look like.

In YAML 1.1, which pyyaml reads, `no` is False (and not Norwegian), `1:30` is 90 and a key given
twice silently counts once. Here only null, true, false and whole decimal numbers are more than text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from subgen.errors import SettingsError


class _PlainLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class does, but a key that is there twice is an error."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """As the base class does, but `!!int abc` and numbers without end are errors of the text."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"not a valid {kind}", node.start_mark) from error


_PlainLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(~|null|)$", ["~", "n", ""]),
    ("bool", r"^(true|false)$", ["t", "f"]),
    ("int", r"^-?(0|[1-9][0-9]*)$", list("-0123456789")),
):
    _PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read_yaml(path: Path) -> dict[str, object]:
    """The values of a settings file, with text as keys on its first level.

    Raises:
        SettingsError: no such file, not readable, not UTF-8, not YAML (with the line), or no settings.
    """
    content = _parsed(path, _text(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no settings", "write lines like `delay_ms: 2400`")
    return {str(key): value for key, value in content.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such settings file", "name one that exists, or none") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})", "name a readable file") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text", "save it as UTF-8") from error


def _parsed(path: Path, text: str) -> object:
    try:
        return yaml.load(text, _PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SettingsError(f"{path}, line {line}: not YAML", f"{error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise SettingsError(f"{path}, line {line}: not YAML", f"{error.reason}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: nested too deeply", "write lines like `delay_ms: 2400`") from error
