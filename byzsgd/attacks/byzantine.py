"""A liar: an honest machine whose every word is rewritten, receiver by receiver.

It can lie, contradict itself and stay silent, and it cannot pretend to be another node: `Send` has
no field for that.
"""

from collections import Counter
from collections.abc import Mapping

from byzsgd.attacks.attack import Attack
from byzsgd.attacks.memory import Memory
from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    Machine,
    Model,
    Pull,
    Received,
    Send,
    Update,
    Vector,
    Whisper,
    vector_of,
)


class Byzantine:
    """Wraps a machine; `fellows` are the other liars of its side, if they collude.

    Of all its `accomplices`, fellows included, it knows that they lie: it believes no model or
    gradient of theirs. It never waits for what fellows know: a lie that comes late is no use, so
    it lies with what it was last told.
    """

    def __init__(
        self,
        honest: Machine,
        attack: Attack,
        options: Mapping[str, object],
        fellows: tuple[NodeId, ...] = (),
        accomplices: frozenset[NodeId] = frozenset(),
    ) -> None:
        self.honest = honest
        self.attack = attack
        self.options = dict(options)
        self.fellows = fellows
        self.accomplices = accomplices
        self._memory = Memory()
        self._told: dict[NodeId, Vector] = {}
        self._gradients: tuple[Vector, ...] = ()

    @property
    def step(self) -> int:
        return self.honest.step

    @property
    def phase(self) -> str:
        return self.honest.phase

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.honest.refused

    def kept(self, sender: NodeId) -> int:
        return self.honest.kept(sender)

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Received(sender, Whisper(_, vector)):
                if sender in self.fellows:
                    self._told[sender] = vector
                return []
            case Received(sender, _) if sender in self.accomplices:
                return []
            case Forged(sends):
                return list(sends)
        effects = self.honest.handle(event, now)
        return [lie for effect in effects for lie in self._rewrite(effect)]

    def _rewrite(self, effect: Effect) -> list[Effect]:
        match effect:
            case Update():
                self._gradients = tuple(vector for _, vector in effect.gradients)
                return [effect]
            case Send(_, Pull()) if not self.attack.behaviour:
                return [effect]  # a wish: nothing is said by it
            case Send():
                return [*self._lie(effect), *self._whisper(effect)]
        return [effect]

    def _lie(self, send: Send) -> list[Effect]:
        """What takes the place of an honest word: other words, or a vector to be computed."""
        if self.attack.behaviour:
            return [*self.attack.words(send, self._memory, self.options)]
        if self.attack.vector is None:
            return []
        message = send.message
        known = (vector_of(message), *(self._told[fellow] for fellow in sorted(self._told)))
        gradients = self._gradients if isinstance(message, Model) else ()
        return [Forge((send,), self.attack.name, self.options, known, gradients)]

    def _whisper(self, send: Send) -> list[Effect]:
        match send.message:
            case Gradient(step, vector) if self.fellows:
                return [Send(self.fellows, Whisper(step, vector))]
        return []
