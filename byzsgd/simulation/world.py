"""Machines in virtual time: a heap of what will happen is the only thing that moves the clock.

Nothing in here knows what a vector is. Computations are somebody else's (`Answers`), delays and
crashes the fault plan's, and whoever wants to know what happens is a `Watcher`. Two worlds with
equal arguments have equal histories: what happens at one time happens in the order in which it was
decided.
"""

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from byzsgd.cluster import NodeId
from byzsgd.faults import Crash, Fates
from byzsgd.protocol import (
    Done,
    Effect,
    Event,
    Machine,
    Overheard,
    Prepare,
    Received,
    Save,
    Send,
    SetTimer,
    Started,
    TimerFired,
    Vector,
    vector_of,
)
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.cores import Cores
from byzsgd.simulation.parts import Answers, Carry, Checkpoint, Conditions, Make, Rest
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.watch import Watcher, Watchers


class _Fires:
    """A timer; of use only while it is the latest of its name."""

    __slots__ = ("event", "node")

    def __init__(self, node: NodeId, event: TimerFired) -> None:
        self.node, self.event = node, event


class _Due:
    """An answer is ready."""

    __slots__ = ("effect", "node", "ticket")

    def __init__(self, node: NodeId, ticket: int, effect: Computation) -> None:
        self.node, self.ticket, self.effect = node, ticket, effect


class _Tells:
    """Somebody is told of what an honest node just said to others."""

    __slots__ = ("event", "node")

    def __init__(self, node: NodeId, event: Overheard) -> None:
        self.node, self.event = node, event


