"""Worlds of symbols: what is computed is a name for what went in."""

from collections.abc import Mapping, Sequence
from typing import Any

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.faults import Chance, Delay, Exponential, FaultPlan
from byzsgd.observe import Outcome
from byzsgd.protocol import Effect, Event, Machine, Server, Vector, Worker
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.cost import Cost
from byzsgd.simulation.parts import Checkpoint, Conditions, Make
from byzsgd.simulation.watch import Watcher
from byzsgd.simulation.world import World
from tests.world import INITIAL, Answer, Liar, symbolic

SMALL = Cluster(5, 4, f_servers=1, f_workers=1)
MIDDLE = Cluster(5, 7, f_servers=1, f_workers=2)
DELAY_S = 0.01
NETWORK = FaultPlan(delays=(Delay(Exponential(DELAY_S)),), reorders=(Chance(1.0),))
"""Nobody's messages wait for those that were sent before."""
COST = Cost(gradient_s=0.01, update_s=0.01, contract_s=0.01)
NOBODY: Mapping[NodeId, type[Liar]] = {}


class Symbols:
    """Answers with symbols, or by another function, and remembers who was answered."""

    def __init__(self, by: Answer = symbolic) -> None:
        self.open: dict[int, tuple[NodeId, Computation]] = {}
        self.answered: list[int] = []
        self.forgotten: list[int] = []
        self._by = by

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        assert ticket not in self.open
        self.open[ticket] = (node, effect)

    def answer(self, ticket: int) -> Outcome:
        self.answered.append(ticket)
        return Outcome(self._by(*self.open.pop(ticket)))

    def forget(self, ticket: int) -> None:
        self.forgotten.append(ticket)
        del self.open[ticket]


class Diary(Watcher):
    """Everything that a watcher can hear, in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        self.entries.append((now, node, event, tuple(effects)))

    def crashed(self, now: float, node: NodeId) -> None:
        self.entries.append((now, node, "crashed"))

    def restarted(self, now: float, node: NodeId, step: int, params: object) -> None:
        self.entries.append((now, node, "restarted", step, params))

    def events_of(self, node: NodeId) -> list[tuple[float, Event]]:
        return [(entry[0], entry[2]) for entry in self.entries if entry[1] == node]


def honest(cluster: Cluster, plan: Plan, initial: Vector = INITIAL) -> Make:
    """Machines that follow the protocol; a server goes on from what it saved."""

    def make(node: NodeId, saved: Checkpoint | None) -> Machine:
        if node.role == "worker":
            return Worker(node, cluster, plan)
        begin = saved or Checkpoint(0, initial)
        return Server(node, cluster, plan, begin.params, step=begin.step)

    return make


def with_liars(make: Make, liars: Mapping[NodeId, type[Liar]]) -> Make:
    def made(node: NodeId, saved: Checkpoint | None) -> Machine:
        machine = make(node, saved)
        return liars[node](machine, node) if node in liars else machine

    return made


def world(
    plan: Plan,
    conditions: Conditions,
    *watchers: Watcher,
    cluster: Cluster = SMALL,
    answers: Symbols | None = None,
    **more: Any,
) -> World:
    make = more.pop("make", honest(cluster, plan))
    return World(cluster.nodes, make, answers or Symbols(), conditions, watchers=watchers, **more)
