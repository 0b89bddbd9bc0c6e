"""Checkers watch a world from outside and stop it where an invariant does not hold.

    World(…, watchers=checkers(law)).run()        # raises Violation

Each looks after one invariant. Safety is checked as it happens, liveness at the end.
"""

from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.contraction import Box, ExactMedian
from byzsgd.simulation.checkers.finite import Finite
from byzsgd.simulation.checkers.law import Law, Violation
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.checkers.liveness import Liveness
from byzsgd.simulation.checkers.mda import Mda
from byzsgd.simulation.checkers.pulled import Pulled
from byzsgd.simulation.checkers.quorums import (
    GatherQuorum,
    GradientQuorum,
    RejoinQuorum,
    ScatterQuorum,
)
from byzsgd.simulation.checkers.steps import Bounded, Restart, Steps
from byzsgd.simulation.checkers.words import OwnWords, PublishOnce, Unaltered
from byzsgd.simulation.watch import Watcher

__all__ = ["Checker", "Law", "Ledger", "Liveness", "Violation", "checkers"]


ALWAYS: tuple[type[Checker], ...] = (
    Steps,
    Bounded,
    GradientQuorum,
    ScatterQuorum,
    GatherQuorum,
    RejoinQuorum,
    Unaltered,
    PublishOnce,
    OwnWords,
    Restart,
)


def checkers(law: Law, values: bool = True) -> list[Watcher]:
    """Those that the law gives reason for, in the order in which they are to watch.

    Without `values` none does work that grows with the vectors.
    """
    ledger = Ledger(law, values)
    rounds = (Pulled,) if law.plan.mode == "sync" else ()
    kinds = (*ALWAYS, *rounds, *(_of_values(law) if values else ()), Liveness)
    return [ledger, *(kind(law, ledger) for kind in kinds)]


def _of_values(law: Law) -> list[type[Checker]]:
    """Those that look into vectors, as far as rules and the number of liars allow."""
    kinds: list[type[Checker]] = [Finite]
    if law.models == "median":
        kinds += [Box, ExactMedian] if law.within_bounds("server") else [ExactMedian]
    if law.gradients == "mda" and law.within_bounds("worker"):
        kinds += [Mda]
    return kinds
