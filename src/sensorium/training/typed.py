"""Nested tables, as TOML and JSON have them, to records: frozen dataclasses that nest alike.

A wrong key is an error that names the right one.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from sensorium.errors import ConfigError, InputError, closest
from sensorium.files import StrPath, read_errors

Record = TypeVar("Record")


def override(values: dict[str, Any], setting: str) -> None:
    """Set one value of nested tables.

    Args:
        values: changed in place.
        setting: "section.key=value", the value as in TOML; a string may go without quotes.

    Raises:
        InputError: it does not read so.
        ConfigError: a section of it is a value.
    """
    key, equals, text = setting.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"{setting!r} does not read section.key=value", fix="For example --set optim.lr=3e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    place = values
    for name in names[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{key} has no parts", where=f"--set {setting}")
    place[names[-1]] = value


def record(kind: type[Record], values: Mapping[str, Any], *, where: str) -> Record:
    """A record of a frozen dataclass, and the records in it, of nested tables.

    Raises:
        ConfigError: a key is unknown or missing, or a value is of the wrong type.
    """
    made: Record = _build(kind, kind, values, "", where)
    return made


def _build(root: type[Any], kind: type[Any], values: Mapping[str, Any], prefix: str, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    for name in values:
        if name not in known:
            guess = closest(name, known) or (None if prefix else _section_of(root, name))
            hint = f"; did you mean {prefix}{guess}?" if guess else ""
            raise ConfigError(f"unknown key {prefix}{name}{hint}", where=where, fix=f"Known: {', '.join(known)}")
    missing = [
        f"{prefix}{name}"
        for name, f in known.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"missing {', '.join(missing)}", where=where, fix="Add it to the recipe, or give it by --set")
    return kind(**{name: _value(root, hints[name], value, f"{prefix}{name}", where) for name, value in values.items()})


def _section_of(root: type[Any], name: str) -> str | None:
    """The full key of a field whose section was left out."""
    for section, hint in typing.get_type_hints(root).items():
        for kind in _options(hint):
            if dataclasses.is_dataclass(kind) and name in {field.name for field in dataclasses.fields(kind)}:
                return f"{section}.{name}"
    return None


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _value(root: type[Any], hint: Any, value: Any, key: str, where: str) -> Any:
    options = _options(hint)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(option, type) and value is not None:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{key} is not a table", where=where)
            return _build(root, option, value, f"{key}.", where)
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{key}={value!r} is not one of {', '.join(map(str, choices))}", where=where)
        return value
    if float in options and int not in options and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not any(type(value) is option for option in options):
        names = " or ".join("none" if option is type(None) else option.__name__ for option in options)
        raise ConfigError(f"{key}={json.dumps(value, default=str)} is not of type {names}", where=where)
    return value


def read_recipe(kind: type[Record], source: Record | StrPath | None, overrides: Sequence[str] = ()) -> Record:
    """A recipe of its own class: one that is given, a TOML file's, or the defaults; with overrides on top.

    Args:
        kind: the class, all of whose fields have defaults.
        source: where it comes from.
        overrides: "section.key=value", values as in TOML; strings may go without quotes.

    Raises:
        InputError: the file is not there, or cannot be read.
        ConfigError: a key is unknown, or a value is wrong.
    """
    values = values_of(kind, source)
    for setting in [overrides] if isinstance(overrides, str) else overrides:
        override(values, setting)
    return record(kind, values, where="the recipe" if source is None or isinstance(source, kind) else str(source))


def values_of(kind: type[Record], source: Record | StrPath | None) -> dict[str, Any]:
    """The values of a recipe before they are checked: of one that is given, a TOML file's over the defaults, or these.

    Raises:
        InputError: the file is not there, or cannot be read.
        ConfigError: it is not TOML.
    """
    if isinstance(source, kind):
        return dataclasses.asdict(source)  # type: ignore[call-overload,no-any-return]
    values: dict[str, Any] = dataclasses.asdict(kind())  # type: ignore[call-overload]
    if source is not None:
        _merge(values, _toml(Path(str(source))))
    return values


def _toml(path: Path) -> dict[str, Any]:
    if path.suffix != ".toml":
        raise InputError("a recipe is a TOML file", where=str(path), fix="Name one, or leave --recipe out")
    with read_errors(path):
        content = path.read_bytes()
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path), fix="Mend the file") from error


def _merge(values: dict[str, Any], own: dict[str, Any]) -> None:
    """Put a file's values over the defaults, section by section."""
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
