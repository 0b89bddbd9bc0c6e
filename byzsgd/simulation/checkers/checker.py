"""What all checkers have in common."""

from typing import ClassVar, NoReturn

from byzsgd.cluster import NodeId
from byzsgd.simulation.checkers.law import Law, Violation
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.watch import Watcher


class Checker(Watcher):
    """Looks after one invariant, of which it knows the law and what the ledger says."""

    name: ClassVar[str]

    def __init__(self, law: Law, ledger: Ledger) -> None:
        self.law = law
        self.ledger = ledger

    def fail(self, node: NodeId | None, text: str) -> NoReturn:
        raise Violation(self.name, node, text)
