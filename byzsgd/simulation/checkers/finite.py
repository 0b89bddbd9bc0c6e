"""Numbers stay numbers."""

import numpy as np

from byzsgd.cluster import NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import Contract, Contracted, Update, Updated
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import Law
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.checkers.values import modest

ROBUST = ("mda", "median")


class Finite(Checker):
    """Of finite honest vectors something finite is made, whatever the liars say.

    Where honest vectors are huge or not finite it is the training that has failed. Asked only of
    rules and sides that promise it.
    """

    name = "finite"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        self._updates = law.gradients in ROBUST and law.within_bounds("worker")
        self._contractions = law.models in ROBUST and law.within_bounds("server")

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        event = outcome.event
        if node not in self.ledger.honest or not isinstance(event, Updated | Contracted):
            return
        result = self.ledger.sight.of(event.params)
        if result is not None and not np.isfinite(result).all():
            self._judge(node, effect)

    def _judge(self, node: NodeId, effect: Computation) -> None:
        if isinstance(effect, Update) and self._updates:
            before, inputs, what = self.ledger.sight.of(effect.params), effect.gradients, "update"
        elif isinstance(effect, Contract) and self._contractions:
            before, inputs, what = None, effect.models, "contraction"
        else:
            return
        rows = self.ledger.sight.rows(inputs)
        honest = [sender in self.ledger.honest for sender, _ in inputs]
        if rows is not None and modest(rows[honest]) and (before is None or modest(before)):
            self.fail(node, f"its {what} of step {effect.step} is not finite, honest vectors are")
