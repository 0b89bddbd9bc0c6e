"""A liar: an honest machine whose every word is rewritten, receiver by receiver.

It can lie, contradict itself and stay silent, and it cannot pretend to be another node: `Send` has
no field for that.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from byzsgd.attacks.attack import Attack
from byzsgd.attacks.drafts import Draft, Drafts
from byzsgd.attacks.knowledge import Knowledge, slot_of
from byzsgd.attacks.late import HELD, Late
from byzsgd.attacks.memory import Memory
from byzsgd.attacks.plot import Plot
from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    ComputeGradient,
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    Machine,
    Model,
    Overheard,
    Pull,
    Received,
    Recompute,
    Recomputed,
    Send,
    TimerFired,
    Update,
    Vector,
    Whisper,
    vector_of,
)
from byzsgd.protocol.effects import Inputs


@dataclass
class Words:
    """How many there were to say while it lies, and how many were said otherwise or not at all."""

    said: int = 0
    changed: int = 0


class Byzantine:
    """Wraps a machine. It never waits for what fellows know: a lie that comes late is no use.

    So it lies with what it was last told; a rushing liar alone waits for the honest.
    """

    def __init__(
        self,
        honest: Machine,
        attack: Attack,
        options: Mapping[str, object],
        plot: Plot | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        self.honest = honest
        self.attack = attack
        self.options = dict(options)
        self.plot = plot or Plot()
        self.knowledge = knowledge or Knowledge()
        self.words = Words()
        self._conspires = attack.conspires(options)
        self._memory = Memory()
        self._late = Late()
        self._drafts = Drafts()
        self._gradients: tuple[Vector, ...] = ()
        self._params: Vector | None = None
        self._recomputed: Inputs = ()

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
            case Received(sender, Whisper() as whisper):
                return self._hear(sender, whisper)
            case Overheard(sender, send):
                return self._learn(sender, send)
            case Recomputed(step, gradients):
                return self._recompute(step, gradients)
            case Received(sender, _) if sender in self.plot.accomplices:
                return []
            case Forged(sends, changed):
                self.words.changed += changed
                return [*self._drafts.finished(sends, changed > 0)]
            case TimerFired(name, _) if name == HELD:
                return self._late.release(now)
        effects = self.honest.handle(event, now)
        rewritten = [lie for effect in effects for lie in self._rewrite(effect, now)]
        return [*self._relay(event), *rewritten]

    # -- what it learns --------------------------------------------------------------------------

    def _hear(self, sender: NodeId, whisper: Whisper) -> list[Effect]:
        """Of a lying worker its own gradient, of a lying server that of an honest worker."""
        if sender not in self.plot.accomplices:
            return []
        if whisper.about is None:
            self.knowledge.told(sender, whisper.vector)
            return []
        about = NodeId("worker", whisper.about)
        self.knowledge.learned(about, (whisper.step, 0, "server"), whisper.vector)
        return self._release()

    def _learn(self, sender: NodeId, send: Send) -> list[Effect]:
        self.knowledge.learned(sender, slot_of(send), vector_of(send.message))
        return self._release()

    def _recompute(self, step: int, gradients: Inputs) -> list[Effect]:
        self._recomputed = gradients
        for worker, vector in gradients:
            self.knowledge.learned(worker, (step, 0, "server"), vector)
        return self._release()

    def _relay(self, event: Event) -> list[Effect]:
        match event:
            case Received(sender, Gradient(step, vector)) if self.plot.listeners:
                return [Send(self.plot.listeners, Whisper(step, vector, sender.index))]
        return []

    # -- what it says ----------------------------------------------------------------------------

    def _rewrite(self, effect: Effect, now: float) -> list[Effect]:
        match effect:
            case Update():
                self._gradients = tuple(vector for _, vector in effect.gradients)
            case ComputeGradient(step, params):
                self._params = params
                if self.plot.recomputed and not self.plot.window.is_over(step):
                    others = Recompute(step, params, self.plot.recomputed, self._recomputed)
                    return [effect, others]
            case Send():
                return [*self._lie(effect, now), *self._whisper(effect)]
        return [effect]

    def _lie(self, send: Send, now: float) -> list[Effect]:
        """What takes the place of an honest word: other words, or a vector to be computed."""
        attack, wish = self.attack, isinstance(send.message, Pull)
        if not self.plot.window.covers(send.message.step):
            self._remember(send)
            return [*self._overdue(send.message.step), send]
        self.words.said += not wish
        if attack.holds_s:
            self.words.changed += not wish
            return self._late.hold(send, now + attack.holds_s(send, **self.options))
        if attack.behaviour:
            said = attack.words(send, self._memory, self.options)
            self.words.changed += not wish and not _same(said, send)
            return [*said]
        if wish:
            return [send]  # nothing is said by it
        if attack.data:
            self.words.changed += 1
            return [send]
        if attack.vector is None:
            self.words.changed += 1
            return []
        return self._make_up(send) if self._conspires else [self._forge(self._draft(send))]

    def _make_up(self, send: Send) -> list[Effect]:
        """At once, unless it rushes: then whatever waits is said before anything newer."""
        if told := self._drafts.told(send):
            message, changed = told
            self.words.changed += changed
            return [Send(send.to, message)]
        self._drafts.add(self._draft(send))
        return [*self._overdue(send.message.step), *self._release()]

    def _overdue(self, step: int) -> list[Effect]:
        """Lies of earlier steps that have waited in vain."""
        return [self._forge(d) for d in self._drafts.waiting() if d.send.message.step < step]

    def _release(self) -> list[Effect]:
        """What need not wait any more."""
        return [self._forge(d) for d in self._drafts.waiting() if self.knowledge.enough(d.slot)]

    def _draft(self, send: Send) -> Draft:
        server = isinstance(send.message, Model)
        gradients = self._gradients if server else ()
        return Draft(send, send.to, gradients, None if server else self._params)

    def _forge(self, draft: Draft) -> Forge:
        draft.begun = True
        known, lie = self._known(draft.send), (self.attack.name, self.options)
        return Forge((draft.send,), *lie, known, draft.gradients, draft.params)

    def _known(self, send: Send) -> tuple[Vector, ...]:
        """Its own vector first; who mixes others' leaves it out, where it knows honest ones."""
        own = vector_of(send.message)
        if not self._conspires:
            return (own,)
        honest = self.knowledge.of_honest(slot_of(send))
        if self.attack.colludes and len(honest) > 1:
            return honest
        return (own, *self.knowledge.of_fellows(), *honest)

    def _remember(self, send: Send) -> None:
        """An old truth of the time before the lies began is good for a lie as well."""
        if self.attack.remembers:
            self.attack.words(send, self._memory, self.options)

    def _whisper(self, send: Send) -> list[Effect]:
        """What it honestly computed; with false examples nothing is."""
        match send.message:
            case Gradient(step, _) if self.attack.data and self.plot.window.covers(step):
                return []
            case Gradient(step, vector) if self.plot.fellows:
                return [Send(self.plot.fellows, Whisper(step, vector))]
        return []


def _same(said: list[Send], honest: Send) -> bool:
    """Whether just that is said: the same vector itself, since comparing two takes a while."""
    if len(said) != 1 or said[0].to != honest.to:
        return False
    message, truth = said[0].message, honest.message
    same = type(message) is type(truth) and message.step == truth.step
    return same and vector_of(message) is vector_of(truth)
