"""How a run is going: what the launcher updates, and views show."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from byzsgd.experiment.config import Experiment

State = Literal["starting", "ready", "running", "down", "done", "dead"]
"""Who is down is to come back."""


@dataclass
class NodeProgress:
    """`liar` is the name of a Byzantine node's attack."""

    node: str
    liar: str | None = None
    state: State = "starting"
    step: int = 0
    loss: float | None = None


@dataclass
class Progress:
    """`step` and `loss` are those of the honest nodes; None stands for not measured yet."""

    name: str
    steps: int
    nodes: dict[str, NodeProgress] = field(default_factory=dict)
    step: int = 0
    loss: float | None = None
    accuracy: float | None = None
    diameter: float | None = None
    steps_per_second: float | None = None
    message: str = ""


class View(Protocol):
    """Who is told whenever there is something new to see."""

    def show(self, progress: Progress) -> None: ...


def showing(view: View | None) -> Callable[[Progress], None]:
    """How to tell a view; where there is none nobody is told."""
    return view.show if view else lambda progress: None


def progress_of(experiment: "Experiment") -> Progress:
    """Of a run that has not begun."""
    lies = {node: lie.attack for node, lie in experiment.liars.items()}
    nodes = {
        str(node): NodeProgress(str(node), lies.get(node)) for node in experiment.cluster.nodes
    }
    return Progress(experiment.name, experiment.plan.steps, nodes)
