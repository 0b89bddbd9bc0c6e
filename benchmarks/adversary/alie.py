"""A little is enough (Baruch, Baruch and Goldberg, NeurIPS 2019, arXiv 1902.06156).

51 workers of which 12 send μ − 1.5·σ per coordinate, of what they honestly computed themselves, to
one trusted server: the paper's n, m and z, its MNIST MLP (784-100-10), batch 128 and rate 0.1, 300
rounds. The server waits for all 51 gradients (f_workers = 0, so q = n) and the rules tolerate 12
(`aggregation.f`), or Bulyan, which needs 4 f + 3 = 51, could not be used.

Worker momentum is that of "Distributed Momentum" (ICLR 2021), 0.9 and undamped, so it also makes
steps longer; the unattacked average is there with and without. In the paper momentum is the
server's. nnm is of Allouah et al. (AISTATS 2023).

In a simulated world as in a real one a liar speaks when its own gradient is done, with the fellows'
gradients that it heard of until then: most are those of the step before, and the lies of the twelve
differ a little. In the paper they are one vector.

Krum takes a lie only if it is nearer to others than the honest are. Of n − f − 2 = 37 neighbours a
lie has 11 at distance 0 and 26 at √(1 + z²) deviations, an honest vector all at √2: so z must be
below 1.36, if gradients were normal. Hence the second table, with z = 1, and with the z that is
searched for (`"auto"`), of liars who know everything.
"""

import math
from typing import Final

from benchmarks.adversary.found import Found, accuracy, at_least, shown
from benchmarks.adversary.preset import Claim, Preset, Report, Size, Tables, every, grid
from byzsgd.experiment.files import read_json
from byzsgd.experiment.results import Run

RULES: Final = ("average", "krum", "trimmed_mean", "bulyan", "median", "mda")
EARLIER: Final = ("krum", "trimmed_mean", "bulyan")
"""The defences that the paper attacks."""
MOMENTA: Final = ("0", "0.9")
PAPER: Final = "0.9"
"""The paper's momentum: of it are the claims."""
LONGER: Final = (
    "Beside none, undamped momentum also makes every step ten times as long, and what the lies add "
    "to it. Distributed Momentum compares it with momentum at the server: see there."
)
LOST: Final = 5.0
"""Points of accuracy that count as degraded, on a task as easy as MNIST; the paper's 50% are of
CIFAR-10."""
LIARS: Final = "byzantine.worker-39..50"
LIE: Final = {"attack": "alie", "z": 1.5}
KNOWING: Final = {"attack": "alie", "knowledge": "omniscient", "rushing": True}
CASES: Final = {
    "average, z = 1": {"aggregation.gradients": "average", LIARS: {**KNOWING, "z": 1.0}},
    "krum, z = 1": {"aggregation.gradients": "krum", LIARS: {**KNOWING, "z": 1.0}},
    "krum, z = auto": {"aggregation.gradients": "krum", LIARS: {**KNOWING, "z": "auto"}},
}
"""Of liars who know everything, without momentum."""
TOO_FAR: Final = (
    "At this z lies are too far out for Krum, which takes none: see above, and at z = 1."
)


def sweeps(size: Size) -> list[Tables]:
    momenta = {momentum: {"training.momentum": float(momentum)} for momentum in MOMENTA}
    rules = {rule: {"aggregation.gradients": rule} for rule in RULES}
    pre = {"none": {}, "nnm": {"aggregation.pre": ["nnm"]}}
    attacked = _tables(size, "", {"rule": rules, "pre": pre, "momentum": momenta})
    attacked["byzantine"] = {LIARS.removeprefix("byzantine."): LIE}
    honest = _tables(size, "-honest", {"momentum": momenta})
    return [honest, attacked, _tables(size, "-knowing", {"case": CASES})]


def _tables(size: Size, part: str, axes: Tables) -> Tables:
    return {
        "name": size.name("alie") + part,
        "cluster": {"servers": 1, "workers": 51},
        "plan": {"steps": size.of(300, 12)},
        "aggregation": {"gradients": "average", "f": 12},
        "training": {"task": size.task, "batch": 128, "learning_rate": 0.1, "momentum": 0.0},
        "simulation": {"checks": "messages"},
        "sweep": {"axes": axes},
    }


