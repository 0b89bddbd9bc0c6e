"""One random case: the tables of an experiment that is within its bounds.

Each case first draws which faults there are at all, and most have only some: a world with
everything in it at once hides what each of them does.
"""

from collections.abc import Sequence
from random import Random
from typing import Any, Final, TypeVar

from byzsgd.cluster import Cluster, NodeId
from byzsgd.experiment.swarm.task import NAME
from byzsgd.simulation.schedulers import SCHEDULERS

Item = TypeVar("Item")
Tables = dict[str, Any]

F_MAX: Final = 3
UNIT_S: Final = 0.001
"""The mean delay of a message, and what a computation takes."""
STEP_S: Final = 6 * UNIT_S
"""About what a step takes where nothing is wrong."""

LIES: Final[dict[str, dict[str, tuple[Any, ...]]]] = {
    "sign_flip": {"factor": (1.0, 10.0, 1e6, "auto")},
    "reverse": {"factor": (100.0,)},
    "scale": {"factor": (0.0, 10.0, 1e6)},
    "safeguard": {"factor": (0.4,)},
    "gaussian": {"sigma": (1.0, 200.0)},
    "zero": {},
    "nan": {},
    "inf": {},
    "alie": {"z": (0.5, 1.5, "auto")},
    "ipm": {"epsilon": (0.1, 10.0, "auto")},
    "mimic": {"target": ("auto",)},
    "hidden_vulnerability": {"norm": (2, "inf"), "gamma": ("auto", 1e6)},
    "label_flip": {},
    "backdoor": {"kind": ("sample",), "z": (1.5,), "passes": (1,), "examples": (4,)},
    "equivocate": {"scale": (1.0, 100.0), "kind": ("noise", "camps", "victim")},
    "mute": {},
    "crash": {"step": (1, 3, 6)},
    "desert": {"step": (1, 3), "stagger": (1, 2)},
    "flood": {"copies": (1, 2)},
    "stale": {"lag": (1, 3, 10)},
    "delayed": {"lag": (3, 1000)},
    "rollback": {"step": (0, 4)},
    "drift": {"speed": (0.01, 1.0), "toward": ("aside", "back")},
    "slow": {"delay_s": (2 * UNIT_S, 100 * UNIT_S)},
    "malformed": {"kind": ("all",)},
}
"""The attacks, and values of their options."""


def draw(seed: int, index: int) -> Tables:
    """The case `index` of all that follow from `seed`."""
    dice = Random(f"{seed}/swarm/{index}")  # noqa: S311 - the same numbers again are what is wanted
    cluster = _cluster(dice)
    steps = dice.randint(20, 40) if _rarely(dice) else dice.randint(2, 12)
    end_s = round(dice.uniform(0.2, 1.5) * steps * STEP_S, 6)
    spare = {"server": cluster.f_servers, "worker": cluster.f_workers}
    victims = _shuffled(dice, cluster.nodes)
    crashes = _crashes(dice, victims, spare, end_s)
    return {
        "name": f"swarm-{seed}-{index}",
        "seed": dice.randrange(2**32),
        "cluster": _numbers(cluster),
        "plan": _plan(dice, steps),
        "aggregation": {"gradients": _rule(dice, cluster)},
        "training": _training(dice),
        "byzantine": _liars(dice, victims, spare),
        "faults": {**_network(dice, cluster, end_s), **({"crash": crashes} if crashes else {})},
        "network": {"dtype": "bfloat16" if _rarely(dice) else "float32"},
        "simulation": {
            "scheduler": dice.choice(list(SCHEDULERS)),
            "peace_s": end_s,
            "wire": _rarely(dice),
        },
    }


def _cluster(dice: Random) -> Cluster:
    f_servers, f_workers = dice.randint(0, F_MAX), dice.randint(0, F_MAX)
    least = 4 * f_servers + 1 if dice.random() < 0.7 else 3 * f_servers + 2
    servers = dice.randint(1, 4) if f_servers == 0 else max(least, 3 * f_servers + 2)
    workers = dice.randint(1, 5) if f_workers == 0 else 3 * f_workers + dice.randint(1, 3)
    cluster = Cluster(servers, workers, f_servers, f_workers)
    if dice.random() < 0.7:
        return cluster
    least_models = 2 * f_servers + 2 if f_servers else min(2, servers)
    return Cluster(
        servers,
        workers,
        f_servers,
        f_workers,
        q_servers=dice.randint(least_models, servers - f_servers),
        q_workers=dice.randint(2 * f_workers + 1, workers - f_workers),
    )


def _plan(dice: Random, steps: int) -> Tables:
    return {
        "steps": steps,
        "gather_every": dice.choice([1, 1, 2, 3, 5, 50]),
        "gather_rounds": dice.choice([1, 1, 1, 2, 3]),
        "window": dice.choice([2, 3, 4, 4, 5, 6]),
        "patience_s": dice.choice([5, 20, 100]) * UNIT_S,
        "save_every": dice.choice([1, 2, 5]),
        "mode": "sync" if dice.random() < 0.4 else "async",
        "deadline_s": dice.choice([5, 20, 100]) * UNIT_S,
    }


