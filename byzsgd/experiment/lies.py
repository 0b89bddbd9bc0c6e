"""`[byzantine]`: which nodes lie, and how.

server-0 = { attack = "equivocate" }
"worker-0..1" = { attack = "alie", z = 1.5 }      # both ends included
worker-2 = { attack = "alie", z = "auto", from = 10, until = 50, knowledge = "omniscient" }
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError, unknown_name
from byzsgd.experiment.complaints import Fault, Faults, toml
from byzsgd.experiment.patterns import nodes_of

if TYPE_CHECKING:
    from byzsgd.attacks.window import Window


@dataclass(frozen=True)
class Lie:
    """The attack of one Byzantine node, and from which step on, before which, and knowing what."""

    attack: str
    options: Mapping[str, Any] = field(default_factory=dict)
    from_step: int = 0
    until_step: int | None = None
    knowledge: str = "own"
    rushing: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As in a file; what is as it would be anyhow is left out."""
        return {"attack": self.attack, **self.options, **self._circumstances}

    @property
    def window(self) -> "Window":
        """The steps at which it lies."""
        from byzsgd.attacks.window import Window  # brings torch

        return Window(self.from_step, self.until_step)

    @property
    def _circumstances(self) -> dict[str, Any]:
        given = {
            "from": self.from_step,
            "until": self.until_step,
            "knowledge": self.knowledge,
            "rushing": self.rushing,
        }
        return {key: value for key, value in given.items() if value != CIRCUMSTANCES[key]}


CIRCUMSTANCES: Final = {"from": 0, "until": None, "knowledge": "own", "rushing": False}
"""What any attack may be given beside its own options, and what holds otherwise."""


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
    if not faults:
        from byzsgd.experiment.trials import that_fail

        faults += that_fail(found, said, cluster)
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
    circumstances = {key: options.pop(key) for key in CIRCUMSTANCES if key in options}
    attack.check(options)
    for key, value in options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ConfigError(
                f"{key} = {toml(value)}: must be a finite number, text or a list"
            ) from None
    lie = Lie(attack.name, options, *(CIRCUMSTANCES | circumstances).values())
    _check_steps(lie)
    _check_knowledge(lie, attack.conspires(options))
    return lie


def _check_steps(lie: Lie) -> None:
    begin, end = lie.from_step, lie.until_step
    if type(begin) is not int or begin < 0:
        raise ConfigError(f"from = {toml(begin)}: must be a step, a whole number from 0 on")
    if end is not None and (type(end) is not int or end <= begin):
        raise ConfigError(
            f"until = {toml(end)}: must be a step after from = {begin}, the first without lies"
        )


def _check_knowledge(lie: Lie, conspires: bool) -> None:
    """What it knows has to matter: nothing may be without effect."""
    from byzsgd.attacks.knowledge import REACHES

    if lie.knowledge not in REACHES:
        raise unknown_name("knowledge", str(lie.knowledge), REACHES)
    if type(lie.rushing) is not bool:
        raise ConfigError(f"rushing = {toml(lie.rushing)}: must be true or false")
    if lie.knowledge != "own" and not conspires:
        raise ConfigError(
            f'knowledge = "{lie.knowledge}": attack {lie.attack} looks at no vectors of others; '
            "leave it out"
        )
    if lie.rushing and lie.knowledge == "own":
        raise ConfigError(
            'rushing = true: needs knowledge = "colluders" or "omniscient": '
            "there is nothing to wait for otherwise"
        )


def _only_once(pattern: str, nodes: list[NodeId], said: dict[NodeId, str]) -> None:
    for node in nodes:
        if node in said:
            raise ConfigError(f'covers {node}, which "{said[node]}" covers as well')
    said |= dict.fromkeys(nodes, pattern)
