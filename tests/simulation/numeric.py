"""Worlds of a few numbers, in which servers may begin apart: how fast do they come together?"""

from collections.abc import Sequence
from random import Random

from byzsgd.attacks import Byzantine, resolve
from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.faults import Delay, Exponential, FaultPlan
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    GradientComputed,
    Machine,
    Message,
    Model,
    Recompute,
    Send,
    Server,
    Update,
    Updated,
    Worker,
)
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.cost import UNIFORM
from byzsgd.simulation.parts import Checkpoint, Conditions
from byzsgd.simulation.scheduler import Scheduler
from byzsgd.simulation.watch import Stage, Watcher
from byzsgd.simulation.world import World
from tests.simulation.scenario.arithmetic import Numbers, diameter, mda, mean, median, minus

FIVE = Cluster(5, 4, f_servers=1, f_workers=1)
EIGHT = Cluster(8, 7, f_servers=2, f_workers=2)
DELAY_S = 0.001
RATE = 0.1
FAR = 9.0
GATHERS = Plan(6, gather_every=1, patience_s=1.0)
DELAYS = FaultPlan(delays=(Delay(Exponential(DELAY_S)),))


class Arithmetic:
    """Gradients are noise around the model. Liars tell each half of the receivers another end."""

    def __init__(self, cluster: Cluster, seed: int, noise: float) -> None:
        self._cluster, self._seed, self._noise = cluster, seed, noise
        self._open: dict[int, tuple[NodeId, Computation]] = {}

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        self._open[ticket] = (node, effect)

    def forget(self, ticket: int) -> None:
        del self._open[ticket]

    def answer(self, ticket: int) -> Outcome:
        return Outcome(self._event(*self._open.pop(ticket)))

    def _event(self, node: NodeId, effect: Computation) -> Event:
        match effect:
            case ComputeGradient(step, params):
                return GradientComputed(step, self._gradient(node, step, params))
            case Update(step, params, gradients):
                vectors = [vector for _, vector in gradients]
                rows = mda(vectors, min(self._cluster.f_workers, (len(vectors) - 1) // 2))
                rate = RATE if self._noise else 0.0
                return Updated(step, minus(params, mean([vectors[row] for row in rows]), rate))
            case Contract(step, models):
                return Contracted(step, median(vector for _, vector in models))
            case Forge(sends):
                lies = [(to, self._lie(to, send.message)) for send in sends for to in send.to]
                return Forged(tuple(Send((to,), lie) for to, lie in lies))
            case Recompute():
                raise AssertionError("nobody is omniscient here")

    def _gradient(self, node: NodeId, step: int, params: Numbers) -> Numbers:
        random = Random(f"{self._seed}/{node}/{step}")
        return tuple(number + self._noise * random.gauss() for number in params)

    def _lie(self, to: NodeId, message: Message) -> Message:
        side = self._cluster.server_ids if to.role == "server" else self._cluster.worker_ids
        lie = (FAR if 2 * to.index < len(side) else -FAR,) * 3
        if isinstance(message, Model):
            return Model(message.step, lie, message.round)
        return Gradient(message.step, tuple(-number for number in lie))


class Inputs(Watcher):
    """Whose vectors honest nodes computed with, and how far apart servers are after a gather."""

    def __init__(self) -> None:
        self.taken: list[tuple[NodeId, Update | Contract]] = []
        self._models: dict[int, dict[NodeId, Numbers]] = {}

    def began(self, stage: Stage) -> None:
        self._honest = stage.honest

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        if node not in self._honest:
            return
        self.taken += [(node, one) for one in effects if isinstance(one, Update | Contract)]
        if isinstance(event, Contracted) and node.role == "server":
            self._models.setdefault(event.step, {})[node] = event.params

    def diameter(self, step: int) -> float:
        return diameter(list(self._models[step].values()))


def liars_of(cluster: Cluster) -> frozenset[NodeId]:
    """As many as are declared, spread over the sides."""
    servers = cluster.server_ids[1::3][: cluster.f_servers]
    return frozenset([*servers, *cluster.worker_ids[1::3][: cluster.f_workers]])


def numeric(
    cluster: Cluster,
    scheduler: Scheduler | None,
    seed: int,
    liars: frozenset[NodeId] = frozenset(),
    plan: Plan = GATHERS,
    noise: float = 0.0,
    faults: FaultPlan = DELAYS,
) -> tuple[World, Inputs]:
    """Without `noise` all servers begin apart and do nothing but gather; with it, together."""
    random = Random(f"{seed}/models")

    models = {
        server: (0.0, 0.0, 0.0) if noise else tuple(random.gauss() for _ in range(3))
        for server in cluster.server_ids
    }

    def make(node: NodeId, saved: Checkpoint | None) -> Machine:
        lying = node in liars
        if node.role == "worker":
            machine: Machine = Worker(node, cluster, plan, quorum=1 if lying else None)
        else:
            quorum = cluster.f_workers + 1 if lying else None
            begin = saved or Checkpoint(0, models[node])
            machine = Server(node, cluster, plan, begin.params, quorum, step=begin.step)
        return Byzantine(machine, resolve("equivocate"), {}) if lying else machine

    inputs = Inputs()
    conditions = Conditions(faults, seed, UNIFORM, scheduler)
    honest = [node for node in cluster.nodes if node not in liars]
    answers = Arithmetic(cluster, seed, noise)
    return World(cluster.nodes, make, answers, conditions, honest, [inputs]), inputs
