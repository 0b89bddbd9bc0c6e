"""What every node of a run knows of the computations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from byzsgd.aggregators import Rule, Safeguard
from byzsgd.cluster import Cluster, Mode, NodeId, Role
from byzsgd.training.gradient import GradientSettings
from byzsgd.training.momentum import ServerMomentum
from byzsgd.training.schedule import Schedule


@dataclass(frozen=True)
class Settings:
    """What training does with the tensors, equal at every node."""

    cluster: Cluster
    seed: int
    batch: int
    gradient: GradientSettings
    rate: Schedule
    gradients: Rule
    models: Rule
    liars: Mapping[Role, int] = field(default_factory=dict)
    """How many of each side really lie; the liars know it."""
    mode: Mode = "async"
    safeguard: Safeguard | None = None
    """Takes the place of the rule for gradients, which then only stands for it to attackers."""
    server_momentum: ServerMomentum | None = None
    resilience: bool = False
    """Whether it is recorded what aggregates are worth; for that alone `liar_ids` is there."""
    liar_ids: frozenset[NodeId] = frozenset()

    tolerated: int | None = None
    """How many lies the rule for gradients tolerates; None: as many as the cluster declares."""

    @property
    def gradients_tolerated(self) -> int:
        return self.cluster.f_workers if self.tolerated is None else self.tolerated

    @property
    def gradients_max(self) -> int:
        """The most that one update aggregates."""
        return self.cluster.gradients_awaited(self.mode)
