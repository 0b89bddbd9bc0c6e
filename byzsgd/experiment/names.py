"""Everything that an experiment can name, with a line about each."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from byzsgd.aggregators import Preaggregation, Rule

Kind = Literal["aggregators", "preaggregations", "attacks", "schedulers", "tasks", "models"]


def names(kind: Kind) -> dict[str, str]:
    return _NAMES[kind]()


def _aggregators() -> dict[str, str]:
    from byzsgd.aggregators import AGGREGATORS

    return _rules(AGGREGATORS)


def _preaggregations() -> dict[str, str]:
    from byzsgd.aggregators import PREAGGREGATIONS

    return _rules(PREAGGREGATIONS)


def _rules(made: "Mapping[str, Rule] | Mapping[str, Preaggregation]") -> dict[str, str]:
    from byzsgd.aggregators.registry import options_of

    return {
        name: _also(_with_options(f"needs {one.bound}", options_of(one)), one.aliases)
        for name, one in made.items()
    }


def _attacks() -> dict[str, str]:
    from byzsgd.attacks import ATTACKS

    return {
        name: _also(_with_options(attack.summary, attack.options), attack.aliases)
        for name, attack in ATTACKS.items()
    }


def _schedulers() -> dict[str, str]:
    from byzsgd.simulation.schedulers import SCHEDULERS

    return {n: _with_options(order.summary, order.options) for n, order in SCHEDULERS.items()}


def _tasks() -> dict[str, str]:
    from byzsgd.training import TASKS
    from byzsgd.training.datasets import DATASETS

    return {name: _first_line(DATASETS.get(name)) for name in TASKS}


def _models() -> dict[str, str]:
    from byzsgd.training import MODELS

    return {name: _first_line(model) for name, model in MODELS.items()}


_NAMES: dict[str, Callable[[], dict[str, str]]] = {
    "aggregators": _aggregators,
    "preaggregations": _preaggregations,
    "attacks": _attacks,
    "schedulers": _schedulers,
    "tasks": _tasks,
    "models": _models,
}


def _also(text: str, aliases: tuple[str, ...]) -> str:
    return f"{text}; also {', '.join(aliases)}" if aliases else text


def _with_options(text: str, options: tuple[str, ...]) -> str:
    return f"{text}; options {', '.join(options)}" if options else text


def _first_line(thing: object) -> str:
    return (getattr(thing, "__doc__", None) or "").split("\n")[0]
