"""Where settings come from, who overrules whom, and what is said when one is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from subgen.errors import SettingsError
from subgen.settings.fields import Allowed, Settings
from subgen.settings.plain_yaml import read_yaml

PREFIX = "SUBGEN_"
OTHER_VARIABLES = ("SUBGEN_CONFIG", "SUBGEN_NO_INSTALL")
"""No settings, but known: which settings file to read, and what scripts/set-up may do."""


@dataclass(frozen=True)
class _Source:
    """Nested values, and what a person calls the place of one of them."""

    values: Mapping[str, object]
    label: Callable[[tuple[str, ...]], str]

    def holds(self, keys: tuple[str, ...]) -> bool:
        """Whether it says something about this setting, or about this group of settings."""
        inside: object = self.values
        for key in keys:
            if not isinstance(inside, Mapping) or key not in inside:
                return False
            inside = inside[key]
        return True


class _HandedEnvironment(EnvSettingsSource):
    """The variables of a mapping that is handed in, instead of the process's. Empty ones do not count."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self.env_vars = {name.lower(): text for name, text in environ.items() if text.strip()}


def default_config_file() -> Path:
    """Where a person's settings file is looked for if none is named; it need not be there."""
    return Path(platformdirs.user_config_dir("subgen", appauthor=False)) / "subgen.yaml"


def load_settings(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Settings:
    """Put the sources together: `overrides` (None: not given), then `environ`, then a settings file.

    The file is `path`, else what SUBGEN_CONFIG names, else `default_config_file()` if there is one.
    Relative paths, wherever they stand, are relative to the working directory.

    Raises:
        SettingsError: a key that is none, a value that is not allowed, or a file that cannot be read.
    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    sources = (
        _Source(given, lambda keys: f"option {'.'.join(keys)}"),
        _from_environment(environ),
        _from_file(_chosen_file(path, environ)),
    )
    merged: object = {}
    for source in reversed(sources):
        _refuse_unknown(source, source.values, Settings, ())
        merged = _merged(merged, source.values)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise _wrong_value(error, sources) from error


def _from_environment(environ: Mapping[str, str]) -> _Source:
    ours = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    known = [_variable(keys) for keys in _every_setting(Settings)]
    for name in ours:
        if name not in known and name not in OTHER_VARIABLES:
            raise _unknown(f"environment variable {name}", name, known)
    return _Source(_HandedEnvironment(ours)(), lambda keys: f"environment variable {_variable(keys)}")


def _variable(keys: tuple[str, ...]) -> str:
    return PREFIX + "__".join(keys).upper()


def _chosen_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = str(path or environ.get("SUBGEN_CONFIG", ""))
    if named:
        return Path(os.path.expanduser(named))  # noqa: PTH111 - Path.expanduser fails on ~nobody
    usual = default_config_file()
    return usual if usual.exists() else None


def _from_file(path: Path | None) -> _Source:
    values = read_yaml(path) if path else {}
    return _Source(values, lambda keys: f"{path}: {'.'.join(keys)}")


def _group(kind: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model behind a setting that is a group of settings, else None."""
    inner = kind.model_fields[key].annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _every_setting(kind: type[BaseModel]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key in kind.model_fields:
        group = _group(kind, key)
        found += [(key, *inner) for inner in _every_setting(group)] if group else [(key,)]
    return found


def _refuse_unknown(
    source: _Source, values: Mapping[str, object], kind: type[BaseModel], above: tuple[str, ...]
) -> None:
    for key, value in values.items():
        if key not in kind.model_fields:
            raise _unknown(source.label((*above, str(key))), str(key), list(kind.model_fields))
        group = _group(kind, key)
        if group and isinstance(value, Mapping):
            _refuse_unknown(source, value, group, (*above, key))


def _unknown(label: str, name: str, known: list[str]) -> SettingsError:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return SettingsError(f"{label} is not a setting", f"{hint}allowed: {', '.join(known)}")


def _merged(below: object, above: object) -> object:
    """`above` wins, but two groups are merged key by key."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    both = {key: _merged(below[key], above[key]) for key in below if key in above}
    return {**below, **above, **both}


def _wrong_value(error: ValidationError, sources: tuple[_Source, ...]) -> SettingsError:
    """The first thing wrong, with the source that said it: the highest one that speaks of it."""
    first = error.errors()[0]
    keys = tuple(part for part in first["loc"] if isinstance(part, str))
    label = next(source.label(keys) for source in sources if source.holds(keys))
    given = "empty" if first["input"] is None else repr(first["input"])
    return SettingsError(f"{label} cannot be {given}", f"allowed: {_allowed(keys)}")


def _allowed(keys: tuple[str, ...]) -> str:
    """What the innermost setting on the way that says so takes."""
    kind: type[BaseModel] | None = Settings
    text = ""
    for key in keys:
        if kind is None:
            break
        notes = kind.model_fields[key].metadata
        text = next((note.text for note in notes if isinstance(note, Allowed)), text)
        kind = _group(kind, key)
    return text
