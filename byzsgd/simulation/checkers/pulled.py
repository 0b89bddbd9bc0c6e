"""Where a worker of the synchronous variant computes: at a quorum's median, or at a pulled model.

What its filters make of a pulled model is worked out once more here, plainly, from the three
scalars that they were given.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from byzsgd.cluster import Cluster, NodeId
from byzsgd.protocol import (
    Change,
    ComputeGradient,
    Contracted,
    Effect,
    Event,
    Gradient,
    GradientComputed,
    Model,
    Pull,
    Received,
    Send,
    Vector,
)
from byzsgd.protocol.filters import PAST_LEAST, PAST_MAX
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import Law
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.checkers.values import same
from byzsgd.simulation.checkers.words import is_word


class Trail:
    """What one worker was told, asked for and did, in its present incarnation.

    `heard` and `asked` are of the step where it is and of later ones, `tried` of the step where it
    computed last. `source` is the server whose model it computes at, None for a quorum's median.
    """

    def __init__(self) -> None:
        self.heard: defaultdict[int, list[tuple[NodeId, Vector]]] = defaultdict(list)
        self.asked: defaultdict[int, list[NodeId]] = defaultdict(list)
        self.tried: list[tuple[int, NodeId]] = []
        self.median: tuple[int, Vector] = (-1, None)
        self.params: Vector = None
        self.source: NodeId | None = None
        self.submitted = Submitted(-1, None, None, of_quorum=True)
        self.coefficients: list[float] = []
        self.reach = math.inf

    def forget(self, before: int) -> None:
        for kept in (self.heard, self.asked):
            for old in [step for step in kept if step < before]:
                del kept[old]


class Submitted:
    def __init__(self, step: int, vector: Vector, params: Vector, of_quorum: bool) -> None:
        self.step, self.vector, self.params, self.of_quorum = step, vector, params, of_quorum


class Pulled(Checker):
    """A gradient is computed at a median of its step, or at a model of just that step.

    That model is of a server among the first f + 1 that were asked for it, was not tried before,
    and is what that server said if it is honest. The gradient is submitted exactly if the filters
    accept it. At steps at which all servers scatter only a median will do.
    """

    name = "pulled model"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        self._trails: defaultdict[NodeId, Trail] = defaultdict(Trail)

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        if node.role != "worker" or node not in self.ledger.honest:
            return
        trail = self._trails[node]
        match event:
            case Received(sender, Model(step, params, 0)) if step <= self.law.plan.steps:
                trail.heard[step].append((sender, params))
            case Contracted(step, params):
                trail.median = (step, params)
            case GradientComputed():
                self._judge(node, trail, event, effects)
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Pull):
                self._ask(node, trail, effect)
            elif isinstance(effect, ComputeGradient):
                self._compute(node, trail, effect)
        trail.forget(before=self.ledger.of(node).step)

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        self._trails.pop(node, None)

    def _ask(self, node: NodeId, trail: Trail, send: Send) -> None:
        step, here = send.message.step, self.ledger.machines[node].step
        if step > here:
            self.fail(node, f"asks for a model of step {step}, but is at step {here}")
        trail.asked[step] += [server for server in send.to if server not in trail.asked[step]]

    def _compute(self, node: NodeId, trail: Trail, effect: ComputeGradient) -> None:
        trail.params, trail.source = effect.params, None
        if trail.median[0] == effect.step and same(effect.params, trail.median[1]):
            return
        step = effect.step
        if self.law.plan.scatters_at(step):
            self.fail(node, f"takes no median at step {step}, where all servers scatter")
        trail.source = self._source(node, trail, effect)
        if (step, trail.source) in trail.tried:
            self.fail(node, f"computes twice at the model that {trail.source} has of step {step}")
        trail.tried = [one for one in trail.tried if one[0] == step] + [(step, trail.source)]
        last = trail.submitted
        judged = last.step == step - 1 and same(effect.last_params, last.params)
        if not judged or not same(effect.last, last.vector):
            self.fail(node, f"cannot judge {trail.source}'s model of step {step}")

    def _source(self, node: NodeId, trail: Trail, effect: ComputeGradient) -> NodeId:
        """Whose model it is, as it was delivered; if several liars said it one who is new."""
        step, asked = effect.step, trail.asked[effect.step][: self.law.cluster.f_servers + 1]
        whose = [sender for sender, params in trail.heard[step] if params is effect.params]
        could = [sender for sender in whose if sender in asked]
        new = [sender for sender in could if (step, sender) not in trail.tried]
        source = next(iter([*new, *could]), None)
        if source is None:
            self.fail(node, f"computes at a model of step {step} that it asked no server for")
        said = self.ledger.said(source, (step, self.law.plan.gather_rounds))
        known = source in self.ledger.honest and said is not None
        if known and not any(is_word(self.ledger, effect.params, word) for word in said or ()):
            self.fail(node, f"takes for step {step} what {source} never said")
        return source

    def _judge(
        self, node: NodeId, trail: Trail, event: GradientComputed, effects: Sequence[Effect]
    ) -> None:
        """Whether it is submitted just if it may be."""
        said = [effect.message for effect in effects if isinstance(effect, Send)]
        submitted = any(isinstance(one, Gradient) and one.step == event.step for one in said)
        why = self._objection(trail, event.step, event.change) if trail.source else None
        if submitted and why:
            self.fail(node, f"believes {trail.source}'s model of step {event.step}: {why}")
        if not submitted and not why:
            self.fail(node, f"keeps back its gradient of step {event.step} without a reason")
        if submitted:
            of_quorum = trail.source is None
            trail.submitted = Submitted(event.step, event.vector, trail.params, of_quorum)

    def _objection(self, trail: Trail, step: int, change: Change | None) -> str | None:
        if change is None:
            return "nothing was measured"
        if not all(map(math.isfinite, (change.model, change.gradient, change.stride))):
            return "not finite"
        if trail.submitted.of_quorum:
            trail.reach = change.stride
        cluster, past = self.law.cluster, trail.coefficients[-PAST_MAX:]
        if cluster.f_servers == 0:
            return None
        coefficient = _ratio(change.gradient, change.stride)
        trail.coefficients.append(coefficient)
        if len(past) >= PAST_LEAST and coefficient > _quantile(past, cluster):
            return "the gradient has changed too fast"
        allowed = _strides(cluster, self.law.plan.gather_every, step) * trail.reach
        return "it is too far away" if change.model > allowed else None


def _ratio(gradient: float, stride: float) -> float:
    if stride:
        return gradient / stride
    return math.inf if gradient else 0.0


def _quantile(past: Sequence[float], cluster: Cluster) -> float:
    """The least of them that (n − f) / n of them do not exceed."""
    n, f = cluster.servers, cluster.f_servers
    enough = [one for one in past if n * sum(p <= one for p in past) >= (n - f) * len(past)]
    return min(enough)


def _strides(cluster: Cluster, period: int, t: int) -> float:
    """The outliers filter's bound in strides of the last gather (specification, section 5)."""
    n, f = cluster.workers, cluster.f_workers
    if f == 0:
        return math.inf
    return (3 * period + 2) * (n - f) / (4 * f) + 2 * ((t - 1) % period)
