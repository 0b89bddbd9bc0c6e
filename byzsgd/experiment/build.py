"""From an experiment and a node's name to its machine and its compute."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from byzsgd.attacks import Byzantine, resolve
from byzsgd.cluster import Mode, NodeId, Role
from byzsgd.compute import Compute, Settings
from byzsgd.experiment.config import Experiment
from byzsgd.protocol import (
    Gradient,
    Machine,
    Model,
    Pull,
    Server,
    Vector,
    Whisper,
    Worker,
)
from byzsgd.training.flat import FlatModel, flat_model
from byzsgd.training.partition import partition
from byzsgd.training.task import Task, load_task
from byzsgd.wire import KINDS, Layout


class Parts(NamedTuple):
    """What one node is made of."""

    machine: Machine
    compute: Compute
    layout: Layout


class Saved(NamedTuple):
    """What a server's machine begins with: at first the initial model, later its checkpoint."""

    step: int
    params: Vector


def build(
    experiment: Experiment,
    me: NodeId,
    saved: Saved | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Parts:
    """The node `me`, lying if the experiment says so; restarted with what it `saved`.

    `clock` measures its computations. Raises `ConfigError` for a task or model that cannot be had.
    """
    task, flat = learnt(experiment)
    shard = shard_of(experiment, me, task)
    compute = Compute(me, task, flat, settings_of(experiment), shard, clock)
    machine = machine_of(experiment, me, saved or Saved(0, flat.vector()))
    return Parts(machine, compute, layout_of(experiment, flat.dimension))


def learnt(experiment: Experiment) -> tuple[Task, FlatModel]:
    """The task, and the initial model that all servers share."""
    task = load_task(experiment.training.task, model=experiment.training.model)
    return task, flat_model(task.model, experiment.seed)


def machine_of(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    """The machine of one node; a worker begins anew, whatever was saved."""
    make = _lying if me in experiment.liars else _honest
    return make(experiment, me, saved)


def hears(experiment: Experiment, me: NodeId) -> dict[NodeId, frozenset[int]]:
    """For each peer of `me` the kinds of message that it is listened to for.

    Servers are linked with everybody. Workers have nothing to say to one another, except liars of
    one side who collude.
    """
    fellows = fellows_of(experiment, me)
    peers = [node for node in experiment.cluster.nodes if node != me]
    linked = [node for node in peers if "server" in (node.role, me.role) or node in fellows]
    mode = experiment.plan.mode
    return {node: _kinds(node, node in fellows, mode) for node in linked}


def fellows_of(experiment: Experiment, me: NodeId) -> tuple[NodeId, ...]:
    """The liars that `me` colludes with: workers of the same colluding attack."""
    mine = experiment.liars.get(me)
    if mine is None or me.role != "worker" or not resolve(mine.attack).colludes:
        return ()
    return tuple(
        node
        for node, lie in experiment.liars.items()
        if node != me and node.role == me.role and resolve(lie.attack) == resolve(mine.attack)
    )


def settings_of(experiment: Experiment) -> Settings:
    return Settings(
        cluster=experiment.cluster,
        seed=experiment.seed,
        batch=experiment.training.batch,
        gradient=experiment.training.gradient,
        rate=experiment.schedule,
        gradients=experiment.aggregation.gradient_rule,
        models=experiment.aggregation.model_rule,
        mode=experiment.plan.mode,
        liars=_liars_by_role(experiment),
    )


def layout_of(experiment: Experiment, dimension: int) -> Layout:
    return Layout(dimension, experiment.network.dtype, experiment.network.chunk_kib * 1024)


def _kinds(peer: NodeId, fellow: bool, mode: Mode) -> frozenset[int]:
    if fellow:
        return frozenset({KINDS[Whisper]})
    if peer.role == "server":
        return frozenset({KINDS[Model]})
    return frozenset({KINDS[Gradient], KINDS[Pull]} if mode == "sync" else {KINDS[Gradient]})


def _honest(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    if me.role == "worker":
        return Worker(me, experiment.cluster, experiment.plan)
    return Server(me, experiment.cluster, experiment.plan, saved.params, step=saved.step)


def _lying(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    lie = experiment.liars[me]
    return Byzantine(
        _hasty(experiment, me, saved),
        resolve(lie.attack),
        lie.options,
        fellows=fellows_of(experiment, me),
        accomplices=frozenset(experiment.liars),
    )


def _hasty(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    """What a liar builds on: it waits for fewer than it should, so that its lies come in time."""
    cluster, plan = experiment.cluster, experiment.plan
    if me.role == "worker":
        return Worker(me, cluster, plan, quorum=1)
    honest_workers = sum(node.role == "worker" for node in experiment.honest)
    return Server(
        me,
        cluster,
        plan,
        saved.params,
        quorum=max(1, min(cluster.f_workers + 1, honest_workers)),
        model_quorum=min(cluster.q_servers, len(experiment.honest_servers) + 1),
        step=saved.step,
    )


def shard_of(experiment: Experiment, me: NodeId, task: Task) -> Tensor | None:
    if me.role != "worker":
        return None
    how = experiment.training.partition
    alpha = getattr(how, "alpha", 1.0)
    workers = experiment.cluster.workers
    targets = task.training.targets
    return partition(targets, workers, me.index, experiment.seed, how.kind, alpha)


def _liars_by_role(experiment: Experiment) -> Mapping[Role, int]:
    counts: dict[Role, int] = {"server": 0, "worker": 0}
    for node in experiment.liars:
        counts[node.role] += 1
    return counts
