"""What honest nodes say: one thing, what they computed; and it arrives as they said it."""

from collections.abc import Sequence

from byzsgd.cluster import REPEATED, NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Done,
    GradientComputed,
    Message,
    Model,
    Save,
    Send,
    Update,
    Updated,
    Vector,
    vector_of,
)
from byzsgd.protocol.effects import Computation, Inputs
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import Law
from byzsgd.simulation.checkers.ledger import GRADIENT, Ledger, Slot
from byzsgd.simulation.checkers.slots import rounds
from byzsgd.simulation.checkers.values import same
from byzsgd.simulation.trace import of
from byzsgd.simulation.watch import Stage
from byzsgd.wire import Frames


class Unaltered(Checker):
    """What an honest node computes with of another honest one is what that one said.

    In some incarnation of it: what it said before a crash may arrive after it. What came over a
    wire is another object, and compared only where values may be looked at.
    """

    name = "unaltered"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        ledger.listen(Update, self._update)
        ledger.listen(Contract, self._contract)

    def _update(self, node: NodeId, effect: Update) -> None:
        self._check(node, effect.gradients, [(effect.step, GRADIENT)])

    def _contract(self, node: NodeId, effect: Contract) -> None:
        self._check(
            node, effect.models, [(effect.step, r) for r in rounds(self.ledger, node, effect)]
        )

    def _check(self, node: NodeId, inputs: Inputs, slots: Sequence[Slot]) -> None:
        """Of one of these slots they must all be."""
        altered = [self._altered(inputs, slot) for slot in slots]
        if altered and all(altered):
            self.fail(node, f"takes for step {slots[0][0]} what {altered[0]} never said")

    def _altered(self, inputs: Inputs, slot: Slot) -> NodeId | None:
        """The first whose word it is not."""
        for sender, vector in inputs:
            if sender in self.ledger.honest:
                said = self.ledger.said(sender, slot)
                if said is not None and not any(is_word(self.ledger, vector, w) for w in said):
                    return sender
        return None


def is_word(ledger: Ledger, vector: Vector, word: Vector) -> bool:
    """Whether this is what was said, as far as anybody may look."""
    if isinstance(vector, Frames) and not ledger.values:
        return True
    return same(vector, word)


class PublishOnce(Checker):
    """A node that lives on says one thing of one slot, and nothing of a step that it is not at."""

    name = "publish once"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        ledger.listen(Send, self._send)

    def _send(self, node: NodeId, send: Send) -> None:
        message = send.message
        what = of(message)
        if message.step > self.ledger.machines[node].step:
            self.fail(node, f"says a {what}, but is at step {self.ledger.machines[node].step}")
        for slot in self.ledger.slots(send):
            for word in self.ledger.saying(node, slot) or ():
                if not same(vector_of(message), word):
                    self.fail(node, f"says two different things as its {what}")


class OwnWords(Checker):
    """What a node says, saves and goes on with is what came of its last computation.

    A model that nobody pulled may be shown first when it is shown again: then it is that of its
    step.
    """

    name = "own words"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        self._result: dict[NodeId, Vector] = {}
        self._models: dict[NodeId, dict[int, Vector]] = {}
        ledger.listen(Send, self._send)
        ledger.listen(Update, lambda node, effect: self._check(node, "update", effect))
        ledger.listen(ComputeGradient, self._gradient)
        ledger.listen(Save, lambda node, effect: self._check(node, "checkpoint", effect))
        ledger.listen(Done, self._done)

    def began(self, stage: Stage) -> None:
        for node in stage.honest:
            self._begin(node, 0, getattr(stage.machines[node], "params", None))

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        self._begin(node, step, params)

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        match outcome.event:
            case Updated(step, params):
                self._compute(node, step + 1, params)
            case Contracted(step, params):
                self._compute(node, step, params)
            case GradientComputed(_, vector):
                self._result[node] = vector

    def _send(self, node: NodeId, send: Send) -> None:
        """The first time; what is said again is compared with that (`PublishOnce`)."""
        message = send.message
        for slot in self.ledger.slots(send):
            new = self.ledger.saying(node, slot) == []
            if new and not self._is_own(node, message):
                self.fail(node, f"says a {of(message)} that it did not compute last")

    def _is_own(self, node: NodeId, message: Message) -> bool:
        vector, known = vector_of(message), self._models.get(node, {})
        late = self.law.plan.mode == "sync" and isinstance(message, Model) and message.step in known
        return same(vector, self._result[node]) or (late and same(vector, known[message.step]))

    def _begin(self, node: NodeId, step: int, params: Vector) -> None:
        self._models.pop(node, None)
        self._compute(node, step, params)

    def _compute(self, node: NodeId, step: int, params: Vector) -> None:
        self._result[node] = params
        if node.role == "server":
            models = self._models.setdefault(node, {})
            models.pop(step, None)
            models[step] = params
            while len(models) > REPEATED:
                del models[next(iter(models))]

    def _gradient(self, node: NodeId, effect: ComputeGradient) -> None:
        """Of a model that was pulled from one server it is for `Pulled` to say."""
        if self.law.plan.scatters_at(effect.step):
            self._check(node, "gradient", effect)

    def _check(self, node: NodeId, what: str, effect: Update | ComputeGradient | Save) -> None:
        if not same(effect.params, self._result[node]):
            self.fail(node, f"its {what} of step {effect.step} is of another model than its last")

    def _done(self, node: NodeId, done: Done) -> None:
        if node.role == "server" and not same(done.params, self._result[node]):
            self.fail(node, "its result is another model than its last")
