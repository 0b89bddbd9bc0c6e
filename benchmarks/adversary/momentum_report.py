"""What came of the grid of "Distributed Momentum": effective and recovered cases."""

import math
from collections.abc import Iterator
from itertools import product
from statistics import fmean, median
from typing import Final, NamedTuple

from benchmarks.adversary.found import Figure, Found, best_accuracy, shown
from benchmarks.adversary.preset import Claim, Report, grid
from byzsgd.experiment.files import read_json
from byzsgd.experiment.results import Run

N: Final = 25
F: Final = (11, 5)
RULES: Final = ("krum", "median")
ATTACKS: Final = ("alie", "ipm")
PLACES: Final = ("server", "worker")
POINTS: Final = 20.0
SHARE: Final = 0.6
"""Of the effective cases the paper says that more are recovered."""


class Case(NamedTuple):
    """One pair of runs that differ in where momentum is, and the unattacked average beside it."""

    rule: str
    attack: str
    f: int
    seed: int
    average: float
    server: float
    worker: float
    ratios: tuple[float, float]
    """The variance-norm ratio of what is submitted, of momentum at the server and at workers."""

    @property
    def effective(self) -> bool:
        return self.average - self.server >= POINTS

    @property
    def recovered(self) -> bool:
        return self.effective and self.worker - self.server >= POINTS


def named(attack: str, f: int) -> str:
    """The variant of the axis of lies."""
    return f"{attack}, f = {f}"


def report(found: Found) -> Report:
    cases = list(_cases(found))
    honest, first = _ratios(found, "average"), _ratios(found, "average", early)
    return Report(_table(cases, honest), [*_claims(cases), _claim_of_ratios(honest, first)])


def ratio(run: Run) -> float:
    """The median over steps of the variance-norm ratio of the honest vectors."""
    told = read_json(run.path / "assumptions.json").get("ratio")
    return float(told) if isinstance(told, int | float) else math.nan


def early(run: Run) -> float:
    """The same over the first tenth of the steps, when gradients still point somewhere."""
    seen = (line.get("gradients") or {} for line in run.measures("server-0"))
    known = [float(each["ratio"]) for each in seen if each.get("ratio") is not None]
    return median(known[: max(1, len(known) // 10)]) if known else math.nan


def _cases(found: Found) -> Iterator[Case]:
    for rule, attack, f in product(RULES, ATTACKS, F):
        labels = {"rule": rule, "lies": named(attack, f)}
        for seed, of_seed in found.seeds():
            average = of_seed.figure(best_accuracy, "average", at="server")
            server, worker = (of_seed.figure(best_accuracy, **labels, at=at) for at in PLACES)
            ratios = _ratios(of_seed, "", ratio, **labels)
            yield Case(rule, attack, f, seed, average, server, worker, ratios)


def _ratios(found: Found, sweep: str, of: Figure = ratio, **labels: str) -> tuple[float, float]:
    server, worker = (found.figure(of, sweep, **labels, at=place) for place in PLACES)
    return server, worker


def _table(cases: list[Case], honest: tuple[float, float]) -> list[str]:
    heads = (
        "attack",
        "f",
        "seed",
        "average, no attack",
        "momentum at server",
        "at workers",
        "effective",
        "recovered",
        "variance/norm², server",
        "workers",
    )
    rows = [
        (
            case.rule,
            case.attack,
            str(case.f),
            str(case.seed),
            *(shown(value) for value in (case.average, case.server, case.worker)),
            "yes" if case.effective else "no",
            "yes" if case.recovered else "no" if case.effective else "",
            *_shown(case.ratios),
        )
        for case in cases
    ]
    average = ("average", *[""] * 8, *_shown(honest))
    return grid(("rule", *heads), [*rows, average])


def _shown(ratios: tuple[float, float]) -> list[str]:
    return [shown(value, ".3g") for value in ratios]


def _claims(cases: list[Case]) -> list[Claim]:
    known = [case for case in cases if not any(map(math.isnan, case[4:7]))]
    whole = len(known) == len(cases)
    effective = [case for case in known if case.effective]
    recovered = [case for case in effective if case.recovered]
    worse = [case for case in known if case.worker < case.server]
    half = [case for case in effective if case.f == F[0]]
    won = [case.worker - case.server for case in known]
    return [
        Claim(
            "With f ≈ half attacks are effective more often than with f ≈ a quarter.",
            len(half) >= len(effective) - len(half) if whole else None,
            f"{len(half)} of {sum(case.f == F[0] for case in known)} and "
            f"{len(effective) - len(half)} of {sum(case.f == F[1] for case in known)}",
        ),
        Claim(
            f"Worker momentum recovers more than {SHARE:.0%} of the effective cases.",
            len(recovered) > SHARE * len(effective) if whole and effective else None,
            f"{len(recovered)} of {len(effective)}",
            "What is not recovered is won back in part: an attack that costs little more than "
            "20 points leaves little room for 20 to be won.",
        ),
        Claim(
            "It never makes an effective case worse.",
            not any(case in worse for case in effective) if whole else None,
            f"worse in {sum(case in worse for case in effective)} of {len(effective)} effective, "
            f"{len(worse)} of {len(known)} of all; won {shown(fmean(won)) if won else '–'} points "
            "on average",
        ),
    ]


def _claim_of_ratios(honest: tuple[float, float], first: tuple[float, float]) -> Claim:
    """Of the runs that visit the same models: an average of sums is the sum of averages."""
    server, worker = honest
    return Claim(
        "It lowers the variance-norm ratio of what is submitted (average, no attack: the same "
        "models in both).",
        None if math.isnan(server + worker) else worker < server,
        f"{shown(server, '.3g')} with momentum at the server, {shown(worker, '.3g')} at workers; "
        f"in the first tenth of the steps {shown(first[0], '.3g')} and {shown(first[1], '.3g')}",
        "Gradients do not stay what they are: later they swing to and fro and cancel in the sum, "
        f"and what is left is noise, of which {N} vectors have a ratio of {N}.",
    )
