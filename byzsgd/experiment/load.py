"""From a file and the command line's `--set` to plain tables, before anything is checked."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from byzsgd.errors import ConfigError

EXAMPLES: Final = Path(__file__).with_name("examples")
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_RANGE: Final = re.compile(r'(?<!["\w])((?:server|worker)-\d+\.\.\d+)')


def read_table(path: str | PathLike[str]) -> dict[str, Any]:
    """What is in a TOML file, or in a JSON file. Raises `ConfigError` with the line."""
    path = Path(path)
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file{_examples(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from None
    return _json(path, text) if path.suffix == ".json" else _toml(path, text)


def with_overrides(tables: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    """A copy of `tables` in which each dotted key has its new value."""
    result = _copied(tables)
    for key, value in overrides.items():
        *parents, last = _parts(key)
        table = result
        for number, parent in enumerate(parents):
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                above = ".".join(parents[: number + 1])
                raise ConfigError(f"{key}: cannot be set, because {above} is not a table")
        table[last] = _copied(value) if isinstance(value, Mapping) else value
    return result


def parse_settings(settings: Iterable[str]) -> dict[str, object]:
    """Overrides from words like `plan.steps=50`: values are TOML, and bare words are text."""
    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {setting}: write KEY=VALUE, such as plan.steps=50")
        overrides[key.strip()] = _value(value.strip())
    return overrides


def _value(text: str) -> object:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _parts(key: str) -> list[str]:
    """The parts of a dotted key, read as TOML reads it; a range of nodes may go unquoted."""
    try:
        table: Any = tomllib.loads(_RANGE.sub(r'"\1"', key) + " = 0")
    except tomllib.TOMLDecodeError:
        table = {}
    parts = []
    while isinstance(table, dict) and len(table) == 1:
        [(part, table)] = table.items()
        parts.append(part)
    if not parts or table != 0:
        raise ConfigError(f"{key}: is no key, such as plan.steps or byzantine.worker-0..1.attack")
    return parts


def _copied(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copied(value) if isinstance(value, Mapping) else value
        for key, value in tables.items()
    }


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        place = _PLACE.search(reason)
        line, column = place.groups() if place else (None, None)
        where = f"{line}:{column}" if line else f"{len(text.splitlines()) or 1}"
        raise ConfigError(f"{path}:{where}: {_PLACE.sub('', reason)}") from None


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        tables = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: {error.msg}") from None
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: must be one object with the tables of an experiment")
    return tables


def _examples(path: Path) -> str:
    """Where the packaged example is, if that was meant."""
    names = {example.stem: example for example in EXAMPLES.glob("*.toml")}
    return f"; the example is {names[path.stem]}" if path.stem in names else ""
