"""SafeguardSGD's table (Allen-Zhu, Ebrahimian, Li and Alistarh, ICLR 2021, arXiv 2012.14368).

10 workers of which 4 lie, the paper's rows and columns: the double safeguard with windows of 50 and
300 steps, the single one with 150 (in the paper 1, 6 and 3 epochs), thresholds found in a warm-up,
and the best of other rules; delayed gradients, flipped labels, flipped signs, zero, the safeguard
attack (−0.4 of the honest gradient) and the variance attack (ALIE, z = 0.3).

The paper trains ResNet-20 on CIFAR-10 for 140 epochs. Two cores have time for the MLP 784-100-10 on
Fashion-MNIST: 600 steps of batch 60, which are six epochs. A delayed gradient is then 150 steps old
and not 1,000. One trusted server waits for all ten (f_workers = 0), and the other rules tolerate 4
(`aggregation.f`), more than ByzSGD's quorums would allow; Krum, which needs 2 f + 3 vectors, 3. (Of
ten values the trimmed mean of f = 4 is the median.)
"""

from typing import Final

from benchmarks.adversary.found import Found, accuracy, at_least, shown
from benchmarks.adversary.preset import Claim, Preset, Report, Size, Tables, every, grid

WINDOW: Final = 50
"""Steps of the short window."""
LIARS: Final = "byzantine.worker-6..9"
ATTACKS: Final[dict[str, Tables]] = {
    "delayed": {"attack": "delayed", "lag": 3 * WINDOW},
    "label flip": {"attack": "label_flip"},
    "sign flip": {"attack": "sign_flip"},
    "zero": {"attack": "zero"},
    "safeguard 0.4": {"attack": "safeguard", "factor": 0.4},
    "variance 0.3": {"attack": "alie", "z": 0.3},
}
NOBODY: Final = "no attack"
GUARDS: Final = ("double", "single")
OTHERS: Final = ("krum", "median", "trimmed_mean", "centered_clipping", "mda")
NEAR: Final = 3.0
"""Points below the ideal: the paper's double safeguard is at most 2.5 below."""
EVEN: Final = 0.5
"""Points that are no difference."""


def sweeps(size: Size) -> list[Tables]:
    ideal = _tables(size, "-ideal", {"rule": {"average": {"aggregation.gradients": "average"}}})
    attacks = {NOBODY: {}, **{name: {LIARS: lie} for name, lie in ATTACKS.items()}}
    return [ideal, _tables(size, "", {"rule": _rules(size), "attack": attacks})]


def _tables(size: Size, part: str, axes: Tables) -> Tables:
    return {
        "name": size.name("safeguard") + part,
        "cluster": {"servers": 1, "workers": 10},
        "plan": {"steps": 12 * _window(size), "save_every": 4 * _window(size)},
        "aggregation": {"gradients": "average"},
        "training": {"task": size.task, "batch": 60, "learning_rate": 0.1, "momentum": 0.0},
        "simulation": {"checks": "messages"},
        "sweep": {"axes": axes},
    }


def _rules(size: Size) -> Tables:
    window = _window(size)
    double = {"name": "safeguard", "window": window, "long_window": 6 * window}
    guards = {"double": double, "single": {"name": "safeguard", "window": 3 * window}}
    others = {
        rule: {"aggregation.gradients": rule, "aggregation.f": 3 if rule == "krum" else 4}
        for rule in (OTHERS[:2] if size.quick else OTHERS)
    }
    return {**{name: {"aggregation.gradients": rule} for name, rule in guards.items()}, **others}


def _window(size: Size) -> int:
    return size.of(WINDOW, 5)


def report(found: Found) -> Report:
    ideal = found.figure(accuracy, "ideal")
    lines = [f"Ideal (average, no attack): {shown(ideal)} %.", "", *_table(found)]
    return Report(lines, _claims(found, ideal))


def _table(found: Found) -> list[str]:
    columns = (NOBODY, *ATTACKS)
    best = [_best(found, attack) for attack in columns]
    rows = [
        *((rule, *(shown(_of(found, rule, attack)) for attack in columns)) for rule in GUARDS),
        ("best other", *(f"{shown(value)} ({rule})" for rule, value in best)),
        *(
            (rule, *(shown(_of(found, rule, attack)) for attack in columns))
            for rule in _others(found)
        ),
    ]
    return grid(("test accuracy, %", *columns), rows)


def _of(found: Found, rule: str, attack: str) -> float:
    return found.figure(accuracy, rule=rule, attack=attack)


def _others(found: Found) -> list[str]:
    return [rule for rule in found.variants("rule") if rule not in GUARDS]


def _best(found: Found, attack: str) -> tuple[str, float]:
    """Of the other rules, as in the paper for each attack another."""
    known = {rule: _of(found, rule, attack) for rule in _others(found)}
    rule = max(known, key=lambda rule: known[rule])
    return rule, known[rule]


def _claims(found: Found, ideal: float) -> list[Claim]:
    short = {attack: ideal - _of(found, "double", attack) for attack in ATTACKS}
    ahead = {attack: _of(found, "double", attack) - _best(found, attack)[1] for attack in ATTACKS}
    over = {
        attack: _of(found, "double", attack) - _of(found, "single", attack) for attack in ATTACKS
    }
    return [
        Claim(
            f"The double safeguard is near the ideal under every attack (within {NEAR:g} points).",
            every({attack: at_least(NEAR, points) for attack, points in short.items()}),
            "below: " + _figures(short),
        ),
        Claim(
            f"It is no worse than the best of the others ({EVEN:g} points are no difference).",
            every({attack: at_least(points, -EVEN) for attack, points in ahead.items()}),
            "ahead: " + _figures(ahead),
            "MDA, which the paper did not try, is the best of the others there.",
        ),
        Claim(
            "Two windows are no worse than one.",
            every({attack: at_least(points, -EVEN) for attack, points in over.items()}),
            "ahead: " + _figures(over),
        ),
    ]


def _figures(points: dict[str, float]) -> str:
    return ", ".join(f"{attack} {shown(value)}" for attack, value in points.items())


PRESET: Final = Preset("safeguard", "SafeguardSGD", "fashion_mnist", sweeps, report)
