"""The paper's figures beside ours (El-Mhamdi et al., arXiv 1905.03853)."""

import math
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from byzsgd.experiment.page.sample import Sample
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Labels, Study
from byzsgd.experiment.page.words import NOTHING, known, more, situation_text
from byzsgd.experiment.sweep.spread import Spread, spread, spread_of_times

PLAIN: Final = "plain"


class Claim(NamedTuple):
    """What the paper says of a variant: how much more than plain SGD it takes."""

    variant: str
    name: str
    of: Literal["step", "target"]
    said: str


CLAIMS: Final = (
    Claim("byzsgd-sync", "throughput overhead, synchronous", "step", "+24 % to +176 %"),
    Claim("byzsgd-async", "throughput overhead, asynchronous", "step", "+28 % to +220 %"),
    Claim("byzsgd-sync", "time to converge, synchronous", "target", "about +32 %"),
    Claim("byzsgd-async", "time to converge, asynchronous", "target", "about +32 %"),
)


def paper(study: Study) -> Section | None:
    variants = {claim.variant for claim in CLAIMS} & set(study.variants)
    if PLAIN not in study.variants or not variants:
        return None
    rows = [row for claim in CLAIMS if claim.variant in variants for row in _rows(study, claim)]
    if not rows:
        return None
    first = situation_text(study.situations[0])
    caption = (
        "How much more time than plain SGD on the same transport: for a step (throughput "
        "overhead), and until the target accuracy (convergence); seed by seed, medians. A seed in "
        "which plain SGD never reached the target has no ratio, one in which only plain SGD did "
        "counts as more than all others. The paper's clusters, models and networks were others."
    )
    here = (f"here{first and ', '}{first}", "here, all situations")
    head = ("", "paper", *here, "situations", "seeds with a ratio")
    return Section("The paper's figures beside ours", [Shown(caption, table=Table(head, rows))])


def _rows(study: Study, claim: Claim) -> Iterator[tuple[str, ...]]:
    each = [_found(study, claim, situation) for situation in study.situations]
    found = [ratio for ratio in each if ratio]
    if reach := spread_of_times(ratio.median for ratio in found):
        first = known(each[0].median, more) if each[0] else NOTHING
        ends = dict.fromkeys(known(ratio, more) for ratio in (reach.low, reach.high))
        situations = f"{len(found)} of {len(each)}"
        seeds = f"{sum(ratio.values for ratio in found)} of {_seeds(study, claim)}"
        yield claim.name, claim.said, first, " to ".join(ends), situations, seeds


def _seeds(study: Study, claim: Claim) -> int:
    return sum(len(cell.finished) for cell in study.cells if cell.labels[0][1] == claim.variant)


def _found(study: Study, claim: Claim, situation: Labels) -> Spread | None:
    """The ratios to plain SGD, None where it has no such figure."""
    if (cell := study.cell(claim.variant, situation)) is None:
        return None
    plain = study.cell(PLAIN, situation)
    found = cell.multiples(plain, lambda run: _figure(run, claim, study.target))
    return spread(found) if claim.of == "step" else spread_of_times(found)


def _figure(run: Sample, claim: Claim, target: float | None) -> float:
    if claim.of == "step":
        return run.step_s
    return math.nan if target is None else run.seconds_to(target)
