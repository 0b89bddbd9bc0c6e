"""`[cluster]` and `[plan]`: tables around the dataclasses that know their own bounds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, Final, get_type_hints

from pydantic import BeforeValidator, ValidationError, create_model

from byzsgd.cluster import Cluster, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Fault, Faults, Table, faults_in, toml

MODEL_SAVES: Final = 20
"""How often a model is saved over a run that does not say it."""


def _cluster(given: object) -> Cluster:
    """A cluster of a table; a fault on one side does not hide one on the other."""
    if isinstance(given, Cluster):
        return given
    values, faults = _typed(_CLUSTER, given)
    faulty = {key for fault in faults for key in fault.key}
    for side, other in (("servers", "workers"), ("workers", "servers")):
        alone = {key: value for key, value in values.items() if key.endswith(side)}
        if side in alone and not any(key.endswith(side) for key in faulty):
            faults += [Fault((), text) for text in _complaints(Cluster, {**alone, other: 1})]
    if faults:
        raise Faults(faults)
    return Cluster(**values)


def _plan(given: object) -> Plan:
    """A plan of a table, or all of its faults; `save_every` is filled in where it is left out."""
    if isinstance(given, Plan):
        return given
    values, faults = _typed(_PLAN, given)
    for key, value in values.items():
        for text in _complaints(Plan, {"steps": 1, key: value}):
            faults.append(Fault((key,), text.removeprefix(f"{key} = {value!r}: "), toml(value)))
    if faults:
        raise Faults(faults)
    values.setdefault("save_every", max(1, values["steps"] // MODEL_SAVES))
    return Plan(**values)


ClusterField = Annotated[Cluster, BeforeValidator(_cluster)]
PlanField = Annotated[Plan, BeforeValidator(_plan)]


def _table_of(cls: type, *not_built: str) -> type[Table]:
    """The table with a dataclass's fields: pydantic checks the types, the dataclass the rest."""
    hints = get_type_hints(cls)
    keys: dict[str, Any] = {
        field.name: (hints[field.name], ... if field.default is MISSING else field.default)
        for field in fields(cls)
    }
    table: type[Table] = create_model(cls.__name__, __base__=Table, **keys)
    table.not_built = frozenset(not_built)
    return table


def _typed(table: type[Table], given: object) -> tuple[dict[str, Any], list[Fault]]:
    """What is given and of the right type, and what is not."""
    try:
        return table.model_validate(given).model_dump(exclude_unset=True), []
    except ValidationError as error:
        faults = faults_in(error)
    faulty = {fault.key[:1] for fault in faults}
    table_given = given if isinstance(given, Mapping) else {}
    return {key: value for key, value in table_given.items() if (key,) not in faulty}, faults


def _complaints(make: Callable[..., object], values: Mapping[str, Any]) -> Iterator[str]:
    try:
        make(**values)
    except ConfigError as error:
        yield str(error)


_CLUSTER: Final = _table_of(Cluster)
_PLAN: Final = _table_of(Plan)
