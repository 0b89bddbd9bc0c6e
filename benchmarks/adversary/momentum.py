"""Distributed Momentum (El-Mhamdi, Guerraoui and Rouault, ICLR 2021), on a small grid.

Two rules × two attacks × two f × momentum at the server or at the workers, each with two seeds, and
the average of honest workers. Of the paper: n = 25 with f = 11 and 5 (its CIFAR setting), μ = 0.9,
batch 83, 300 steps, clip 2, rate 0.02 and the MLP 784-100-10 (its MNIST and Fashion-MNIST setting);
the rules Krum and median; ALIE, mean − 1.5 sample deviations, and IPM, mean − 1.1 mean. The paper's
n = 51 would take an hour here.

Its liars know all honest gradients of the step and speak last: `omniscient` and `rushing`. One
trusted server waits for all 25, and rules tolerate as many lies as there are (`aggregation.f`).

The paper's definitions, of the highest accuracy that a run ever has. An attack is effective if
with momentum at the server it costs 20 points or more beside the average of honest workers. It is
recovered if worker momentum wins 20 points or more beside momentum at the server.
"""

from typing import Final

from benchmarks.adversary.momentum_report import PLACES, RULES, F, N, named, report
from benchmarks.adversary.preset import Preset, Size, Tables

ATTACKS: Final[dict[str, Tables]] = {
    "alie": {"attack": "alie", "z": 1.5, "deviation": "sample"},
    "ipm": {"attack": "ipm", "epsilon": 0.1},
}
KNOWING: Final = {"knowledge": "omniscient", "rushing": True}


def sweeps(size: Size) -> list[Tables]:
    at = {place: {"training.momentum_at": place} for place in PLACES}
    rules = {rule: {"aggregation.gradients": rule} for rule in RULES}
    attacked = {"rule": rules, "lies": _lies(), "at": at}
    return [_tables(size, "-average", {"at": at}), _tables(size, "", attacked)]


def _tables(size: Size, part: str, axes: Tables) -> Tables:
    return {
        "name": size.name("momentum") + part,
        "cluster": {"servers": 1, "workers": N},
        "plan": {"steps": size.of(300, 20)},
        "aggregation": {"gradients": "average"},
        "training": {
            "task": size.task,
            "batch": 83,
            "learning_rate": 0.02,
            "momentum": 0.9,
            "clip": 2.0,
        },
        "simulation": {"checks": "messages"},
        "sweep": {"axes": axes, "repeat": size.of(2, 1)},
    }


def _lies() -> Tables:
    return {
        named(attack, f): {
            f"byzantine.worker-{N - f}..{N - 1}": {**lie, **KNOWING},
            "aggregation.f": f,
        }
        for attack, lie in ATTACKS.items()
        for f in F
    }


PRESET: Final = Preset("momentum", "Distributed Momentum", "fashion_mnist", sweeps, report)
