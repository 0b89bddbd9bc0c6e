"""A run once more: machines that hear what others heard, in the same order at each node.

There is no time and no network here. Each node has the list of what its machine was told; the next
of the list is told again as soon as it is there: a message once its sender has said it, an answer
once it was asked for. What was lost in the run is never asked for here.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    Contract,
    Done,
    Effect,
    Event,
    Forge,
    Machine,
    Message,
    Prepare,
    Received,
    Recompute,
    Save,
    Send,
    SetTimer,
    Started,
    TimerFired,
    Update,
    Vector,
    round_of,
)
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.parts import Answers, Carry, Checkpoint, Make
from byzsgd.simulation.watch import Watcher, Watchers

Told: TypeAlias = tuple[Any, ...]
"""("started", step), ("restarted", step), ("received", sender, message, step, round),
("computed", event, step) or ("timer", name, step)."""

ANSWERS = {Update: "Updated", Contract: "Contracted", Forge: "Forged", Recompute: "Recomputed"}


class Follow:
    """Follows `orders`, each node's list. To those who watch it is a world.

    Its time is the number of events so far.
    """

    def __init__(
        self,
        orders: Mapping[NodeId, Sequence[Told]],
        make: Make,
        answers: Answers,
        honest: Sequence[NodeId],
        watchers: Sequence[Watcher] = (),
        carry: Carry | None = None,
    ) -> None:
        self.now = 0.0
        self.events = 0
        self.honest = tuple(honest)
        self.machines: dict[NodeId, Machine] = {node: make(node, None) for node in orders}
        self.saved: dict[NodeId, Checkpoint] = {}
        self.done: dict[NodeId, Vector] = {}
        self.down: dict[NodeId, float] = {}
        self._orders = {node: deque(order) for node, order in orders.items()}
        self._make, self._answers, self._carry = make, answers, carry
        self._watchers = Watchers(watchers)
        self._said: dict[tuple[NodeId, Told], deque[Message]] = defaultdict(deque)
        self._asked: dict[tuple[NodeId, str, int], deque[tuple[int, Computation]]] = {}
        self._tickets = 0
        self._restarting = {
            n for n, order in orders.items() if any(t[0] == "restarted" for t in order)
        }
        self._kept: dict[tuple[NodeId, int], Checkpoint] = {}
        self._busy = deque(orders)

    def run(self) -> None:
        """Until everybody was told all there is, or nobody can be told more."""
        for watch in self._watchers.began:
            watch(self)
        while self._busy:
            self._go_on(self._busy.popleft())

    @property
    def stuck(self) -> dict[NodeId, Told]:
        """For each node that could not go on what it should have been told next."""
        return {node: order[0] for node, order in self._orders.items() if order}

    def _go_on(self, node: NodeId) -> None:
        """Tell a node all that is there to be told."""
        order = self._orders[node]
        while order and (event := self._event(node, order[0])):
            order.popleft()
            self.events += 1
            self.now = float(self.events)
            effects = self.machines[node].handle(event, self.now)
            for watch in self._watchers.handled:
                watch(self.now, node, event, effects)
            for effect in effects:
                self._perform(node, effect)

    def _event(self, node: NodeId, told: Told) -> Event | None:
        match told:
            case ("started", _):
                return Started()
            case ("restarted", step):
                return self._restart(node, step)
            case ("timer", name, step):
                return TimerFired(name, step)
            case ("received", sender, *_):
                return self._received(node, NodeId.parse(sender), told)
        return self._answered(node, told)

    def _received(self, node: NodeId, sender: NodeId, told: Told) -> Event | None:
        """What is said again is the same: where a copy was lost, the last one stands for it."""
        said = self._said.get((node, told))
        if not said:
            return None
        return Received(sender, said.popleft() if len(said) > 1 else said[0])

    def _answered(self, node: NodeId, told: Told) -> Event | None:
        _, kind, step = told
        asked = self._asked.get((node, kind, step))
        if not asked:
            return None
        ticket, effect = asked.popleft()
        outcome = self._answers.answer(ticket)
        for watch in self._watchers.answered:
            watch(self.now, node, effect, outcome)
        return outcome.event

    def _restart(self, node: NodeId, step: int) -> Event:
        """Another process went on from what it found; nobody answers the first one.

        That need not be the newest model that was asked to be saved: the process may have been
        killed before it was.
        """
        for key in [key for key in self._asked if key[0] == node]:
            for ticket, _ in self._asked.pop(key):
                self._answers.forget(ticket)
        for watch in self._watchers.crashed:
            watch(self.now, node)
        self.machines[node] = machine = self._make(node, self._kept.get((node, step)))
        for tell in self._watchers.restarted:
            tell(self.now, node, machine.step, getattr(machine, "params", None))
        return Started()

    def _perform(self, node: NodeId, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(node, effect)
            case Save(step, params, memory):
                self.saved[node] = Checkpoint(step, params, memory)
                if node in self._restarting:
                    self._kept[node, step] = self.saved[node]
            case Done(params):
                self.done[node] = params
            case SetTimer() | Prepare():
                pass
            case _:
                self._ask(node, effect)

    def _send(self, node: NodeId, send: Send) -> None:
        for receiver in send.to:
            carry = self._carry
            message = carry(node, receiver, send.message) if carry else send.message
            if message is not None:
                round_ = round_of(message)
                told = ("received", str(node), type(message).__name__, message.step, round_)
                self._said[receiver, told].append(message)
                self._busy.append(receiver)

    def _ask(self, node: NodeId, effect: Computation) -> None:
        self._tickets += 1
        self._answers.ask(self._tickets, node, effect)
        key = (node, ANSWERS.get(type(effect), "GradientComputed"), _step(effect))
        self._asked.setdefault(key, deque()).append((self._tickets, effect))


def _step(effect: Computation) -> int:
    return effect.sends[0].message.step if isinstance(effect, Forge) else effect.step
