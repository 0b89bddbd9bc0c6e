"""A liar: an honest machine whose every word is rewritten, receiver by receiver.

It can lie, contradict itself and stay silent, and it cannot pretend to be another node: `Send` has
no field for that.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from byzsgd.attacks.attack import Attack
from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    Machine,
    Model,
    Received,
    Send,
    SetTimer,
    TimerFired,
    Update,
    Vector,
    Whisper,
)

COLLUSION_S = 0.25
"""How long a liar waits for what its fellows know before it lies with what it has."""


class Byzantine:
    """Wraps the machine of `me`; `fellows` are the other liars of its side, if they collude.

    Its own state is as small as the honest machine's: what fellows told it about a step is
    forgotten once it has lied about that step.
    """

    def __init__(
        self,
        honest: Machine,
        attack: Attack,
        options: Mapping[str, object],
        fellows: tuple[NodeId, ...] = (),
    ) -> None:
        self.honest = honest
        self.attack = attack
        self.options = dict(options)
        self.fellows = fellows
        self._told: dict[int, dict[NodeId, Vector]] = {}
        self._held: Send | None = None
        self._update: Update | None = None

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
            case Received(sender, Whisper(step, vector)):
                return self._hear(sender, step, vector)
            case TimerFired("collude", step):
                return self._lie() if self._held and self._held.message.step == step else []
            case Forged(sends):
                return list(sends)
        rewritten: list[Effect] = []
        for effect in self.honest.handle(event, now):
            rewritten += self._rewrite(effect, now)
        return rewritten

    def _rewrite(self, effect: Effect, now: float) -> list[Effect]:
        match effect:
            case Update():
                self._update = effect
            case Send(message=Gradient(step, vector)) if self.fellows:
                late = self._lie()
                self._held = effect
                whisper = Send(self.fellows, Whisper(step, vector))
                timer = SetTimer("collude", step, now + COLLUSION_S)
                return [*late, whisper, timer, *self._lie_if_told()]
            case Send():
                self._held = effect
                return self._lie()
        return [effect]

    def _hear(self, sender: NodeId, step: int, vector: Vector) -> list[Effect]:
        """Note what a fellow knows, of this step or the next."""
        if sender not in self.fellows or not self.step - 1 <= step <= self.step + 1:
            return []
        self._told.setdefault(step, {})[sender] = vector
        return self._lie_if_told()

    def _lie_if_told(self) -> list[Effect]:
        if self._held is None or len(self._told_now()) < len(self.fellows):
            return []
        return self._lie()

    def _lie(self) -> list[Effect]:
        """Have the lie computed that takes the place of what is held back."""
        if self._held is None:
            return []
        send, told = self._held, self._told_now()
        self._held = None
        self._told = {step: known for step, known in self._told.items() if step > send.message.step}
        if self.attack.vector is None:
            return []
        message = send.message
        own = message.params if isinstance(message, Model) else message.vector
        known = (own, *(told[fellow] for fellow in sorted(told)))
        forge = Forge((send,), self.attack.name, self.options, known)
        if self._update and isinstance(message, Model):
            gradients = tuple(vector for _, vector in self._update.gradients)
            forge = replace(forge, gradients=gradients)
        return [forge]

    def _told_now(self) -> dict[NodeId, Vector]:
        return self._told.get(self._held.message.step, {}) if self._held else {}
