"""A name, or a table with a `name` and options: how a file names rules, steps and schedulers."""

from collections.abc import Mapping
from typing import Any

from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import toml

Named = str | dict[str, Any]


def split(given: object, flags: bool = False) -> tuple[str, dict[str, Any]]:
    """Name and options; true and false are values only where there are `flags`."""
    if isinstance(given, str):
        return given, {}
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ConfigError('must be a name, or a table such as { name = "bulyan", base = "mda" }')
    options = {str(key): value for key, value in given.items() if key != "name"}
    for key, value in options.items():
        if type(value) not in (str, int, float) and not (flags and isinstance(value, bool)):
            raise ConfigError(f"{key} = {toml(value)}: must be text or a number")
    return given["name"], options


def joined(name: str, options: Mapping[str, Any]) -> Named:
    return {"name": name, **options} if options else name
