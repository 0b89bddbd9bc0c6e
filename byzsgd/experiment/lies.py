"""`[byzantine]`: which nodes lie, and how.

server-0 = { attack = "equivocate" }
"worker-0..1" = { attack = "alie", z = 1.5 }      # both ends included
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Fault, Faults, toml
from byzsgd.experiment.patterns import nodes_of


@dataclass(frozen=True)
class Lie:
    """The attack of one Byzantine node."""

    attack: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"attack": self.attack, **self.options}


def liars(given: object, cluster: Cluster) -> dict[NodeId, Lie]:
    """The lie of each liar, in node order. Raises `Faults` with everything that is wrong."""
    if not isinstance(given, Mapping):
        text = 'must be a table, such as server-0 = { attack = "alie" }'
        raise Faults([Fault((), text, toml(given))])
    faults: list[Fault] = []
    found: dict[NodeId, Lie] = {}
    said: dict[NodeId, str] = {}
    for pattern, table in given.items():
        try:
            nodes = nodes_of(str(pattern), cluster)
            found |= dict.fromkeys(nodes, _lie(table))
            _only_once(str(pattern), nodes, said)
        except ConfigError as error:
            faults.append(Fault((str(pattern),), str(error)))
    faults += _that_fail(found, said, cluster) if not faults else []
    if faults:
        raise Faults(faults)
    return dict(sorted(found.items()))


def more_than_declared(found: Mapping[NodeId, Lie], cluster: Cluster) -> Iterator[str]:
    """A warning for each side with more liars than f."""
    for role, f in (("server", cluster.f_servers), ("worker", cluster.f_workers)):
        names = [str(node) for node in found if node.role == role]
        if len(names) > f:
            yield (
                f"{len(names)} {role}s lie ({', '.join(names)}) but f_{role}s = {f} is declared: "
                f"no guarantee holds in this run"
            )


def _lie(table: object) -> Lie:
    from byzsgd.attacks import resolve

    if isinstance(table, Lie):
        table = table.to_dict()
    if not isinstance(table, Mapping) or not isinstance(table.get("attack"), str):
        raise ConfigError('must be a table with an attack, such as { attack = "alie" }')
    attack = resolve(table["attack"])
    options = {str(key): value for key, value in table.items() if key != "attack"}
    attack.check(options)
    for key, value in options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ConfigError(f"{key} = {toml(value)}: must be a number, text or a list") from None
    return Lie(attack.name, options)


def _only_once(pattern: str, nodes: list[NodeId], said: dict[NodeId, str]) -> None:
    for node in nodes:
        if node in said:
            raise ConfigError(f'covers {node}, which "{said[node]}" covers as well')
    said |= dict.fromkeys(nodes, pattern)


def _that_fail(
    found: Mapping[NodeId, Lie], said: Mapping[NodeId, str], cluster: Cluster
) -> Iterator[Fault]:
    """Tell each lie once, to nobody: an option that cannot work is found here, not in a node."""
    import torch

    from byzsgd.attacks import ATTACKS, Setting
    from byzsgd.attacks.memory import Memory
    from byzsgd.protocol import Gradient, Send

    for node, lie in found.items():
        attack = ATTACKS[lie.attack]
        side = [other for other in found if other.role == node.role]
        n = cluster.servers if node.role == "server" else cluster.workers
        try:
            if attack.vector:
                attack.lie(torch.ones(2, 4), Setting(n, len(side)), lie.options)
            elif attack.behaviour:
                attack.words(Send((node,), Gradient(0, None)), Memory(), lie.options)
        except Exception as error:
            options = ", ".join(f"{key} = {toml(value)}" for key, value in lie.options.items())
            reason = f"{type(error).__name__}: {error}"
            text = f"attack {lie.attack} cannot work with {options or 'this cluster'} ({reason})"
            yield Fault((said[node],), text)
