"""Everything that an experiment can name, with a line about each."""

from collections.abc import Callable
from typing import Literal

Kind = Literal["aggregators", "attacks", "tasks", "models"]


def names(kind: Kind) -> dict[str, str]:
    return _NAMES[kind]()


def _aggregators() -> dict[str, str]:
    from byzsgd.aggregators import AGGREGATORS

    return {name: _also(f"needs {rule.bound}", rule.aliases) for name, rule in AGGREGATORS.items()}


def _attacks() -> dict[str, str]:
    from byzsgd.attacks import ATTACKS

    return {
        name: _also(_with_options(attack.summary, attack.options), attack.aliases)
        for name, attack in ATTACKS.items()
    }


def _tasks() -> dict[str, str]:
    from byzsgd.training import TASKS
    from byzsgd.training.datasets import DATASETS

    return {name: _first_line(DATASETS.get(name)) for name in TASKS}


def _models() -> dict[str, str]:
    from byzsgd.training import MODELS

    return {name: _first_line(model) for name, model in MODELS.items()}


_NAMES: dict[str, Callable[[], dict[str, str]]] = {
    "aggregators": _aggregators,
    "attacks": _attacks,
    "tasks": _tasks,
    "models": _models,
}


def _also(text: str, aliases: tuple[str, ...]) -> str:
    return f"{text}; also {', '.join(aliases)}" if aliases else text


def _with_options(text: str, options: tuple[str, ...]) -> str:
    return f"{text}; options {', '.join(options)}" if options else text


def _first_line(thing: object) -> str:
    return (getattr(thing, "__doc__", None) or "").split("\n")[0]
