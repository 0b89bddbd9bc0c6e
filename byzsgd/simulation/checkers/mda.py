"""What minimum-diameter averaging promises of every honest update.

Of what a server aggregated only the models before and after are seen: so most of this needs the
learning rate, and allows for rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

from byzsgd.cluster import NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import Update, Updated
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import Law, Violation
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.checkers.values import LONG, ULP, Values, distances, modest

ROUNDING: Final = 1e-5
"""Relative to the length of the gradients: float32 sums, and distances that decide a choice."""
SUBSETS_MAX: Final = 1_000
"""Of more subsets MDA is not worked out again."""


@dataclass(frozen=True)
class Averaged:
    """An update as seen from outside.

    `rows` are the (q, d) gradients, `f` of which may be lies; `aggregate` is None where the rate is
    not known, and rounded by `rounding`. A `hasty` search ran out of its budget: what it chose may
    be twice as wide as the narrowest.
    """

    rows: Values
    f: int
    honest: npt.NDArray[np.bool_]
    chosen: npt.NDArray[np.bool_]
    aggregate: Values | None
    rounding: float
    hasty: bool

    @cached_property
    def centre(self) -> Values:
        """The mean of the honest."""
        return np.asarray(self.rows[self.honest].mean(axis=0))

    @cached_property
    def far(self) -> Values:
        """(q, q) distances."""
        return distances(self.rows, self.centre)

    @cached_property
    def wide(self) -> float:
        """The diameter of the honest."""
        return self.width(self.honest)

    @cached_property
    def slack(self) -> float:
        """What rounding may do to a mean of rows no longer than the honest are."""
        longest = np.linalg.norm(self.rows[self.honest], axis=1).max()
        return self.rounding + ROUNDING * (float(longest) + self.wide)

    def width(self, which: npt.NDArray[np.bool_]) -> float:
        return float(self.far[which][:, which].max(initial=0.0))


def near_honest_mean(seen: Averaged) -> str | None:
    """An aggregate is at most 2 f / (q − f) honest diameters away from the honest mean.

    Of the q gradients h ≥ q − f are honest, at most D apart. MDA's subset of q − f is at most D
    wide as well, since some q − f of the honest are, and at least one honest gradient is in it: so
    nothing in it is farther than 2 D from any honest one. With a liars in it, all but
    (h − q + f + a) / h ≤ f / (q − f) of what the two means weigh is the same, and that much is
    moved by at most 2 D. With a subset up to 2 D wide it is 3 D.
    """
    if seen.aggregate is None:
        return None
    far = float(np.linalg.norm(seen.aggregate - seen.centre))
    allowed = (3 if seen.hasty else 2) * seen.f / (len(seen.rows) - seen.f) * seen.wide
    if far <= allowed + seen.slack:
        return None
    return (
        f"aggregates to what is {far:g} from the honest mean, {allowed:g} are allowed: "
        f"2 f / (q − f) honest diameters of {seen.wide:g}"
    )


def chosen(seen: Averaged) -> str | None:
    """What MDA says that it chose are q − f gradients, no wider than the honest are."""
    size, count = len(seen.rows) - seen.f, np.count_nonzero(seen.chosen)
    if count not in (0, size):  # not everybody says it
        return f"chooses {count} gradients, not {size}"
    wide, allowed = seen.width(seen.chosen), seen.wide * (2 if seen.hasty else 1)
    if wide <= allowed + seen.slack - seen.rounding:
        return None
    return f"chooses gradients {wide:g} apart, the honest are {allowed:g} apart"


def exact_mda(seen: Averaged) -> str | None:
    """The aggregate is the mean of q − f gradients of least diameter, as trying all subsets gives.

    Where several subsets are as narrow, within rounding, it may be that of any of them.
    """
    quorum, dimension = seen.rows.shape
    few = comb(quorum, seen.f) <= SUBSETS_MAX and dimension <= LONG
    if not few or seen.aggregate is None or seen.hasty:
        return None
    subsets = _subsets(quorum, quorum - seen.f)
    wide = seen.far[subsets[:, :, None], subsets[:, None, :]].max(axis=(1, 2))
    means = seen.rows[subsets[wide <= wide.min() + seen.slack - seen.rounding]].mean(axis=1)
    far = float(np.linalg.norm(means - seen.aggregate, axis=1).min())
    if far <= seen.slack:
        return None
    return (
        f"aggregates to what is {far:g} from the mean of the {quorum - seen.f} gradients of least "
        f"diameter, {wide.min():g}"
    )


PROMISES: Final = {"mda": near_honest_mean, "mda's choice": chosen, "exact mda": exact_mda}
"""By the name of a violation. Each gives in words what is wrong, or None."""


class Mda(Checker):
    """Looks at the updates of honest servers whose vectors have values, and no absurd ones."""

    name = "mda"

    def __init__(self, law: Law, ledger: Ledger, promises: Sequence[str] = tuple(PROMISES)) -> None:
        super().__init__(law, ledger)
        self._promises = promises

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        if type(effect) is not Update or node not in self.ledger.honest:
            return
        seen = self._seen(effect, outcome)
        if seen is None:
            return
        if not seen.honest.any():
            self.fail(node, f"updates step {effect.step} with liars' gradients only")
        for name in self._promises if modest(seen.rows[seen.honest]) else ():
            if text := PROMISES[name](seen):
                raise Violation(name, node, f"at step {effect.step} {text}")

    def _seen(self, effect: Update, outcome: Outcome) -> Averaged | None:
        event, look, f = outcome.event, self.ledger.sight.of, self.law.cluster.f_workers
        assert isinstance(event, Updated), event
        rows, before = self.ledger.sight.rows(effect.gradients), look(effect.params)
        after = look(event.params)
        if rows is None or before is None or after is None or not modest(before):
            return None
        if len(rows) <= 2 * f:
            return None  # no quorum at all, which is for another checker to say
        rate = self.law.rate(effect.step) if self.law.rate else 0.0
        lengths = float(np.linalg.norm(before) + np.linalg.norm(after))
        return Averaged(
            rows,
            f,
            np.array([sender in self.ledger.honest for sender, _ in effect.gradients]),
            np.array([sender in event.chosen for sender, _ in effect.gradients]),
            (before - after) / rate if rate else None,
            2 * ULP * lengths / rate if rate else 0.0,
            bool(outcome.measures.get("approximate_selections")),
        )


@cache
def _subsets(n: int, size: int) -> npt.NDArray[np.intp]:
    """(number of subsets, size)."""
    return np.array(list(combinations(range(n), size)), dtype=np.intp)
