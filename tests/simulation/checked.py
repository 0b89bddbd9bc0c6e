"""Worlds for the checkers' tests: drawn from one seed, with symbols or tensors for vectors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.compute import Compute
from byzsgd.experiment.build import Saved, layout_of, machine_of, settings_of
from byzsgd.experiment.config import Experiment
from byzsgd.faults import Chance, Crash, Delay, Exponential, FaultPlan, Partition, Slow
from byzsgd.incoming import Workspace
from byzsgd.observe import Outcome
from byzsgd.protocol import Machine, Vector
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.carriage import Wire
from byzsgd.simulation.checkers import Law
from byzsgd.simulation.cost import Cost
from byzsgd.simulation.parts import Answers, Checkpoint, Conditions, Rest
from byzsgd.simulation.watch import Watcher
from byzsgd.simulation.world import World
from byzsgd.training.examples import Examples
from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task
from tests.world import INITIAL, LIARS, Answer, Liar, random_liars, servers, symbolic, workers

MakeMachine = Callable[[Experiment, NodeId, Saved], Machine]

Drawn = TypeVar("Drawn")

SHAPES = (
    Cluster(1, 3),
    Cluster(3, 2),
    Cluster(5, 4, f_servers=1, f_workers=1),
    Cluster(5, 7, f_servers=1, f_workers=2),
    Cluster(6, 8, f_servers=1, f_workers=2, q_workers=5),
    Cluster(9, 7, f_servers=2, f_workers=2),
)
ATTACKS = (
    {"attack": "sign_flip"},
    {"attack": "sign_flip", "factor": 20.0},
    {"attack": "nan"},
    {"attack": "alie"},
    {"attack": "equivocate"},
    {"attack": "mute"},
    {"attack": "crash", "step": 3},
    {"attack": "desert", "step": 2, "stagger": 1},
    {"attack": "flood"},
    {"attack": "scale"},
    {"attack": "stale", "lag": 3},
)
COST = Cost(gradient_s=0.004, update_s=0.002, contract_s=0.002, forge_s=0.001, send_s=0.0002)
LONG_S = 0.4
"""About how long a drawn run takes; its faults begin and end meanwhile."""


@dataclass(frozen=True)
class Case:
    """A world to be played. `lying` are wrappers around machines, for worlds of symbols."""

    experiment: Experiment
    faults: FaultPlan
    lying: Mapping[NodeId, type[Liar]] = field(default_factory=dict)
    wire: bool = False

    @property
    def seed(self) -> int:
        return self.experiment.seed

    @property
    def liars(self) -> frozenset[NodeId]:
        return frozenset(self.lying) | frozenset(self.experiment.liars)

    @property
    def law(self) -> Law:
        experiment = self.experiment
        return Law(experiment.cluster, experiment.plan, self.liars, rate=experiment.schedule.at)


def case(
    cluster: Cluster,
    plan: Plan,
    seed: int = 0,
    faults: FaultPlan | None = None,
    byzantine: Mapping[str, Mapping[str, object]] | None = None,
    lying: Mapping[NodeId, type[Liar]] | None = None,
    wire: bool = False,
    dtype: str = "float32",
) -> Case:
    """Delays are exponential with a mean of 10 ms, where `faults` have none."""
    experiment = Experiment(
        name="checked",
        seed=seed,
        cluster=asdict(cluster),
        plan=asdict(plan),
        network={"dtype": dtype},
        training={"batch": 4},
        byzantine=byzantine or {},
    )
    faults = faults or FaultPlan()
    if not faults.delays:
        faults = replace(faults, delays=(Delay(Exponential(0.01)),))
    return Case(experiment, faults, lying or {}, wire)


def drawn(seed: int, symbols: bool) -> Case:
    """Any cluster, plan, liars within bounds, and faults that end."""
    random = Random(f"{seed}/checked")
    cluster = random.choice(SHAPES)
    plan = Plan(
        steps=random.randint(6, 14),
        gather_every=random.choice((1, 2, 3, 5)),
        gather_rounds=random.choice((1, 1, 2)),
        window=random.choice((3, 4, 6)),
        patience_s=0.2,
        save_every=random.choice((0, 1, 3)),
        mode="sync" if Random(f"{seed}/mode").random() < 0.4 else "async",
        deadline_s=0.1,
    )
    lying = random_liars(cluster, seed, LIARS)
    attacks = {str(node): random.choice(ATTACKS) for node in lying}
    return case(
        cluster,
        plan,
        seed,
        drawn_faults(random, cluster),
        byzantine=None if symbols else attacks,
        lying=lying if symbols else None,
        wire=not symbols and random.random() < 0.3,
        dtype=random.choice(("float32", "bfloat16")),
    )


def trouble(seed: int) -> Case:
    """One small cluster to which as much happens as may; every lie is a loud one."""
    S, W = servers(5), workers(7)
    silent = {"attack": "mute"}
    return case(
        Cluster(5, 7, f_servers=1, f_workers=2),
        Plan(steps=10, gather_every=2, gather_rounds=2, window=3, patience_s=0.1, save_every=1),
        seed,
        FaultPlan(
            losses=(Chance(0.15, until_s=0.5),),
            duplicates=(Chance(0.3, until_s=0.5),),
            partitions=(
                Partition((S[2], W[2]), "in", "lose", from_s=0.1, until_s=0.3),
                Partition((S[3], W[4]), "in", "hold", from_s=0.4, until_s=0.7),
            ),
            slow=(Slow((W[6],), 10.0, until_s=0.5),),
            crashes=(Crash(S[1], 0.15, 0.25), Crash(W[3], 0.2, 0.3)),
        ),
        byzantine={
            "server-0": ({"attack": "equivocate", "scale": 5.0}, {"attack": "nan"})[seed % 2],
            "worker-0": {"attack": "nan"} if seed % 3 else silent,
            "worker-1": {"attack": "sign_flip", "factor": 20.0} if seed % 3 else silent,
        },
    )


def in_rounds(seed: int) -> Case:
    """Rounds with a deadline, long enough for the filters.

    With an odd seed none of them ends before its deadline, and some end without a worker.
    """
    liar, late = ("nan", "mute", "stale", "scale")[seed % 4], seed % 2
    slow = (Slow((workers(7)[2],), 100.0, until_s=1.0),)
    return case(
        Cluster(5, 7, f_servers=1, f_workers=2),
        Plan(32, gather_every=8, window=4, patience_s=0.2, mode="sync", deadline_s=0.1),
        seed,
        FaultPlan(slow=slow if late else ()),
        byzantine={
            "server-0": {"attack": liar},
            "worker-0": {"attack": "sign_flip"},
            "worker-1": {"attack": "mute" if late else "nan"},
        },
    )


def drawn_faults(random: Random, cluster: Cluster) -> FaultPlan:
    def drawn(make: Callable[[float, float], Drawn]) -> tuple[Drawn, ...]:
        begin = random.uniform(0, LONG_S / 2)
        fault = make(begin, begin + random.uniform(0.05, LONG_S))
        return (fault,) if random.random() < 0.4 else ()

    def chance(probability: float) -> Callable[[float, float], Chance]:
        return lambda begin, end: Chance(probability, from_s=begin, until_s=end)

    node = random.choice(cluster.nodes)
    cut: Literal["hold", "lose"] = random.choice(("hold", "lose"))
    return FaultPlan(
        losses=drawn(chance(random.choice((0.05, 0.2)))),
        duplicates=drawn(chance(0.2)),
        reorders=drawn(chance(0.3)),
        partitions=drawn(
            lambda begin, end: Partition((node,), "both", cut, from_s=begin, until_s=end)
        ),
        slow=drawn(lambda begin, end: Slow((node,), 10.0, from_s=begin, until_s=end)),
        crashes=drawn(lambda begin, end: Crash(random.choice(cluster.nodes), begin, end)),
    )


def play(
    case: Case,
    watchers: Sequence[Watcher],
    machine: MakeMachine = machine_of,
    wrap: Callable[[Answers], Answers] = lambda answers: answers,
    answers: Answers | None = None,
    initial: Vector = INITIAL,
) -> tuple[World, Rest]:
    """Run it to its end; without `answers` by tensors, which then begin with the task's model."""
    flat = FlatModel(_module())
    if answers is None:
        initial, answers = flat.vector(), Computed(case.experiment, flat)

    def make(node: NodeId, saved: Checkpoint | None) -> Machine:
        begins = Saved(saved.step, saved.params) if saved else Saved(0, initial)
        one = machine(case.experiment, node, begins)
        return case.lying[node](one, node) if node in case.lying else one

    experiment = case.experiment
    world = World(
        experiment.cluster.nodes,
        make,
        wrap(answers),
        Conditions(case.faults, case.seed, COST, stall_s=40 * experiment.plan.patience_s),
        [node for node in experiment.cluster.nodes if node not in case.liars],
        watchers,
        carry=Wire(layout_of(experiment, flat.dimension)) if case.wire else None,
    )
    return world, world.run()


