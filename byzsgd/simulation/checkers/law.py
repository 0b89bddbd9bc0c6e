"""What a run was promised, and what is raised when it does not hold."""

from collections.abc import Callable
from dataclasses import dataclass, field

from byzsgd.cluster import Cluster, NodeId, Plan, Role

ROLES: tuple[Role, Role] = ("server", "worker")


@dataclass(frozen=True)
class Law:
    """The experiment as checkers see it: `gradients` and `models` are names of rules.

    A rule with steps before it has another name than the rule alone; of rules that no checker knows
    no values are checked. `rate` is the learning rate of a step; without it no update is checked.
    """

    cluster: Cluster
    plan: Plan
    liars: frozenset[NodeId] = field(default_factory=frozenset)
    gradients: str = "mda"
    models: str = "median"
    rate: Callable[[int], float] | None = None

    def within_bounds(self, role: Role) -> bool:
        """Whether no more of this side lie than were declared: else nothing is promised of it."""
        lying = sum(node.role == role for node in self.liars)
        return lying <= self.f(role)

    def f(self, role: Role) -> int:
        return self.cluster.f_servers if role == "server" else self.cluster.f_workers


class Violation(AssertionError):  # noqa: N818 - found by a checker, not an error of its own
    """An invariant does not hold: which checker says so, of whom (None: of the whole), and what."""

    def __init__(self, checker: str, node: NodeId | None, text: str) -> None:
        super().__init__(f"{checker}: {node}: {text}" if node else f"{checker}: {text}")
        self.checker = checker
        self.node = node
        self.text = text
