"""Attacks on data and by training: what an experiment's liars do with its task."""

import torch

from byzsgd.attacks import ATTACKS, resolve
from byzsgd.attacks.poison import Poison
from byzsgd.cluster import NodeId
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.lies import Lie
from byzsgd.training.examples import Examples
from byzsgd.training.task import Task, classes_of
from byzsgd.training.triggers import Trigger, trigger

_OF_TRIGGERS = ("kind", "samples", "size")


def poison_of(experiment: Experiment, me: NodeId, task: Task) -> Poison | None:
    """What `me` does to its batches; None for all but liars whose attack is on data.

    Raises `ConfigError` where the task is not one that the attack of `me` works with.
    """
    lie = experiment.liars.get(me)
    if lie is None:
        return None
    attack = resolve(lie.attack)
    if attack.data is None and not attack.trains:
        return None
    classes = classes_of(task, f"attack {attack.name}")
    if attack.trains:  # its lies are made elsewhere: only whether they can be
        _trigger_of(lie).lessons(task, torch.zeros(1, dtype=torch.int64))
        return None
    return Poison(attack, classes, lie.options, lie.window)


def exams_of(experiment: Experiment, task: Task) -> list[Examples]:
    """For each different backdoor the inputs with its trigger, and the class they are to get.

    Raises `ConfigError` where the task is not one that has them.
    """
    lies = filter(_is_backdoor, experiment.liars.values())
    return [mark.exam(task) for mark in dict.fromkeys(map(_trigger_of, lies))]


def _is_backdoor(lie: Lie) -> bool:
    return resolve(lie.attack) is ATTACKS["backdoor"]


def _trigger_of(lie: Lie) -> Trigger:
    return trigger(**{key: lie.options[key] for key in _OF_TRIGGERS if key in lie.options})
