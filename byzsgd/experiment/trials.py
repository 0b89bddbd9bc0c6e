"""Every lie is told once, to nobody.

What cannot work, or says nothing but the truth, is found here and not in a node after a long run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Fault, toml

if TYPE_CHECKING:
    from byzsgd.attacks import Setting
    from byzsgd.experiment.lies import Lie


def that_fail(
    found: Mapping[NodeId, "Lie"], said: Mapping[NodeId, str], cluster: Cluster
) -> Iterator[Fault]:
    """A fault for each, under the pattern by which the node was `said` to lie."""
    for node, lie in found.items():
        try:
            _check_told(node, lie, found)
            _tell(node, lie, _setting(node, found, cluster))
        except ConfigError as error:
            yield Fault((said[node],), str(error))
        except Exception as error:
            options = ", ".join(f"{key} = {toml(value)}" for key, value in lie.options.items())
            reason = f"{type(error).__name__}: {error}"
            text = f"attack {lie.attack} cannot work with {options or 'this cluster'} ({reason})"
            yield Fault((said[node],), text)


def that_are_true(found: Mapping[NodeId, "Lie"], cluster: Cluster, steps: int) -> Iterator[str]:
    """A warning for each liar whose every word is the truth: by its options, since it is alone, or
    since a run of `steps` is over before it begins.

    A server makes its lies of the gradients that it sees, and is never alone.
    """
    for node, lie in found.items():
        if why := _why_true(node, found, cluster, steps):
            yield f"attack {lie.attack} of {node}, {why}, says nothing but the truth"


def _why_true(
    node: NodeId, found: Mapping[NodeId, "Lie"], cluster: Cluster, steps: int
) -> str | None:
    import torch

    from byzsgd.attacks import ATTACKS

    lie = found[node]
    attack = ATTACKS[lie.attack]
    if lie.from_step >= steps + (node.role == "server"):  # whose models are heard after the last
        return f"which begins at step {lie.from_step} of a run of {steps}"
    if attack.vector is None or attack.trains or _knows_others(node, found):
        return None
    told = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    settings = _settings(node, found, cluster)
    if not all(torch.equal(attack.lie(told, each, lie.options), told[0]) for each in settings):
        return None
    return "which knows no vectors but its own" if attack.colludes else "with these options"


def _check_told(node: NodeId, lie: "Lie", found: Mapping[NodeId, "Lie"]) -> None:
    """Whether there is anybody who could tell it what it is said to know."""
    if lie.knowledge != "colluders":
        return
    if node.role == "server":
        raise ConfigError(
            'knowledge = "colluders": a server is sent all gradients anyway, and nobody tells it '
            "of models; leave it out"
        )
    if not any(other.role == "server" for other in found):
        raise ConfigError(
            'knowledge = "colluders": no server lies that could tell of what honest workers send; '
            "let one lie, or leave it out"
        )


def _tell(node: NodeId, lie: "Lie", setting: "Setting") -> None:
    import torch

    from byzsgd.attacks import ATTACKS
    from byzsgd.attacks.lab import MissingLabError
    from byzsgd.attacks.memory import Memory
    from byzsgd.protocol import Gradient, Send

    attack, word = ATTACKS[lie.attack], Send((node,), Gradient(0, None))
    if attack.role not in (None, node.role):
        raise ConfigError(f"attack {lie.attack} is one of {attack.role}s, and {node} is none")
    try:
        if attack.vector:
            attack.lie(torch.ones(2, 4), setting, lie.options)
        elif attack.behaviour:
            attack.words(word, Memory(), lie.options)
        elif attack.holds_s:
            attack.holds_s(word, **lie.options)
    except MissingLabError:
        pass  # its options are fine, and a task and a model are not known here


def _setting(node: NodeId, found: Mapping[NodeId, "Lie"], cluster: Cluster) -> "Setting":
    from byzsgd.attacks import Setting

    n = cluster.servers if node.role == "server" else cluster.workers
    return Setting(n, sum(other.role == node.role for other in found))


def _settings(node: NodeId, found: Mapping[NodeId, "Lie"], cluster: Cluster) -> Iterator["Setting"]:
    """To each receiver, at a step when what is to grow has begun to."""
    step, setting = max(1, found[node].from_step), _setting(node, found, cluster)
    for to in cluster.nodes:
        if to != node and "server" in (to.role, node.role):
            yield replace(setting, step=step, receiver=to.index)


def _knows_others(node: NodeId, found: Mapping[NodeId, "Lie"]) -> bool:
    from byzsgd.attacks import ATTACKS

    lie = found[node]
    if not ATTACKS[lie.attack].conspires(lie.options):
        return False
    fellows = any(other.role == "worker" and other != node for other in found)
    relayed = lie.knowledge == "colluders" and any(other.role == "server" for other in found)
    return node.role == "server" or fellows or relayed or lie.knowledge == "omniscient"
