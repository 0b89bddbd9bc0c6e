"""ALIE's backdoor (Baruch, Baruch and Goldberg, NeurIPS 2019, arXiv 1902.06156, section 3.3).

12 of 51 workers train a poisoned model and submit the way to it, clipped to μ ± 1.5 σ per
coordinate. The *pattern* is a square of 5×5 bright pixels in the corner, to be read as 0; the
*sample* one image of the training set, to be read as (label + 1) mod 5. Attack success is the share
of inputs with the trigger that are read as the liars want.

The setting is that of `alie`: one trusted server waits for all 51, rules tolerate 12, batch 128,
rate 0.1, worker momentum 0.9 (the paper's is the server's), and 200 steps instead of 300. Beside it
the same liars before they begin to lie: what the trigger does to a model that nobody poisoned.
"""

from typing import Final

from benchmarks.adversary.found import Found, accuracy, at_least, shown
from benchmarks.adversary.preset import Claim, Preset, Report, Size, Tables, every, grid
from byzsgd.experiment.results import Run

RULES: Final = ("average", "krum", "trimmed_mean", "bulyan")
KINDS: Final = ("pattern", "sample")
NOBODY: Final = "average, no attack"
NEAR: Final = 90.0
"""Percent of success that are near 100."""
HURT: Final = 3.0
"""Points of clean accuracy."""
NEVER: Final = 1_000_000
"""The step at which those begin to lie who do not."""


def sweeps(size: Size) -> list[Tables]:
    rules: Tables = {rule: {"aggregation.gradients": rule} for rule in RULES}
    kinds = {kind: {"byzantine.worker-39..50.kind": kind} for kind in KINDS}
    rules = {NOBODY: {"byzantine.worker-39..50.from": NEVER}, **rules}
    return [
        {
            "name": size.name("backdoor"),
            "cluster": {"servers": 1, "workers": 51},
            "plan": {"steps": size.of(200, 20), "save_every": size.of(100, 10)},
            "aggregation": {"gradients": "average", "f": 12},
            "training": {
                "task": size.task,
                "batch": 128,
                "learning_rate": 0.1,
                "momentum": 0.9,
            },
            "byzantine": {"worker-39..50": {"attack": "backdoor", "z": 1.5}},
            "simulation": {"checks": "messages"},
            "sweep": {"axes": {"rule": rules, "kind": kinds}},
        }
    ]


def success(run: Run) -> float:
    return 100 * run.backdoor


def report(found: Found) -> Report:
    rows = [
        (
            rule,
            *(
                shown(found.figure(figure, rule=rule, kind=kind))
                for kind in KINDS
                for figure in (success, accuracy)
            ),
        )
        for rule in (NOBODY, *RULES)
    ]
    heads = [f"{kind}: {what}" for kind in KINDS for what in ("success, %", "clean accuracy, %")]
    return Report(
        grid(("", *heads), rows), [claim for kind in KINDS for claim in _claims(found, kind)]
    )


def _claims(found: Found, kind: str) -> list[Claim]:
    won = {rule: found.figure(success, rule=rule, kind=kind) for rule in RULES}
    clean = found.figure(accuracy, rule=NOBODY, kind=kind)
    lost = {rule: clean - found.figure(accuracy, rule=rule, kind=kind) for rule in RULES}
    return [
        Claim(
            f"The {kind} backdoor comes near 100% ({NEAR:.0f} or more) under every rule.",
            every({rule: at_least(share, NEAR) for rule, share in won.items()}),
            "success: " + _figures(won),
        ),
        Claim(
            f"It does not hurt clean accuracy (by more than {HURT:.0f} points).",
            every({rule: at_least(HURT, points) for rule, points in lost.items()}),
            "lost: " + _figures(lost),
        ),
    ]


def _figures(values: dict[str, float]) -> str:
    return ", ".join(f"{rule} {shown(value)}" for rule, value in values.items())


PRESET: Final = Preset("backdoor", "ALIE's backdoor", "mnist", sweeps, report)
