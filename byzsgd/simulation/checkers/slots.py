"""Which round the models of a contraction are of: the effect itself tells only the step."""

from byzsgd.cluster import NodeId
from byzsgd.protocol import Contract
from byzsgd.simulation.checkers.ledger import Ledger


def rounds(ledger: Ledger, node: NodeId, effect: Contract) -> list[int]:
    """The rounds that it may be of, after what was delivered; a scatter is the one after the last.

    A server that contracts its own model is in the gather that it showed it in; one that does not
    was left behind, and goes on in a later round, all of whose models it has been told.
    """
    after = ledger.law.plan.gather_rounds
    if node.role == "worker":
        return [after]
    senders = [sender for sender, _ in effect.models]
    stands = ledger.of(node).stands
    if node in senders:
        return [stands[1]] if stands[0] == effect.step else []
    return [
        round_
        for round_ in range(after + 1)
        if (effect.step, round_) > stands
        and ledger.heard(node, effect.step, round_) >= set(senders)
    ]
