"""Enacts one case and says what the checkers found."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from byzsgd.experiment.build import machine_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.enact import Enactment, MakeMachine
from byzsgd.experiment.swarm.cases import Tables
from byzsgd.simulation.cost import UNIFORM
from byzsgd.simulation.parts import Answers


@dataclass(frozen=True)
class Verdict:
    """`broken` names the checker that objected, or the error that was raised; None: all is well.

    A world that stalled as the theory allows is well; `explained` says why it stalled.
    """

    broken: str | None
    explained: str | None
    text: str
    events: int
    steps: int
    history: str


def judge(
    tables: Tables,
    machine: MakeMachine = machine_of,
    answers: Callable[[Answers], Answers] = lambda answers: answers,
) -> Verdict:
    """What `byzsgd simulate` would say as well. Raises `ConfigError` for what is no experiment."""
    enactment = Enactment(Experiment.from_dict(tables), UNIFORM, machine, answers)
    try:
        ending = enactment.run()
    except Exception as error:  # a bug: as much of a finding as a violation
        return _verdict(enactment, type(error).__name__, text=traceback.format_exc())
    if ending.violation:
        return _verdict(enactment, ending.violation.checker, text=ending.text())
    return _verdict(enactment, None, ending.explained)


def _verdict(
    enactment: Enactment, broken: str | None, explained: str | None = None, text: str = ""
) -> Verdict:
    world = enactment.world
    steps = [machine.step for node, machine in world.machines.items() if node.role == "server"]
    top = max(steps, default=0)
    return Verdict(broken, explained, text, world.events, top, enactment.history)
