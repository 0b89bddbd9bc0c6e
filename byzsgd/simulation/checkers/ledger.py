"""The truth about messages: what honest nodes said, and what reached them.

One for all checkers of a world, the first among its watchers. It keeps what nodes said by slot and
incarnation; of what was delivered only that it was, since of a liar anything may have come.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from typing import Any, Final, TypeAlias, TypeVar

from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    Effect,
    Event,
    Gradient,
    Message,
    Model,
    Pull,
    Received,
    Send,
    TimerFired,
    Vector,
    vector_of,
)
from byzsgd.simulation.checkers.law import Law
from byzsgd.simulation.checkers.values import Sight
from byzsgd.simulation.watch import Stage, Watcher

Asked = TypeVar("Asked", bound=Effect)
Slot: TypeAlias = tuple[int, int]
"""A step and a round. A scatter is the round after the last, which is what it is to a peer."""
GRADIENT: Final = -1
"""The round of a gradient."""
UNHEEDED: Final = -2
"""The round of what no honest node heeds."""
NOBODY: Final[Set[NodeId]] = frozenset()

BYTES_MAX: Final = 1 << 28
"""Above this the oldest steps are forgotten, and then not judged any more."""
STEPS_MIN: Final = 2
WORD_BYTES: Final = 400
"""About what a word takes beside its vector."""


class Seen:
    """What is known of an honest node's present incarnation.

    `stands` is the latest slot that it showed a model for; `heard` are senders by step and by the
    round as it was sent, from the step on where the node is. `overdue` is the latest step whose
    deadline it was told of.
    """

    __slots__ = ("heard", "incarnation", "overdue", "phase", "since_s", "stands", "step")

    def __init__(self, incarnation: int, step: int, now: float) -> None:
        self.incarnation = incarnation
        self.step = step
        self.phase = "starting"
        self.since_s = now
        self.stands: Slot = (-1, 0)
        self.overdue = -1
        self.heard: dict[int, defaultdict[int, set[NodeId]]] = {}


class Ledger(Watcher):
    """Watches, and tells those who `listen` of the effects that honest nodes ask for.

    Without `values` nobody may do work of a vector's size.
    """

    def __init__(self, law: Law, values: bool = True, bytes_max: int = BYTES_MAX) -> None:
        self.law = law
        self.values = values
        self.sight = Sight()
        self.honest: frozenset[NodeId] = frozenset()
        self.now = 0.0
        self._bytes_max = bytes_max
        self._judges: dict[object, list[Callable[[NodeId, Any], None]]] = {}
        self._seen: dict[NodeId, Seen] = {}
        self._words: dict[int, dict[tuple[NodeId, int], list[tuple[int, Vector]]]] = {}
        self._bytes: defaultdict[int, int] = defaultdict(int)
        self._floor = 0

    def listen(self, kind: type[Asked], judge: Callable[[NodeId, Asked], None]) -> None:
        """Call `judge` for every such effect of an honest node, before it is noted down."""
        self._judges.setdefault(kind, []).append(judge)

    def began(self, stage: Stage) -> None:
        self.machines = stage.machines
        self.honest = frozenset(stage.honest)
        assert self.honest.isdisjoint(self.law.liars), "the world takes a liar for honest"
        self._seen = {node: Seen(0, self.machines[node].step, 0.0) for node in stage.honest}

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        seen = self._seen.get(node)
        if seen is None:
            return  # liars are nobody's business
        self.now = now
        if type(event) is TimerFired and event.name == "deadline":
            seen.overdue = max(seen.overdue, event.step)
        elif type(event) is Received:
            message = event.message
            step = message.step
            if seen.step <= step <= self.law.plan.steps:
                heard = seen.heard.get(step)
                if heard is None:
                    heard = seen.heard[step] = defaultdict(set)
                heard[round_of(message)].add(event.sender)
        if effects:
            self._acted(now, node, seen, effects)

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        """All that it had in memory is gone."""
        if node in self._seen:
            self._seen[node] = Seen(self._seen[node].incarnation + 1, step, now)

    def of(self, node: NodeId) -> Seen:
        return self._seen[node]

    def heard(self, node: NodeId, step: int, round_: int) -> Set[NodeId]:
        """Of whom such a message was delivered to `node`, of this round as it was sent."""
        heard = self._seen[node].heard.get(step)
        return heard.get(round_, NOBODY) if heard else NOBODY

    def said(self, node: NodeId, slot: Slot) -> list[Vector] | None:
        """What an honest node said for a slot, one incarnation after the other; None: forgotten."""
        step, round_ = slot
        if step < self._floor:
            return None
        return [word for _, word in self._words.get(step, {}).get((node, round_), ())]

    def saying(self, node: NodeId, slot: Slot) -> list[Vector] | None:
        """The same, but of the present incarnation only: one vector, or none."""
        if slot[0] < self._floor:
            return None
        words = self._words.get(slot[0], {}).get((node, slot[1]), ())
        now = self._seen[node].incarnation
        return [word for incarnation, word in words if incarnation == now]

    def slots(self, send: Send) -> list[Slot]:
        """What a word is for: one slot, unless workers and servers are told at once.

        None of a pull, which says nothing.
        """
        message = send.message
        if type(message) is Pull:
            return []
        if type(message) is not Model:
            return [(message.step, round_of(message))]
        after = self.law.plan.gather_rounds
        roles = dict.fromkeys([node.role for node in send.to])
        return [(message.step, after if role == "worker" else message.round) for role in roles]

    def _acted(self, now: float, node: NodeId, seen: Seen, effects: Sequence[Effect]) -> None:
        for effect in effects:
            for judge in self._judges.get(type(effect), ()):
                judge(node, effect)
            if type(effect) is Send:
                self._note(node, seen, effect)
        machine = self.machines[node]
        if machine.step != seen.step or machine.phase != seen.phase:
            for old in range(seen.step, machine.step):
                seen.heard.pop(old, None)
            seen.step, seen.phase, seen.since_s = machine.step, machine.phase, now

    def _note(self, node: NodeId, seen: Seen, send: Send) -> None:
        message = send.message
        for slot in self.slots(send):
            if type(message) is Model:
                seen.stands = max(seen.stands, slot)
            if self.saying(node, slot) == []:
                self._remember(node, seen.incarnation, slot, vector_of(message))

    def _remember(self, node: NodeId, incarnation: int, slot: Slot, word: Vector) -> None:
        step, round_ = slot
        if step not in self._words:
            self._forget()
            self._words[step] = {}
        self._words[step].setdefault((node, round_), []).append((incarnation, word))
        self._bytes[step] += WORD_BYTES + getattr(word, "nbytes", 0)

    def _forget(self) -> None:
        """A long run of large vectors must not fill the memory with them."""
        while len(self._words) >= STEPS_MIN and sum(self._bytes.values()) > self._bytes_max:
            oldest = min(self._words)
            del self._words[oldest], self._bytes[oldest]
            self._floor = oldest + 1


def round_of(message: Message) -> int:
    """As it is sent: a scatter's is 0."""
    if type(message) is Model:
        return message.round if message.round >= 0 else UNHEEDED
    return GRADIENT if type(message) is Gradient else UNHEEDED