def report(found: Found) -> Report:
    return Report([*_table(found), "", *_table_of_knowing(found)], _claims(found))


def taken(run: Run) -> float:
    """At how many steps a lie was what the rule selected, in percent; NaN if it selects none."""
    told = read_json(run.path / "potency.json")["liars"]
    times = [liar["selected"] for liar in told if liar["selected"] is not None]
    return 100 * sum(times) / run.steps if times else math.nan


def _table(found: Found) -> list[str]:
    columns = [(pre, momentum) for pre in ("none", "nnm") for momentum in MOMENTA]
    heads = [f"{'nnm, ' if pre == 'nnm' else ''}momentum {momentum}" for pre, momentum in columns]
    unattacked = [
        shown(found.figure(accuracy, "honest", momentum=momentum)) if pre == "none" else ""
        for pre, momentum in columns
    ]
    rows = [
        (rule, *(shown(_of(found, rule, pre, momentum)) for pre, momentum in columns))
        for rule in RULES
    ]
    return grid(("test accuracy, %", *heads), [("average, no attack", *unattacked), *rows])


def _table_of_knowing(found: Found) -> list[str]:
    rows = [
        (case, *(shown(found.figure(of, "knowing", case=case)) for of in (accuracy, taken)))
        for case in CASES
    ]
    return grid(("omniscient liars", "test accuracy, %", "steps with a lie, %"), rows)


def _of(found: Found, rule: str, pre: str = "none", momentum: str = "0") -> float:
    return found.figure(accuracy, rule=rule, pre=pre, momentum=momentum)


def _claims(found: Found) -> list[Claim]:
    usual = found.figure(accuracy, "honest", momentum=PAPER)
    lost = {rule: usual - _of(found, rule, "none", PAPER) for rule in ("average", *EARLIER)}
    moved = {rule: _of(found, rule, "none", "0.9") - _of(found, rule) for rule in RULES[1:]}
    mixed = {rule: _of(found, rule, "nnm") - _of(found, rule) for rule in RULES[1:]}
    return [
        Claim(
            f"The attack degrades every earlier defence (here: by {LOST:.0f} points or more).",
            every({rule: at_least(lost[rule], LOST) for rule in EARLIER}),
            _points(lost, "lost"),
            TOO_FAR,
        ),
        Claim(
            "Krum suffers at least as much as plain averaging.",
            at_least(lost["krum"], lost["average"]),
            f"lost: krum {shown(lost['krum'])}, average {shown(lost['average'])}; steps at which "
            f"Krum took a lie: "
            f"{shown(found.figure(taken, rule='krum', pre='none', momentum=PAPER), '.0f')} %",
            TOO_FAR,
        ),
        _claim_of_knowing(found),
        Claim(
            "Worker momentum helps every robust rule.",
            every({rule: at_least(points, 0) for rule, points in moved.items()}),
            _points(moved, "won"),
            LONGER,
        ),
        Claim(
            "nnm helps every robust rule (Allouah et al.).",
            every({rule: at_least(points, 0) for rule, points in mixed.items()}),
            _points(mixed, "won"),
        ),
    ]


def _claim_of_knowing(found: Found) -> Claim:
    honest = found.figure(accuracy, "honest", momentum="0")
    lost = {case: honest - found.figure(accuracy, "knowing", case=case) for case in CASES}
    average = lost[next(iter(CASES))]
    return Claim(
        "So it does where z is small enough for Krum, and liars know everything.",
        every({case: at_least(lost[case], average) for case in list(CASES)[1:]}),
        _points(lost, "lost"),
    )


def _points(points: dict[str, float], word: str) -> str:
    return f"{word}: " + ", ".join(f"{rule} {shown(value)}" for rule, value in points.items())


PRESET: Final = Preset("alie", "A Little Is Enough", "mnist", sweeps, report)
