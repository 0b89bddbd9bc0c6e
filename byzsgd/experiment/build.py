"""From an experiment and a node's name to its machine and its compute."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from torch import Tensor

from byzsgd.attacks import Byzantine, resolve
from byzsgd.cluster import Mode, NodeId, Role
from byzsgd.compute import Compute, Settings
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.plots import fellows_of, knowledge_of, listeners_of, plot_of
from byzsgd.experiment.poisons import poison_of
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
from byzsgd.protocol.effects import Memory
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
    memory: Memory = None


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
    others = partial(shard_of, experiment, task=task)
    compute = Compute(
        me,
        task,
        flat,
        settings_of(experiment),
        shard,
        clock,
        shards=others,
        poison=poison_of(experiment, me, task),
    )
    machine = machine_of(experiment, me, saved or Saved(0, flat.vector()), real=True)
    return Parts(machine, compute, layout_of(experiment, flat.dimension))


def learnt(experiment: Experiment) -> tuple[Task, FlatModel]:
    """The task, and the initial model that all servers share."""
    task = load_task(experiment.training.task, model=experiment.training.model)
    return task, flat_model(task.model, experiment.seed)


def machine_of(experiment: Experiment, me: NodeId, saved: Saved, real: bool = False) -> Machine:
    """The machine of one node; a worker begins anew, whatever was saved.

    In a `real` run nobody overhears others: who is omniscient has to recompute.
    """
    if me not in experiment.liars:
        return _honest(experiment, me, saved)
    lie, plot = experiment.liars[me], plot_of(experiment, me, real)
    machine, knowledge = _hasty(experiment, me, saved), knowledge_of(experiment, me)
    return Byzantine(machine, resolve(lie.attack), lie.options, plot, knowledge)


def hears(experiment: Experiment, me: NodeId) -> dict[NodeId, frozenset[int]]:
    """For each peer of `me` the kinds of message that it is listened to for.

    Servers are linked with everybody. Workers have nothing to say to one another, except liars who
    conspire.
    """
    fellows = fellows_of(experiment, me)
    peers = [node for node in experiment.cluster.nodes if node != me]
    linked = [node for node in peers if "server" in (node.role, me.role) or node in fellows]
    mode = experiment.plan.mode
    heard = {node: _kinds(node, node in fellows, mode) for node in linked}
    for server in (node for node in linked if me in listeners_of(experiment, node)):
        heard[server] |= {KINDS[Whisper]}
    return heard


def settings_of(experiment: Experiment) -> Settings:
    return Settings(
        cluster=experiment.cluster,
        seed=experiment.seed,
        batch=experiment.training.batch,
        gradient=experiment.training.gradient,
        rate=experiment.schedule,
        gradients=experiment.aggregation.gradient_rule,
        models=experiment.aggregation.model_rule,
        tolerated=experiment.aggregation.tolerated(experiment.cluster),
        safeguard=experiment.aggregation.safeguard(experiment.seed),
        server_momentum=experiment.training.server_momentum(experiment.plan.steps),
        mode=experiment.plan.mode,
        liars=_liars_by_role(experiment),
        resilience=experiment.record.resilience,
        liar_ids=frozenset(experiment.liars),
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
    step, params, memory = saved
    return Server(me, experiment.cluster, experiment.plan, params, step=step, memory=memory)


def _hasty(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    """What a liar builds on: it waits for fewer than it should, so that its lies come in time.

    For so many at least as the rule can do anything with.
    """
    cluster, plan = experiment.cluster, experiment.plan
    if me.role == "worker":
        return Worker(me, cluster, plan, quorum=1)
    honest_workers = sum(node.role == "worker" for node in experiment.honest)
    least = max(cluster.f_workers + 1, experiment.aggregation.gradient_rule.minimum_n(0))
    return Server(
        me,
        cluster,
        plan,
        saved.params,
        quorum=max(1, min(least, honest_workers)),
        model_quorum=min(cluster.q_servers, len(experiment.honest_servers) + 1),
        step=saved.step,
        memory=saved.memory,
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