class Told:
    """Answers by a function: of symbols or of numbers."""

    def __init__(self, answer: Answer = symbolic) -> None:
        self._answer = answer
        self._open: dict[int, tuple[NodeId, Computation]] = {}

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        self._open[ticket] = (node, effect)

    def answer(self, ticket: int) -> Outcome:
        return Outcome(self._answer(*self._open.pop(ticket)))

    def forget(self, ticket: int) -> None:
        del self._open[ticket]


class Computed:
    """Answers as nodes compute them, on a model of 14 parameters."""

    def __init__(self, experiment: Experiment, flat: FlatModel) -> None:
        cluster, settings = experiment.cluster, settings_of(experiment)
        workspace = Workspace(settings.gradients, cluster.workers, flat.dimension)
        shard = torch.arange(len(TASK.training))
        self._computes = {
            node: Compute(node, TASK, flat, settings, shard, lambda: 0.0, workspace)
            for node in cluster.nodes
        }
        self._open: dict[int, tuple[NodeId, Computation]] = {}

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        self._open[ticket] = (node, effect)

    def answer(self, ticket: int) -> Outcome:
        node, effect = self._open.pop(ticket)
        return self._computes[node].run(effect)

    def forget(self, ticket: int) -> None:
        del self._open[ticket]


def _module() -> nn.Module:
    module = nn.Linear(6, 2)
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=generator)
    return module


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def _examples() -> Examples:
    generator = torch.Generator().manual_seed(2)
    return Examples(
        torch.randn(40, 6, generator=generator), torch.randn(40, 2, generator=generator)
    )


TASK = Task("plane", _module, _squared, _examples(), _examples(), lambda outputs, targets: 0.0)
