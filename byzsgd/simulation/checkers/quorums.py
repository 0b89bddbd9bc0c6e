"""Whom an honest node takes vectors of: enough, distinct, authenticated, and for one slot.

That no more than f of them lie follows from their being distinct; it is counted all the same.
"""

from collections.abc import Sequence

from byzsgd.cluster import NodeId, Role
from byzsgd.protocol import Contract, SetTimer, Update
from byzsgd.protocol.effects import Inputs
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import ROLES, Law
from byzsgd.simulation.checkers.ledger import GRADIENT, Ledger
from byzsgd.simulation.checkers.slots import rounds
from byzsgd.simulation.trace import crowd


class QuorumChecker(Checker):
    """What holds of all of them."""

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        cluster = law.cluster
        self._side = {"server": set(cluster.server_ids), "worker": set(cluster.worker_ids)}
        self._limit = {
            role: law.f(role) if law.within_bounds(role) else len(self._side[role])
            for role in ROLES
        }

    def check(self, node: NodeId, step: int, inputs: Inputs, role: Role) -> list[NodeId]:
        """The senders: distinct ones of this side, in order, few of them liars."""
        senders = [sender for sender, _ in inputs]
        if senders != sorted(set(senders)) or not self._side[role].issuperset(senders):
            self.fail(
                node,
                f"at step {step} takes what is not of distinct {role}s in order: {crowd(senders)}",
            )
        liars = [sender for sender in senders if sender in self.law.liars]
        if len(liars) > self._limit[role]:
            self.fail(node, f"at step {step} takes {len(liars)} liars: {crowd(liars)}")
        if self.ledger.machines[node].step != step:
            self.fail(node, f"at step {self.ledger.machines[node].step} computes for step {step}")
        return senders

    def delivered(self, node: NodeId, step: int, round_: int, senders: Sequence[NodeId]) -> None:
        """Each of them has sent such a message; `round_` as it was sent."""
        heard = self.ledger.heard(node, step, round_)
        for sender in senders:
            if sender not in heard and sender != node:
                what = "gradient" if round_ == GRADIENT else f"model of round {round_}"
                self.fail(node, f"takes for step {step} a {what} that {sender} did not send it")

    def enough(self, node: NodeId, step: int, senders: Sequence[NodeId], least: int) -> None:
        if len(senders) < least:
            self.fail(node, f"at step {step} takes {len(senders)} of {least}: {crowd(senders)}")


class GradientQuorum(QuorumChecker):
    """An update takes gradients of exactly q_w workers, all of its step.

    Where there are deadlines, of all workers; and of q_w or more once the server's has passed.
    """

    name = "gradient quorum"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        ledger.listen(Update, self._update)
        ledger.listen(SetTimer, self._timer)

    def _update(self, node: NodeId, effect: Update) -> None:
        step, cluster = effect.step, self.law.cluster
        senders = self.check(node, step, effect.gradients, "worker")
        self.enough(node, step, senders, cluster.q_workers)
        awaited = cluster.gradients_awaited(self.law.plan.mode)
        if len(senders) > awaited:
            self.fail(node, f"at step {step} takes more than a quorum: {crowd(senders)}")
        if len(senders) < awaited and self.ledger.of(node).overdue < step:
            self.fail(node, f"at step {step} takes {crowd(senders)} before its deadline")
        self.delivered(node, step, GRADIENT, senders)

    def _timer(self, node: NodeId, timer: SetTimer) -> None:
        until = self.ledger.now + self.law.plan.deadline_s
        if timer.name == "deadline" and timer.at < until:
            self.fail(node, f"sets a deadline at {timer.at:g}, before {until:g}")


class ScatterQuorum(QuorumChecker):
    """A worker takes models of at least q_ps servers, all of its step."""

    name = "scatter quorum"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        ledger.listen(Contract, self._contract)

    def _contract(self, node: NodeId, effect: Contract) -> None:
        if node.role == "worker":
            senders = self.check(node, effect.step, effect.models, "server")
            self.enough(node, effect.step, senders, self.law.cluster.q_servers)
            self.delivered(node, effect.step, 0, senders)


class GatherQuorum(QuorumChecker):
    """A gather takes at least q_ps servers' models of one round, its own among them."""

    name = "gather quorum"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        ledger.listen(Contract, self._contract)

    def _contract(self, node: NodeId, effect: Contract) -> None:
        own = [sender for sender, _ in effect.models].count(node)
        if node.role != "server" or own == 0:
            return
        if own > 1:
            self.fail(node, f"at step {effect.step} takes its own model {own} times")
        senders = self.check(node, effect.step, effect.models, "server")
        self.enough(node, effect.step, senders, self.law.cluster.q_servers)
        stands = self.ledger.of(node).stands
        if stands[0] != effect.step or stands[1] == self.law.plan.gather_rounds:
            self.fail(node, f"takes its own model in a gather {effect.step} that it is not in")
        self.delivered(node, effect.step, stands[1], senders)


class RejoinQuorum(QuorumChecker):
    """Whoever was left behind goes on with models of 2 f + 1 others, of one later round.

    In its own round a server never contracts without its own model.
    """

    name = "rejoin quorum"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        ledger.listen(Contract, self._contract)

    def _contract(self, node: NodeId, effect: Contract) -> None:
        senders = [sender for sender, _ in effect.models]
        if node.role != "server" or node in senders:
            return
        if not self.law.plan.catch_up:
            self.fail(node, f"takes no model of its own at step {effect.step}")
        self.check(node, effect.step, effect.models, "server")
        self.enough(node, effect.step, senders, self.law.cluster.rejoin_quorum)
        if not rounds(self.ledger, node, effect):
            step, round_ = self.ledger.of(node).stands
            self.fail(
                node,
                f"stands at step {step}, round {round_} and takes models of step "
                f"{effect.step} that are of no later round: {crowd(senders)}",
            )
