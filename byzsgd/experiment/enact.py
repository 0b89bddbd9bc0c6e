"""An experiment in virtual time, without a record: what `simulate`, the swarm and tests share."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

import torch
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.compute import Compute
from byzsgd.experiment.build import Saved, layout_of, learnt, machine_of, settings_of, shard_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.named import split
from byzsgd.experiment.plots import tapped
from byzsgd.experiment.poisons import poison_of
from byzsgd.faults import Delay, Exponential, FaultPlan
from byzsgd.incoming import Workspace
from byzsgd.protocol import Machine
from byzsgd.simulation.answers import Together
from byzsgd.simulation.carriage import Wire
from byzsgd.simulation.checkers import Law, Liveness, Violation, checkers
from byzsgd.simulation.cost import Cost
from byzsgd.simulation.digest import Digest
from byzsgd.simulation.parts import Answers, Checkpoint, Conditions, Rest
from byzsgd.simulation.scheduler import Scheduler
from byzsgd.simulation.schedulers import SCHEDULERS, scheduler
from byzsgd.simulation.trace import Trace
from byzsgd.simulation.watch import Watcher
from byzsgd.simulation.world import World
from byzsgd.training.crew import flushes_denormals
from byzsgd.training.together import gradients_of

DELAY_S: Final = 0.001
"""The mean delay of messages where the experiment has none: or their order would be by index."""

SHARED_BYTES_MAX: Final = 256_000_000
VALUES_MAX: Final = 10_000
"""Up to so many parameters whatever is computed is checked as well, unless told otherwise."""

MakeMachine: TypeAlias = Callable[[Experiment, NodeId, Saved], Machine]


@dataclass(frozen=True)
class Ending:
    """How a world ended, with the last lines of its trace.

    `explained` is why it stalled without anything being broken.
    """

    rest: Rest
    violation: Violation | None
    explained: str | None
    trace: Sequence[str]

    def text(self) -> str:
        """For whoever has to understand a violation: what it is, and what went before."""
        lines = (
            f"violated: {self.violation}",
            f"at {self.rest.at_s:.6f} s, event {self.rest.events}; what went before:",
            "",
            *self.trace,
        )
        return "\n".join(lines) + "\n"


class Enactment:
    """A world made of an experiment. `machine` and `answers` are for those who break things."""

    world: World

    def __init__(
        self,
        experiment: Experiment,
        cost: Cost,
        machine: MakeMachine = machine_of,
        answers: Callable[[Answers], Answers] = lambda answers: answers,
    ) -> None:
        self.experiment = experiment
        self.task, self.flat = learnt(experiment)
        self._machine = machine
        self.trace = Trace()
        self.answers = answers(self._computing())
        self._digest = Digest(raw_of)
        self._conditions = self._living(cost)

    def run(self, *watchers: Watcher) -> Ending:
        """Once, to the end or to the first violation."""
        everybody = [self.trace, self._digest, *watchers, *self.checkers()]
        self.world = World(
            self.experiment.cluster.nodes,
            self.make,
            self.answers,
            self._conditions,
            self.experiment.honest,
            everybody,
            self.wire(),
            tapped(self.experiment),
        )
        violation = None
        try:
            with real_conditions():
                rest = self.world.run()
        except Violation as found:
            violation, rest = found, Rest("violated", self.world.now, self.world.events)
        reasons = (one.explained for one in everybody if isinstance(one, Liveness))
        return Ending(rest, violation, next(reasons, None), self.trace.lines())

    @property
    def history(self) -> str:
        """Names all that has happened, and once it has ended the final models; hex."""
        return self._digest.hexdigest()

    def make(self, node: NodeId, saved: Checkpoint | None) -> Machine:
        begin = Saved(saved.step, saved.params, saved.memory) if saved else None
        return self._machine(self.experiment, node, begin or Saved(0, self.flat.vector()))

    def _computing(self) -> Answers:
        experiment, task, flat = self.experiment, self.task, self.flat
        settings = settings_of(experiment)
        workspace = Workspace(settings.gradients, self._room(), flat.dimension)
        computes = {
            node: Compute(
                node,
                task,
                flat,
                settings,
                shard_of(experiment, node, task),
                clock=_no_time,
                workspace=workspace,
                poison=poison_of(experiment, node, task),
                shards=partial(shard_of, experiment, task=task),
            )
            for node in experiment.cluster.nodes
        }
        return Together(computes, gradients_of(task, flat, experiment.simulation.gradients))

    def _room(self) -> int:
        """For all gradients of a step, so that two servers compare what both have but once.

        Where that is much memory, for as many as one server takes.
        """
        cluster = self.experiment.cluster
        large = 4 * self.flat.dimension * cluster.workers > SHARED_BYTES_MAX
        least = cluster.gradients_awaited(self.experiment.plan.mode)
        return least if large else cluster.workers

    def _living(self, cost: Cost) -> Conditions:
        experiment, faults = self.experiment, faults_of(self.experiment)
        peace_s = experiment.simulation.peace_s
        return Conditions(
            faults,
            experiment.seed,
            cost,
            self._scheduler(faults),
            peace_s=math.inf if peace_s is None else peace_s,
            stall_s=STALL_PATIENCES * (experiment.plan.patience_s + _longest_delay_s(faults))
            + STALL_ROUNDS * experiment.plan.deadline_s,
        )

    def _scheduler(self, faults: FaultPlan) -> Scheduler | None:
        """Who looks ahead is told the learning rate, as everybody knows it."""
        experiment = self.experiment
        name, options = split(experiment.simulation.scheduler)
        if "rate" in SCHEDULERS[name].options:
            options = {"rate": experiment.schedule.at(0), **options}
        liars, unit_s = frozenset(experiment.liars), faults.delay_unit_s
        named = {"name": name, **options}
        return scheduler(named, experiment.seed, experiment.cluster, liars, unit_s)

    def checkers(self) -> list[Watcher]:
        checks = self.experiment.simulation.checks
        small = checks == "auto" and self.flat.dimension <= VALUES_MAX
        values = small or checks == "all"
        return [] if checks == "none" else checkers(law_of(self.experiment), values)

    def wire(self) -> Wire | None:
        layout = layout_of(self.experiment, self.flat.dimension)
        through = self.experiment.simulation.wire or layout.dtype != "float32"
        return Wire(layout) if through else None


STALL_PATIENCES: Final = 40
STALL_ROUNDS: Final = 4
"""So many times a node's patience and a message's way, and rounds, without any step are a stall."""


def faults_of(experiment: Experiment) -> FaultPlan:
    """The experiment's own, with a delay where it says nothing of any."""
    plan = experiment.fault_plan
    return plan if plan.delays else replace(plan, delays=(Delay(Exponential(DELAY_S)),))


def law_of(experiment: Experiment) -> Law:
    """What the checkers hold a run to; of rules that they do not know they ask less.

    A server with momentum goes on by more than what it aggregated: then no rate leads back to that.
    """
    rules = experiment.aggregation
    at_workers = experiment.training.momentum_at == "worker"
    return Law(
        experiment.cluster,
        experiment.plan,
        frozenset(experiment.liars),
        gradients=rules.gradient_rule.name if rules.f is None else "of another f",
        models=rules.model_rule.name,
        rate=experiment.schedule.at if at_workers else None,
    )


def _longest_delay_s(faults: FaultPlan) -> float:
    """Of the means on all links."""
    return max((delay.distribution.mean_s for delay in faults.delays), default=0.0)


def raw_of(vector: Tensor) -> bytes:
    return vector.numpy().tobytes()


@contextmanager
def real_conditions() -> Iterator[None]:
    """Computing as on the lane of a real node; torch is left as it was."""
    threads, flushed = torch.get_num_threads(), flushes_denormals()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


def _no_time() -> float:
    """What is measured in virtual time is the same in every run: the cost, not the clock."""
    return 0.0
