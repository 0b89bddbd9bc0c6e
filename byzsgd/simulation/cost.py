"""How long things take in virtual time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.protocol import ComputeGradient, Contract, Forge, Recompute, Update
from byzsgd.protocol.effects import Computation

SECONDS: Final = ("gradient_s", "update_s", "contract_s", "forge_s", "send_s", "receive_s")
CORES_MAX: Final = 1024


@dataclass(frozen=True)
class Cost:
    """Seconds for each kind of computation, and for handing one vector to the network and back.

    A node does one computation after the other, sends one vector after the other, and takes in one
    after the other, all three at a time. With `cores` all nodes share a machine of so many, else
    each has its own. `nodes` are those that differ, each with a cost of its own. A message's way
    through the network is no cost but a delay of the fault plan. Raises `ConfigError` for a time or
    a number that cannot be.
    """

    gradient_s: float = 0.0
    update_s: float = 0.0
    contract_s: float = 0.0
    forge_s: float = 0.0
    send_s: float = 0.0
    receive_s: float = 0.0
    cores: int = 0
    nodes: Mapping[NodeId, "Cost"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SECONDS:
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise ConfigError(f"{name} = {value!r}: must be a number of seconds, 0 or more")
        if type(self.cores) is not int or not 0 <= self.cores <= CORES_MAX:
            allowed = f"must be a whole number up to {CORES_MAX}, 0 where each node has its own"
            raise ConfigError(f"cores = {self.cores!r}: {allowed}")

    def at(self, node: NodeId) -> "Cost":
        return self.nodes.get(node, self)

    def of(self, effect: Computation) -> float:
        match effect:
            case ComputeGradient():
                return self.gradient_s
            case Update():
                return self.update_s
            case Contract():
                return self.contract_s
            case Forge() | Recompute():
                return self.forge_s

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a file of costs has it: of `nodes` what differs."""
        seconds = {name: getattr(self, name) for name in SECONDS} | {"cores": self.cores}
        nodes = {str(node): self._differences(self.nodes[node]) for node in sorted(self.nodes)}
        return {**seconds, "nodes": nodes} if nodes else seconds

    def _differences(self, other: "Cost") -> dict[str, float]:
        pairs = [(name, getattr(other, name)) for name in SECONDS]
        return {name: value for name, value in pairs if value != getattr(self, name)}


FREE: Final = Cost()

UNIFORM: Final = Cost(gradient_s=0.001, update_s=0.001, contract_s=0.001)
"""One millisecond, as much as a typical delay, for all that an honest node computes.

Times are then counted in computations: a step takes a worker two, its median and its gradient, and
a server one, or two with a gather. To send is free, and so is to lie: nobody knows how fast a
liar's machine is.
"""
