"""What the median of models must be, wherever an honest node takes one."""

import numpy as np

from byzsgd.cluster import NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import Contract, Contracted
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.values import LEAST, LONG, ULP, Values


class Medians(Checker):
    """For the contractions of honest nodes whose vectors have values."""

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        event = outcome.event
        if type(effect) is not Contract or node not in self.ledger.honest:
            return
        rows = self.ledger.sight.rows(effect.models)
        result = self.ledger.sight.of(event.params) if isinstance(event, Contracted) else None
        if rows is not None and result is not None:
            with np.errstate(invalid="ignore"):  # liars may say infinity
                self.judge(node, effect, rows, result)

    def judge(self, node: NodeId, effect: Contract, rows: Values, result: Values) -> None:
        raise NotImplementedError


class Box(Medians):
    """Each coordinate lies between honest ones of the same quorum: so no lie moves it far."""

    name = "box"

    def judge(self, node: NodeId, effect: Contract, rows: Values, result: Values) -> None:
        honest = rows[[sender in self.ledger.honest for sender, _ in effect.models]]
        if not len(honest):
            self.fail(node, f"contracts liars' models only at step {effect.step}")
        low, high = honest.min(axis=0), honest.max(axis=0)
        slack = ULP * np.maximum(np.abs(low), np.abs(high)) + LEAST
        known = np.isfinite(low) & np.isfinite(high)
        within = (low - slack <= result) & (result <= high + slack)
        if not within[known].all():
            at = int(np.flatnonzero(known & ~within)[0])
            self.fail(
                node,
                f"contracts to {result[at]:g} at step {effect.step}, coordinate {at}, "
                f"where honest models are from {low[at]:g} to {high[at]:g}",
            )


class ExactMedian(Medians):
    """The middle value, or the mean of the two middle ones: never the lower or the upper."""

    name = "median"

    def judge(self, node: NodeId, effect: Contract, rows: Values, result: Values) -> None:
        if rows.shape[1] > LONG or _unfinished(rows) > self.law.cluster.f_servers:
            return
        low, high = middle_two(rows)
        expected = np.where(low == high, low, low / 2 + high / 2)
        if (result == expected).all():
            return  # as nearly always
        slack = ULP * np.maximum(np.abs(low), np.abs(high)) + LEAST
        right = np.isclose(result, expected, rtol=0, atol=slack, equal_nan=True)
        if not right.all():
            at = int(np.flatnonzero(~right)[0])
            self.fail(
                node,
                f"contracts to {result[at]:.9g} at step {effect.step}, coordinate {at}, "
                f"but the median is {expected[at]:.9g}",
            )


def middle_two(rows: Values) -> tuple[Values, Values]:
    """Of an odd number twice the same. Not a number is taken for infinity, as by the rule."""
    ordered = np.sort(np.where(np.isnan(rows), np.inf, rows), axis=0)
    return ordered[(len(rows) - 1) // 2], ordered[len(rows) // 2]


def _unfinished(rows: Values) -> int:
    """Rows that are not finite: of more than f of them a rule refuses to make anything."""
    return int(np.count_nonzero(~np.isfinite(rows).all(axis=1)))
