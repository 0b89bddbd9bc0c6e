"""`[sweep]`: its axes, checked, all in the long form of named variants."""

import json
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Final

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from byzsgd.errors import ConfigError, unknown_name
from byzsgd.experiment.complaints import Fault, Faults, Table, complain, quoted, toml
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.load import with_overrides

CELLS_MAX: Final = 10_000
_OURS: Final = {
    "name": "is the same for all of a sweep, whose records are in one folder",
    "seed": "is seed, seed + 1, … of the file: see sweep.repeat",
    "sweep": "cannot be changed by a variant of the sweep",
}

Changes = Mapping[str, Any]
"""New values of dotted keys, in the order in which they are set."""


class SweepTable(Table):
    """`axes` is, by name and in the file's order, what each of the axis' variants changes.

    The first variant of the first axis is the reference that others are compared with. Without
    axes there is one cell, repeated.
    """

    repeat: int = Field(default=1, ge=1, description="a whole number, at least 1")
    target: float | None = Field(
        default=None, gt=0, le=1, description="an accuracy, above 0 and up to 1, such as 0.9"
    )
    axes: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)

    @field_validator("axes", mode="before")
    @classmethod
    def _each_axis(cls, given: object, info: ValidationInfo) -> dict[str, dict[str, Changes]]:
        if not isinstance(given, Mapping):
            raise Faults([Fault((), "must be a table of axes", toml(given))])
        axes = {str(name): _variants(str(name), axis) for name, axis in given.items()}
        faults = [fault for name, axis in given.items() for fault in _faults(str(name), axis)]
        cells = info.data.get("repeat", 1) * prod(map(len, axes.values()))
        if not faults and cells > CELLS_MAX:
            text = f"make {cells:,} cells with all repetitions; at most {CELLS_MAX:,} are allowed"
            faults = [Fault((), text)]
        if faults:
            raise Faults(faults)
        return axes


def sweep_table(given: object, source: str) -> SweepTable:
    """Raises `ConfigError` with all that is wrong, under the keys of the file."""
    try:
        return _Frame.model_validate({"sweep": given}).sweep
    except ValidationError as error:
        raise complain(source, error) from None


class _Frame(Table):
    """Gives faults their place in the file."""

    sweep: SweepTable


def _variants(name: str, axis: object) -> dict[str, Changes]:
    """By name; a value of the short form is called by itself."""
    if isinstance(axis, list):
        return {_called(value): {name: value} for value in axis}
    return dict(axis) if isinstance(axis, Mapping) else {}


def _faults(name: str, axis: object) -> Iterator[Fault]:
    if not isinstance(axis, list | Mapping):
        text = "must be a list of values of one key, or a table of variants"
        yield Fault((name,), text, toml(axis))
    elif not axis:
        yield Fault((name,), "has no variants", toml(axis))
    elif isinstance(axis, list):
        yield from _short_faults(name, axis)
    else:
        for variant, changes in axis.items():
            yield from _long_faults(name, str(variant), changes)


def _short_faults(name: str, values: list[Any]) -> Iterator[Fault]:
    # whatever is wrong with the key is so for each of its values: it is told once
    texts = [text for value in values for text in _change_faults(name, value)]
    yield from (Fault((name,), text, toml(values)) for text in dict.fromkeys(texts))
    names = list(map(_called, values))
    for twice in dict.fromkeys(one for one in names if names.count(one) > 1):
        yield Fault((name,), f"has {twice} more than once", toml(values))


def _long_faults(name: str, variant: str, changes: object) -> Iterator[Fault]:
    if not isinstance(changes, Mapping):
        text = 'must be a table of what it changes, such as { "plan.gather_every" = 5 }'
        if isinstance(changes, list):
            key = f'"{name}.{variant}" = {toml(changes)}'
            text += f", or, if values of one key are meant, that key in quotes: {key}"
        yield Fault((name, variant), text, toml(changes))
        return
    for key, value in changes.items():
        for text in _change_faults(str(key), value):
            yield Fault((name, variant, str(key)), text, toml(value))


def _change_faults(key: str, value: object) -> Iterator[str]:
    try:
        [(first, below)] = with_overrides({}, {key: 0}).items()
    except ConfigError as error:
        yield str(error)
        return
    if first in _OURS:
        yield _OURS[first]
    elif first not in Experiment.model_fields:
        yield str(unknown_name("key", first, Experiment.model_fields))
    elif isinstance(value, Mapping) and value and not isinstance(below, dict):
        inner = f"{first}.{quoted(str(next(iter(value))))}"
        yield f"would replace all of [{first}]: write dotted keys in quotes, such as '{inner}' = …"


def _called(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
