"""Option values that an experiment may give to an attack: each checked, each refusal in words."""

from collections.abc import Sequence
from typing import Any, Final

from byzsgd.attacks.attack import AUTO
from byzsgd.errors import ConfigError

SIZE_MAX: Final = 1e38
"""A larger number is none in float32, and some operations of torch refuse it."""


def number(
    attack: str, option: str, value: Any, *, least: float = -SIZE_MAX, most: float = SIZE_MAX
) -> float:
    """A number from `least` to `most`."""
    if type(value) not in (int, float) or not least <= value <= most:
        raise refusal(attack, option, value, _wanted(least, most))
    return float(value)


def strength(attack: str, option: str, value: Any) -> float | None:
    """A number of float32, or None for "auto"."""
    if value == AUTO:
        return None
    if type(value) not in (int, float) or not -SIZE_MAX <= value <= SIZE_MAX:
        raise refusal(attack, option, value, f'{_wanted(-SIZE_MAX, SIZE_MAX)} or "{AUTO}"')
    return float(value)


def index(attack: str, option: str, value: Any, *, least: int = 0) -> int:
    """A whole number from `least` on."""
    if type(value) is not int or value < least:
        raise refusal(attack, option, value, f"a whole number from {least} on")
    return value


def one_of(attack: str, option: str, value: Any, allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise refusal(attack, option, value, " or ".join(f'"{name}"' for name in allowed))
    return value


def refusal(attack: str, option: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{attack}: {option} = {value!r}: give {allowed}")


def _wanted(least: float, most: float) -> str:
    return f"a finite number from {least:g} to {most:g}"
