"""ByzSGD with liars on both sides at once (El-Mhamdi et al., PODC 2020, arXiv 1905.03853).

5 servers of which one lies, 7 workers of which two lie: each attack of servers with each attack of
workers, all that `byzsgd list attacks` has for that side. The servers aggregate gradients by MDA
and models by the median, as in the paper, over an asynchronous network. It is learnt on digits,
since there are so many cells; 60 steps, momentum 0.9. Where the strength of an attack can be
searched for, it is: `"auto"`.

Beside it a plain parameter server, one that averages: with the same lying workers, and with honest
workers and a server that lies. A lying server's own model is nobody's business, so what is shown of
that is the training loss of the workers that believe it. Who waits for a word that never comes is
stuck.
"""

from typing import Final

from benchmarks.adversary.both_sides_report import NOBODY, report
from benchmarks.adversary.preset import Preset, Size, Tables
from byzsgd.attacks import ATTACKS
from byzsgd.cluster import Role

OPTIONS: Final[dict[str, Tables]] = {
    "alie": {"z": "auto"},
    "backdoor": {"z": 1.5},
    "delayed": {"lag": 40},
    "rollback": {"step": 10},
    "sign_flip": {"factor": "auto"},
    "ipm": {"epsilon": "auto"},
}
"""Where what an attack does by default is little in a short run of so few nodes."""
STUCK: Final = frozenset({"plain-workers", "plain-server"})
COLLUDING: Final = {name for name, attack in ATTACKS.items() if attack.colludes}
QUICK: Final = ("sign_flip", "alie", "equivocate", "mute")


def sweeps(size: Size) -> list[Tables]:
    servers, workers = _attacks(size, "server", "server-4"), _attacks(size, "worker", "worker-5..6")
    alone = _alone(size)
    replicated = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}
    plain = {"servers": 1, "workers": 7}
    return [
        _tables(size, "", replicated, "mda", {"server": servers, "worker": workers}),
        _tables(size, "-plain-workers", plain, "average", {"worker": workers}),
        _tables(size, "-plain-server", plain, "average", {"server": alone}),
    ]


def _tables(size: Size, part: str, cluster: Tables, rule: str, axes: Tables) -> Tables:
    return {
        "name": size.name("byzsgd") + part,
        "cluster": cluster,
        "plan": {"steps": size.of(60, 30), "gather_every": 5, "save_every": 30},
        "aggregation": {"gradients": rule},
        "training": {"task": size.task, "learning_rate": 0.05, "momentum": 0.9},
        "simulation": {"checks": "messages"},
        "sweep": {"axes": axes},
    }


def _attacks(size: Size, role: Role, nodes: str) -> Tables:
    names = [name for name, attack in ATTACKS.items() if attack.role in (None, role)]
    chosen = [name for name in names if name in QUICK] if size.quick else names
    lies = {name: {"attack": name, **OPTIONS.get(name, {})} for name in chosen}
    return {NOBODY: {}, **{name: {f"byzantine.{nodes}": lie} for name, lie in lies.items()}}


def _alone(size: Size) -> Tables:
    """Of the only server: there is nobody whose vectors it could look at, nor any rule to pass."""
    attacks = _attacks(size, "server", "server-0")
    for name, changes in attacks.items():
        for lie in changes.values():
            if "auto" in lie.values():
                changes["byzantine.server-0"] = {"attack": name}
    return {name: attacks[name] for name in attacks if name not in COLLUDING}


PRESET: Final = Preset("byzsgd", "liars on both sides", "digits", sweeps, report, STUCK)