class World:
    """Drives machines until every honest one that lives, or is to come back, is done.

    `machines`, `saved`, `done` and `down` may be looked at by anybody at any time. Those who are
    `tapped` into the network overhear every vector that an honest node of their side sends.
    """

    def __init__(
        self,
        nodes: Sequence[NodeId],
        make: Make,
        answers: Answers,
        conditions: Conditions | None = None,
        honest: Sequence[NodeId] | None = None,
        watchers: Sequence[Watcher] = (),
        carry: Carry | None = None,
        tapped: Sequence[NodeId] = (),
    ) -> None:
        self.now = 0.0
        self.events = 0
        self.honest = tuple(nodes if honest is None else honest)
        self.conditions = conditions or Conditions()
        self.machines: dict[NodeId, Machine] = {}
        self.saved: dict[NodeId, Checkpoint] = {}
        self.done: dict[NodeId, Vector] = {}
        self.down: dict[NodeId, float] = {}
        self._make = make
        self._answers = answers
        self._carry = carry
        self._watchers = Watchers(watchers)
        self._fate = Fates(self.conditions.faults, self.conditions.seed).fate
        self._agenda: list[tuple[float, int, Any]] = []
        self._entries = 0
        self._timers: dict[tuple[NodeId, str], _Fires] = {}
        self._tickets: dict[int, NodeId] = {}
        self._cores = Cores(self.conditions.cost.cores)
        self._stepped_at = 0.0
        self._awaited = dict.fromkeys(self.honest)
        self._nodes = tuple(nodes)
        self._taps = tuple(tapped)

    def run(self, until_s: float = math.inf, events: float = math.inf) -> Rest:
        """Go on until there is nothing to wait for, or a limit; it may be called again."""
        if not self.machines:
            self._begin()
        while self._awaited and self._agenda and not self._stalls(self._agenda[0][0]):
            if self._agenda[0][0] > until_s or self.events >= events:
                return Rest("stopped", self.now, self.events)
            self._turn()
        over = not self._awaited and any(node in self.done for node in self.honest)
        rest = Rest("done" if over else "stalled", self.now, self.events)
        for watch in self._watchers.ended:
            watch(self, rest)
        return rest

    def _begin(self) -> None:
        for node in self._nodes:
            self.machines[node] = self._make(node, None)
        for crash in self.conditions.faults.crashes:
            self._enter(crash.at_s, crash)
        for watch in self._watchers.began:
            watch(self)
        for node in self._nodes:
            self._handle(node, Started())

    def _turn(self) -> None:
        """The next thing that happens."""
        self.now, _, item = heappop(self._agenda)
        kind = type(item)
        if kind is Letter:
            self._deliver(item)
        elif kind is _Due:
            self._answer(item)
        elif kind is _Fires:
            self._fire(item)
        elif kind is _Tells:
            self._tell(item)
        elif kind is Crash:
            self._crash(item)
        else:
            self._restart(item)

    def _handle(self, node: NodeId, event: Event) -> None:
        """One event through a machine, and its effects out."""
        machine = self.machines[node]
        step = machine.step
        effects = machine.handle(event, self.now)
        self.events += 1
        if machine.step != step and node in self._awaited:
            self._stepped_at = self.now
        for watch in self._watchers.handled:
            watch(self.now, node, event, effects)
        for effect in effects:
            self._perform(node, effect)

    def _perform(self, node: NodeId, effect: Effect) -> None:
        match effect:
            case Prepare():
                pass  # only what is real has time to lose
            case Send():
                self._send(node, effect)
            case SetTimer(name, step, at):
                fires = _Fires(node, TimerFired(name, step))
                self._timers[node, name] = fires
                self._enter(at, fires)
            case Save(step, params, memory):
                self.saved[node] = Checkpoint(step, params, memory)
            case Done(params):
                self.done[node] = params
                self._awaited.pop(node, None)
                self._stepped_at = self.now
            case _:
                self._compute(node, effect)

    def _send(self, node: NodeId, send: Send) -> None:
        now, fate, carry = self.now, self._fate, self._carry
        takes_s = self.conditions.cost.at(node).send_s
        if vector_of(send.message) is None:
            takes_s = 0.0
        for receiver in send.to:
            if takes_s:
                now = self._cores.work((node, "sends"), self.now, takes_s)
            for delay in fate(now, node, receiver):
                message = carry(node, receiver, send.message) if carry else send.message
                if message is not None:
                    self._enter(now + delay, Letter(node, receiver, message, now))

        if self._taps and node in self.honest:
            self._overhear(node, send)

    def _overhear(self, node: NodeId, send: Send) -> None:
        """The omniscient know what honest nodes of their side say as soon as it is said."""
        if send.to and vector_of(send.message) is not None:
            for tap in self._taps:
                if tap.role == node.role:
                    self._enter(self.now, _Tells(tap, Overheard(node, send)))

    def _tell(self, tells: _Tells) -> None:
        if tells.node not in self.down:
            self._handle(tells.node, tells.event)

    def _deliver(self, letter: Letter) -> None:
        scheduler = self.conditions.scheduler
        if scheduler and self.now < self.conditions.peace_s and not letter.taken_in:
            longer_s = scheduler.postpone(letter, self)
            if longer_s > 0:
                letter.postponed += 1
                self._enter(self.now + longer_s, letter)
                return
        if letter.receiver not in self.down and not self._takes_in(letter):
            self._handle(letter.receiver, Received(letter.sender, letter.message))

    def _takes_in(self, letter: Letter) -> bool:
        """Whether the receiver is busy with this letter before its machine hears of it."""
        takes_s = self.conditions.cost.at(letter.receiver).receive_s
        if not takes_s or letter.taken_in or vector_of(letter.message) is None:
            return False
        letter.taken_in = True
        self._enter(self._cores.work((letter.receiver, "hears"), self.now, takes_s), letter)
        return True

    def _fire(self, timer: _Fires) -> None:
        if self._timers.get((timer.node, timer.event.name)) is timer:
            self._handle(timer.node, timer.event)

    def _compute(self, node: NodeId, effect: Computation) -> None:
        takes_s = self.conditions.cost.at(node).of(effect)
        rests_s = takes_s * (self.conditions.faults.stretch(self.now, node) - 1)
        due_s = self._cores.work((node, "computes"), self.now, takes_s, rests_s)
        ticket = self._entries
        self._tickets[ticket] = node
        self._answers.ask(ticket, node, effect)
        self._enter(due_s, _Due(node, ticket, effect))

    def _answer(self, due: _Due) -> None:
        if self._tickets.pop(due.ticket, None) is None:
            return  # whoever asked has crashed
        outcome = self._answers.answer(due.ticket)
        for watch in self._watchers.answered:
            watch(self.now, due.node, due.effect, outcome)
        self._handle(due.node, outcome.event)

    def _crash(self, crash: Crash) -> None:
        """All that a node had in memory is gone; what had left it is under way."""
        node = crash.node
        self._agenda = [entry for entry in self._agenda if not _unsent(entry[2], node, self.now)]
        heapify(self._agenda)
        self.down[node] = math.inf if crash.until_s is None else crash.until_s
        for timer in [key for key in self._timers if key[0] == node]:
            del self._timers[timer]
        for ticket in [ticket for ticket, asker in self._tickets.items() if asker == node]:
            del self._tickets[ticket]
            self._answers.forget(ticket)
        for watch in self._watchers.crashed:
            watch(self.now, node)
        if crash.until_s is None:
            self._awaited.pop(node, None)
        else:
            self._enter(crash.until_s, node)

    def _restart(self, node: NodeId) -> None:
        del self.down[node]
        self.done.pop(node, None)
        self._cores.forget((node, "computes"), self.now)
        if node in self.honest:
            self._awaited[node] = None
        self.machines[node] = machine = self._make(node, self.saved.get(node))
        params = getattr(machine, "params", None)
        for watch in self._watchers.restarted:
            watch(self.now, node, machine.step, params)
        self._handle(node, Started())

    def _stalls(self, at_s: float) -> bool:
        since_s = max(self._stepped_at, self.conditions.faults.ends_s)
        return at_s > since_s + self.conditions.stall_s and not self._tickets

    def _enter(self, at_s: float, item: object) -> None:
        self._entries += 1
        heappush(self._agenda, (at_s, self._entries, item))


def _unsent(item: object, sender: NodeId, now: float) -> bool:
    """Whether it is a letter that its sender had not handed to the network yet."""
    return type(item) is Letter and item.sender == sender and item.left_s > now
