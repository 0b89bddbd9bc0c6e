"""What a worker computed last, and whether it believes the model at which it computes now."""

from collections import Counter
from dataclasses import dataclass

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol.effects import ComputeGradient
from byzsgd.protocol.events import Change
from byzsgd.protocol.filters import Filters, Verdict
from byzsgd.protocol.messages import Vector


@dataclass(frozen=True, slots=True)
class Computed:
    """What was submitted for one step, and where it was computed: at a quorum's median, or not."""

    step: int
    vector: Vector
    params: Vector
    of_quorum: bool


class Belief:
    """One worker's. `judged` counts by server what became of the models that were pulled.

    `last` is what was submitted last. Without `pulls` nothing is ever judged, and no model is kept
    for it.
    """

    def __init__(self, cluster: Cluster, plan: Plan, pulls: bool) -> None:
        self.judged: Counter[tuple[NodeId, str]] = Counter()
        self._pulls = pulls
        self._filters = Filters(cluster, plan)
        self.last: Computed | None = None
        self._source: NodeId | None = None
        self._params: Vector = None

    def can_judge(self, step: int) -> bool:
        """Whether there is a gradient of the step before to compare with."""
        return self._pulls and self.last is not None and self.last.step == step - 1

    def compute(self, step: int, params: Vector, source: NodeId | None) -> ComputeGradient:
        """The gradient at what one `source` has shown, or without one at a quorum's median."""
        self._source, self._params = source, params
        last = self.last
        before = last.params if last and source else None
        return ComputeGradient(step, params, last.vector if last else None, before)

    def doubted(self, step: int, change: Change | None) -> tuple[NodeId, Verdict] | None:
        """Whose model it was, and why it is not believed; None if it is."""
        if not (self._source and self.last and change):
            return None
        verdict = self._filters.judge(step, change, self.last.of_quorum)
        if verdict != "accepted":
            return self._source, verdict
        self.judged[self._source, verdict] += 1
        return None

    def submitted(self, step: int, vector: Vector) -> None:
        kept = self._params if self._pulls else None
        self.last = Computed(step, vector, kept, of_quorum=self._source is None)
        self._params = None