def _training(dice: Random) -> Tables:
    return {
        "task": NAME,
        "batch": dice.choice([1, 4]),
        "learning_rate": dice.choice([0.01, 0.1, 0.5]),
        "momentum": dice.choice([0.0, 0.9]),
    }


def _rule(dice: Random, cluster: Cluster) -> str:
    from byzsgd.aggregators import AGGREGATORS

    names = ["mda", "mda", "mda", "median", "trimmed_mean", "multi_krum", "bulyan", "phocas"]
    name = dice.choice(names)
    fits = cluster.q_workers >= AGGREGATORS[name].minimum_n(cluster.f_workers)
    return name if fits else "mda"


def _crashes(
    dice: Random, victims: list[NodeId], spare: dict[str, int], end_s: float
) -> list[Tables]:
    """Some nodes go down, and most come back; each uses up one of its side's f."""
    crashes: list[Tables] = []
    while dice.random() < 0.3:
        node = _taken(victims, spare)
        if node is None:
            break
        down_s, up_s = sorted(round(dice.uniform(0, end_s), 6) for _ in range(2))
        if down_s < up_s:
            back = {"until": up_s} if dice.random() < 0.8 else {}
            crashes.append({"node": str(node), "from": down_s, **back})
    return crashes


def _liars(dice: Random, victims: list[NodeId], spare: dict[str, int]) -> dict[str, Tables]:
    from byzsgd.attacks import ATTACKS

    liars: dict[str, Tables] = {}
    if dice.random() < 0.25:
        return liars
    while dice.random() < 0.85 and (node := _taken(victims, spare)):
        attack = dice.choice(list(LIES))
        options = {key: dice.choice(values) for key, values in LIES[attack].items()}
        if ATTACKS[attack].role in (None, node.role):
            liars[str(node)] = {
                "attack": attack,
                **options,
                **_circumstances(dice, attack, options),
            }
    if any(node.startswith("server") for node in liars):
        _let_servers_tell(dice, liars)
    return liars


def _let_servers_tell(dice: Random, liars: dict[str, Tables]) -> None:
    """Some lying workers hear through a lying server what others overhear."""
    for node, lie in liars.items():
        if node.startswith("worker") and "knowledge" in lie and dice.random() < 0.5:
            lie["knowledge"] = "colluders"


def _circumstances(dice: Random, attack: str, options: Tables) -> Tables:
    """Most lie from beginning to end, and know what they compute themselves."""
    from byzsgd.attacks import ATTACKS

    given: Tables = {}
    if dice.random() < 0.3:
        given["from"] = dice.randint(0, 4)
        given["until"] = given["from"] + dice.randint(1, 6)
    if ATTACKS[attack].conspires(options) and dice.random() < 0.6:
        given["knowledge"] = "omniscient"
        given["rushing"] = dice.random() < 0.5
    return given


def _network(dice: Random, cluster: Cluster, end_s: float) -> Tables:
    """What goes wrong between nodes until `end_s`."""
    delays = [
        {"mean": UNIT_S},
        {"kind": "constant", "mean": UNIT_S},
        {"kind": "lognormal", "mean": UNIT_S, "sigma": 1.5},
    ]
    faults: Tables = {"delay": dice.choice(delays)}
    for key, chances in (
        ("loss", (0.01, 0.1, 0.3)),
        ("duplicate", (0.1, 1.0)),
        ("reorder", (0.1, 1.0)),
    ):
        if dice.random() < 0.3:
            faults[key] = {"probability": dice.choice(chances), "until": end_s}
    if len(cluster.nodes) > 2 and dice.random() < 0.3:
        faults["partition"] = [_partition(dice, cluster, end_s)]
    if dice.random() < 0.3:
        slow = str(dice.choice(cluster.nodes))
        faults["slow"] = {"nodes": slow, "factor": dice.choice([3, 30]), "until": end_s}
    return faults


def _partition(dice: Random, cluster: Cluster, end_s: float) -> Tables:
    count = dice.randint(1, max(1, len(cluster.nodes) // 2))
    return {
        "nodes": [str(node) for node in sorted(_shuffled(dice, cluster.nodes)[:count])],
        "kind": dice.choice(["hold", "lose"]),
        "direction": dice.choice(["both", "in", "out"]),
        "from": round(dice.uniform(0, end_s / 2), 6),
        "until": end_s,
    }


def _taken(victims: list[NodeId], spare: dict[str, int]) -> NodeId | None:
    """The next node that may go wrong as well, if there is one."""
    for node in victims:
        if spare[node.role]:
            spare[node.role] -= 1
            victims.remove(node)
            return node
    return None


def _numbers(cluster: Cluster) -> Tables:
    names = ("servers", "workers", "f_servers", "f_workers", "q_servers", "q_workers")
    return {name: getattr(cluster, name) for name in names}


def _shuffled(dice: Random, items: Sequence[Item]) -> list[Item]:
    return dice.sample(items, len(items))


def _rarely(dice: Random) -> bool:
    return dice.random() < 0.1
