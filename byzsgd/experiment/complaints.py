"""What is wrong with an experiment, all of it at once, in the words of the file's own keys."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError
from pydantic import model_validator as validator
from pydantic_core import ErrorDetails

from byzsgd.errors import ConfigError, unknown_name


class Fault(NamedTuple):
    """`key` leads from the table that found it to the value; `found` shows that value."""

    key: tuple[str, ...]
    text: str
    found: str = ""

    def __str__(self) -> str:
        where = ".".join(quoted(part) for part in self.key) or "experiment"
        found = f" = {self.found:.60}{'…' if len(self.found) > 60 else ''}" if self.found else ""
        return f"{where}{found}: {self.text}"


class Faults(ValueError):  # noqa: N818 - its name is what it carries
    """Several at once. A validator raises it; the table around it adds its own key in front."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__()
        self.faults = tuple(faults)


class Table(BaseModel):
    """A TOML table: frozen, strictly typed, no unknown keys; all of its faults are reported."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
    not_built: ClassVar[frozenset[str]] = frozenset()
    """Keys, and values as `key=value`, whose part of the system does not exist yet."""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """What is said of keys that have no place here and are none that nobody knows."""

    @validator(mode="wrap")
    @classmethod
    def _all_faults(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            found = [fault for detail in error.errors() for fault in _faults(detail, cls, given)]
            raise Faults(dict.fromkeys(found)) from None


def complain(source: str, error: ValidationError) -> ConfigError:
    """The one error for a whole experiment."""
    faults = faults_in(error)
    if len(faults) == 1:
        return ConfigError(f"{source}: {faults[0]}")
    lines = "".join(f"\n  {fault}" for fault in faults)
    return ConfigError(f"{source}: {len(faults)} faults{lines}")


def faults_in(error: ValidationError) -> list[Fault]:
    """What a `Table` found wrong, once pydantic has packed it into an error of its own."""
    return [fault for detail in error.errors() for fault in _inner(detail)]


def quoted(key: str) -> str:
    """A part of a dotted key as TOML wants it."""
    bare = key.isascii() and key.replace("-", "a").replace("_", "a").isalnum()
    return key if bare else f'"{key}"'


def toml(value: object) -> str:
    """A value as one would write it in the file; nothing for a table, which says it itself."""
    match value:
        case None | Mapping():
            return ""
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(toml(item) or '{…}' for item in value)}]"
        case _:
            return str(value)


def _faults(detail: ErrorDetails, table: type[Table], given: object) -> list[Fault]:
    inner = _inner(detail)
    if not detail["loc"]:
        return inner or [Fault((), _TEXTS.get(detail["type"], detail["msg"]), toml(given))]
    # What follows the first part is a tag of a union or an index in a list: no key of the file.
    key = str(detail["loc"][0])
    if inner:
        return [fault._replace(key=(key, *fault.key)) for fault in inner]
    if key in table.elsewhere:
        return [Fault((key,), table.elsewhere[key])]
    value = given.get(key) if isinstance(given, Mapping) else None
    if not table.not_built.isdisjoint({key, f"{key}={value}"}):
        return [Fault((key,), "is not built yet", toml(value))]
    return [Fault((key,), _text(detail, table, key), toml(value))]


def _inner(detail: ErrorDetails) -> list[Fault]:
    """The faults that one of our own validators found, if it was one."""
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, Faults):
        return list(error.faults)
    if isinstance(error, ConfigError):
        return [Fault((), str(error), toml(detail["input"]))]
    return []


def _text(detail: ErrorDetails, table: type[Table], key: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    fields = {field.alias or name: field for name, field in table.model_fields.items()}
    if kind == "extra_forbidden":
        return str(unknown_name("key", key, fields))
    if kind == "missing":
        return "is missing"
    if kind == "union_tag_invalid":
        known = [name.strip(" '") for name in context["expected_tags"].split(",")]
        return str(unknown_name("kind", context["tag"], known))
    field = fields.get(key)
    if field is not None and field.description:
        return f"must be {field.description}"
    return _TEXTS.get(kind, detail["msg"]).format(**context).replace("'", '"')


_TEXTS = {
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "literal_error": "must be {expected}",
    "model_attributes_type": "must be a table",
    "model_type": "must be a table",
    "string_type": "must be text",
}
