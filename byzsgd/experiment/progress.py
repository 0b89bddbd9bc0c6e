"""How a run is going: what the launcher updates, and views show."""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["starting", "ready", "running", "done", "dead"]


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
