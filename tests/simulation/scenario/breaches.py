"""What the theory promises of medians and of MDA, looked at from outside, for scenarios.

Both are judged at once when something was computed, by what honest nodes had shown until then.
"""

from collections import defaultdict
from collections.abc import Container, Sequence
from typing import TypeAlias

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import Contract, Model, Send, Server, Update
from tests.simulation.scenario.arithmetic import Numbers, box, diameter, distance, mean, show

Slot: TypeAlias = tuple[int, int]


class Breaches:
    """Judges the computations of the honest nodes."""

    def __init__(self, cluster: Cluster, plan: Plan, liars: Container[NodeId]) -> None:
        self._cluster = cluster
        self._plan = plan
        self._liars = liars
        self._shown: defaultdict[Slot, list[Numbers]] = defaultdict(list)
        self._judged = {"box": 0, "mda": 0}
        self._broken: dict[str, list[str]] = {"box": [], "mda": []}

    def shown(self, node: NodeId, send: Send) -> None:
        """A scatter shows what to a peer is the round after the last."""
        if node in self._liars or not isinstance(send.message, Model):
            return
        scatter = send.to[0].role == "worker"
        round_ = self._plan.gather_rounds if scatter else send.message.round
        self._shown[send.message.step, round_].append(send.message.params)

    def contracted(self, node: NodeId, one: object, effect: Contract, middle: Numbers) -> None:
        """Each coordinate of a median lies between those that honest servers showed."""
        if node in self._liars:
            return
        self._judged["box"] += 1
        round_ = one._round if isinstance(one, Server) else self._plan.gather_rounds
        honest = self._shown[effect.step, round_]
        if not honest or middle not in box(honest):
            between = f"between{show(box(honest).low)} and{show(box(honest).high)}"
            self._broken["box"].append(
                f"{node}'s median of {effect.step} is{show(middle)}, "
                f"honest models are {between if honest else 'not there'}"
            )

    def updated(
        self, node: NodeId, effect: Update, chosen: Sequence[NodeId], result: Numbers
    ) -> None:
        """MDA's result is within 2 f / (q − f) honest diameters of the honest mean."""
        if node in self._liars:
            return
        self._judged["mda"] += 1
        honest = [vector for sender, vector in effect.gradients if sender not in self._liars]
        f, q = self._cluster.f_workers, len(effect.gradients)
        bound = 2 * f / (q - f) * diameter(honest)
        far = distance(result, mean(honest)) if honest else 0.0
        if not honest or far > bound + 1e-9 * bound:
            self._broken["mda"].append(
                f"{node}'s update {effect.step} goes along{show(result)}, the mean of "
                f"{' '.join(map(str, chosen))}: {far:g} from the honest mean, at most {bound:g}"
            )

    def verdict(self, name: str) -> list[str]:
        """Raises `ValueError` for a name that is no promise."""
        if name not in self._judged:
            raise ValueError(f"{name!r} is no promise: write {' or '.join(self._judged)}")
        broken = self._broken[name]
        if broken:
            return [f"{name} is broken {len(broken)} times of {self._judged[name]}", *broken]
        return [f"{name} holds, {self._judged[name]} times"]
