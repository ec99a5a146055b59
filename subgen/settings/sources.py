"""Where settings come from, who overrules whom, and what is said when one is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from subgen.errors import SettingsError
from subgen.settings.fields import Allowed, Settings
from subgen.settings.plain_yaml import read_yaml

PREFIX = "SUBGEN_"
OTHER_VARIABLES = ("SUBGEN_CONFIG", "SUBGEN_NO_INSTALL")
"""No settings, but known: which settings file to read, and what scripts/set-up may do."""


@dataclass(frozen=True)
class _Source:
    """Values by setting, and what a person calls the place of one of them."""

    values: Mapping[str, object]
    label: Callable[[str], str]


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
        _Source(given, lambda key: f"option {key}"),
        _from_environment(environ),
        _from_file(_chosen_file(path, environ)),
    )
    merged: dict[str, object] = {}
    for source in reversed(sources):
        _refuse_unknown(source)
        merged |= source.values
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise _wrong_value(error, sources) from error


def _from_environment(environ: Mapping[str, str]) -> _Source:
    """The variables that are ours; empty ones do not count."""
    known = {_variable(key): key for key in Settings.model_fields}
    ours = [name for name in environ if name.startswith(PREFIX) and name not in OTHER_VARIABLES]
    for name in ours:
        if name not in known:
            raise _unknown(f"environment variable {name}", name, list(known))
    values = {known[name]: environ[name] for name in ours if environ[name].strip()}
    return _Source(values, lambda key: f"environment variable {_variable(key)}")


def _variable(key: str) -> str:
    return PREFIX + key.upper()


def _chosen_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = str(path or environ.get("SUBGEN_CONFIG", ""))
    if named:
        return Path(os.path.expanduser(named))  # noqa: PTH111 - Path.expanduser fails on ~nobody
    usual = default_config_file()
    return usual if usual.exists() else None


def _from_file(path: Path | None) -> _Source:
    return _Source(read_yaml(path) if path else {}, lambda key: f"{path}: {key}")


def _refuse_unknown(source: _Source) -> None:
    known = list(Settings.model_fields)
    for key in source.values:
        if key not in known:
            raise _unknown(source.label(key), key, known)


def _unknown(label: str, name: str, known: list[str]) -> SettingsError:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return SettingsError(f"{label} is not a setting", f"{hint}allowed: {', '.join(known)}")


def _wrong_value(error: ValidationError, sources: tuple[_Source, ...]) -> SettingsError:
    """The first thing wrong, with the source that said it: the highest one that speaks of it."""
    first = error.errors()[0]
    key = str(first["loc"][0])
    label = next(source.label(key) for source in sources if key in source.values)
    given = "empty" if first["input"] is None else repr(first["input"])
    return SettingsError(f"{label} cannot be {given}", f"allowed: {_allowed(key)}")


def _allowed(key: str) -> str:
    """What a setting takes, in words."""
    return next(note.text for note in Settings.model_fields[key].metadata if isinstance(note, Allowed))
