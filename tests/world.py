"""A small world for machines: virtual time, one seed, symbols for vectors.

Every delay and every loss is a function of the seed and of what is sent, so that two worlds with
one seed deliver equal messages at equal times, whoever sends them. A vector is a digest of all that
went into it: two of them are equal exactly when their histories are.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from typing import TypeAlias

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Done,
    Effect,
    Event,
    Forge,
    Gradient,
    GradientComputed,
    Machine,
    Message,
    Model,
    Prepare,
    Received,
    Save,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Update,
    Updated,
    Vector,
    Whisper,
    Worker,
)
from byzsgd.protocol.effects import Computation

Machines: TypeAlias = dict[NodeId, Machine]
Answer: TypeAlias = Callable[[NodeId, Computation], Event]

INITIAL = "θ0"


def servers(count: int) -> tuple[NodeId, ...]:
    return tuple(NodeId("server", index) for index in range(count))


def workers(count: int) -> tuple[NodeId, ...]:
    return tuple(NodeId("worker", index) for index in range(count))


def symbol(kind: str, *parts: object) -> str:
    text = "|".join(map(str, parts))
    return f"{kind}:{blake2b(text.encode(), digest_size=12).hexdigest()}"


def draw(*key: object) -> float:
    """A number in [0, 1) that depends on nothing but `key`."""
    text = "|".join(map(str, key))
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / 2**48


def symbolic(node: NodeId, effect: Computation) -> Event:
    match effect:
        case Update(step, params, gradients):
            return Updated(step, symbol("update", step, params, *chain(*gradients)))
        case Contract(step, models):
            return Contracted(step, symbol("median", *chain(*models)))
        case ComputeGradient(step, params, last):
            return GradientComputed(step, symbol("gradient", node, step, params, last))
        case Forge():
            raise AssertionError("these worlds lie by wrappers, not by forging")


def honest(cluster: Cluster, plan: Plan, params: Vector = INITIAL) -> Machines:
    return {node: machine(node, cluster, plan, params) for node in cluster.nodes}


def machine(node: NodeId, cluster: Cluster, plan: Plan, params: Vector = INITIAL) -> Machine:
    if node.role == "server":
        return Server(node, cluster, plan, params)
    return Worker(node, cluster, plan)


@dataclass(frozen=True)
class Network:
    """What becomes of messages; delays are exponential with mean `delay_s`.

    `slow` stretches all that reaches a node or that it computes. A `deaf` node loses what would
    reach it between two times; `lost` says of single messages whether they are.
    """

    delay_s: float = 0.01
    loss: float = 0.0
    duplication: float = 0.0
    slow: Mapping[NodeId, float] = field(default_factory=dict)
    deaf: Mapping[NodeId, tuple[float, float]] = field(default_factory=dict)
    lost: Callable[[NodeId, NodeId, Message], bool] = lambda sender, receiver, message: False

    def delay(self, receiver: NodeId, *key: object) -> float:
        stretch = self.slow.get(receiver, 1.0)
        return -self.delay_s * stretch * math.log(1 - draw("delay", receiver, *key))

    def arrivals(
        self, now: float, sender: NodeId, receiver: NodeId, message: Message, *key: object
    ) -> list[float]:
        if self.lost(sender, receiver, message):
            return []
        twice = self.duplication and draw("copies", sender, receiver, *key) < self.duplication
        copies = 2 if twice else 1
        times = [now + self.delay(receiver, sender, copy, *key) for copy in range(copies)]
        begin, end = self.deaf.get(receiver, (math.inf, math.inf))
        return [
            at
            for copy, at in enumerate(times)
            if not begin <= at < end
            and not (self.loss and draw("loss", sender, receiver, copy, *key) < self.loss)
        ]


class World:
    """Drives machines until all of `awaited` are done, or time is up."""

    def __init__(
        self,
        machines: Machines,
        seed: int,
        network: Network = Network(),
        answer: Answer = symbolic,
    ) -> None:
        self.machines = machines
        self.network = network
        self.seed = seed
        self.now = 0.0
        self.history: list[tuple[float, NodeId, Effect]] = []
        self.done: dict[NodeId, Vector] = {}
        self._answer = answer
        self._agenda: list[tuple[float, int, NodeId, Event]] = []
        self._entries = 0
        self._timers: dict[tuple[NodeId, str], TimerFired] = {}
        self._said: Counter[tuple[NodeId, NodeId, type, int, int]] = Counter()
        for node in machines:
            self._enter(self.network.delay(node, seed, "start"), node, Started())

    def run(self, until_s: float = 60.0) -> "World":
        awaited = {node for node, one in self.machines.items() if not isinstance(one, Liar)}
        while self._agenda and self._agenda[0][0] < until_s and not awaited <= self.done.keys():
            self._turn()
        return self

    def drain(self, until_s: float = 60.0) -> "World":
        """Run on after everybody is done: nothing may come of what is still under way."""
        while self._agenda and self._agenda[0][0] < until_s:
            self._turn()
        return self

    @property
    def unfinished(self) -> dict[NodeId, tuple[int, str]]:
        """The honest nodes that are not done, and where they wait."""
        return {
            node: (one.step, one.phase)
            for node, one in self.machines.items()
            if not isinstance(one, Liar) and node not in self.done
        }

    @property
    def said(self) -> list[tuple[float, NodeId, Send | Done]]:
        return [
            (at, n, effect) for at, n, effect in self.history if isinstance(effect, Send | Done)
        ]

    def _turn(self) -> None:
        self.now, _, node, event = heapq.heappop(self._agenda)
        if isinstance(event, TimerFired) and self._timers.get((node, event.name)) is not event:
            return  # a later timer took its place
        one = self.machines[node]
        before = one.step
        effects = one.handle(event, self.now)
        assert one.step >= before, f"{node} went back from {before} to {one.step}"
        if not isinstance(one, Liar):
            check(one, event)
        for effect in effects:
            if not isinstance(effect, Prepare):
                self.history.append((self.now, node, effect))
            self._perform(node, effect)

    def _perform(self, node: NodeId, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                for receiver in to:
                    self._deliver(node, receiver, message)
            case SetTimer(name, step, at):
                fires = TimerFired(name, step)
                self._timers[node, name] = fires
                self._enter(at, node, fires)
            case Done(params):
                self.done[node] = params
            case Save() | Prepare():
                pass  # nothing comes of it
            case _:
                answer = self._answer(node, effect)
                assert not isinstance(answer, Forge)
                key = (self.seed, type(effect).__name__, *self._times(node, node, effect))
                self._enter(self.now + self.network.delay(node, *key), node, answer)

    def _deliver(self, sender: NodeId, receiver: NodeId, message: Message) -> None:
        key = (self.seed, type(message).__name__, *self._times(sender, receiver, message))
        arrivals = self.network.arrivals(self.now, sender, receiver, message, *key)
        for at in arrivals:
            self._enter(at, receiver, Received(sender, message))

    def _times(
        self, sender: NodeId, receiver: NodeId, what: Message | Computation
    ) -> tuple[int, int, int]:
        """Names one of several things alike: its step, its round, and how many went before."""
        step = 0 if isinstance(what, Forge) else what.step
        round_ = what.round if isinstance(what, Model) else 0
        key = (sender, receiver, type(what), step, round_)
        self._said[key] += 1
        return step, round_, self._said[key]

    def _enter(self, at: float, node: NodeId, event: Event) -> None:
        self._entries += 1
        heapq.heappush(self._agenda, (at, self._entries, node, event))


def check(one: Machine, event: Event) -> None:
    """What holds of every honest machine after every event."""
    if isinstance(one, Server | Worker):
        assert one.step <= one.plan.steps
        if isinstance(event, Received):
            assert one.kept(event.sender) <= one.plan.window
        for quorum in (one.models, one.gradients) if isinstance(one, Server) else (one.models,):
            assert all(quorum._held.values()), "a slot that nobody is in is no slot"


def check_quorums(world: World, cluster: Cluster) -> None:
    """Each input of an honest node: right many, distinct, in sender order, own model once."""
    for _, node, effect in world.history:
        if isinstance(world.machines[node], Liar):
            continue
        match effect:
            case Update(_, _, gradients):
                senders = [sender for sender, _ in gradients]
                assert len(senders) == cluster.q_workers
                assert set(senders) <= set(cluster.worker_ids)
            case Contract(_, models):
                senders = [sender for sender, _ in models]
                rejoins = node.role == "server" and node not in senders
                least = cluster.rejoin_quorum if rejoins else cluster.q_servers
                assert least <= len(senders) <= cluster.q_servers
                assert set(senders) <= set(cluster.server_ids)
            case _:
                continue
        assert senders == sorted(set(senders))


def check_repeats(world: World, plan: Plan) -> int:
    """G6: what an honest node says of one kind, step and round to one side is one and the same.

    It is said again only when patience has run out, and only with `catch_up`; so is what nobody
    needs but those who are behind. Returns how often.
    """
    said: dict[object, Message] = {}
    patience: dict[NodeId, float] = {}
    repeats = 0
    for now, node, effect in world.history:
        match effect:
            case Send(to, message) if not isinstance(world.machines[node], Liar):
                round_ = message.round if isinstance(message, Model) else 0
                key = (node, to[0].role, type(message), message.step, round_)
                if key in said or _for_those_behind(to, message, plan):
                    assert plan.catch_up
                    assert now >= patience[node]
                    repeats += 1
                assert said.setdefault(key, message) == message
            case SetTimer("patience", _, at):
                patience[node] = at
    return repeats


def _for_those_behind(to: tuple[NodeId, ...], message: Message, plan: Plan) -> bool:
    """A server's model after the last round to its peers, and its result to the workers."""
    if not isinstance(message, Model):
        return False
    result = to[0].role == "worker" and message.step == plan.steps
    return result or message.round == plan.gather_rounds


class Liar:
    """Follows the protocol inside and says something else."""

    def __init__(self, inner: Machine, node: NodeId) -> None:
        self.inner = inner
        self.node = node

    @property
    def step(self) -> int:
        return self.inner.step

    @property
    def phase(self) -> str:
        return self.inner.phase

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.inner.refused

    def kept(self, sender: NodeId) -> int:
        return self.inner.kept(sender)

    def handle(self, event: Event, now: float) -> list[Effect]:
        said: list[Effect] = []
        for effect in self.inner.handle(event, now):
            said += self.lies(effect, now) if isinstance(effect, Send) else [effect]
        return said

    def lies(self, send: Send, now: float) -> list[Send]:
        return []


class Mute(Liar):
    """Says nothing."""


class Turncoat(Liar):
    """Helps, and then says nothing for ever."""

    until_s = 0.05

    def lies(self, send: Send, now: float) -> list[Send]:
        return [send] if now < self.until_s else []


class Fickle(Liar):
    """Helps each receiver for another while, and so leaves some behind that others need."""

    def lies(self, send: Send, now: float) -> list[Send]:
        to = tuple(node for node in send.to if now < 0.4 * draw("fickle", self.node, node))
        return [Send(to, send.message)] if to else []


class Equivocator(Liar):
    """Tells each receiver something else."""

    def lies(self, send: Send, now: float) -> list[Send]:
        return [Send((to,), self._lie(to, send.message)) for to in send.to]

    def _lie(self, to: NodeId, message: Message) -> Message:
        step = message.step
        lie = symbol("lie", self.node, to, step)
        match message:
            case Model():
                return replace(message, params=lie)
            case Gradient() | Whisper():
                return replace(message, vector=lie)


class Babbler(Equivocator):
    """Lies, and fills every buffer it can: all kinds, at past and future steps, twice each."""

    AHEAD = (-1, 1, 2, 3, 5, 6, 10**9)

    def lies(self, send: Send, now: float) -> list[Send]:
        noise: list[Send] = []
        for step in (send.message.step + ahead for ahead in self.AHEAD):
            noise += [Send(send.to, Model(step, "noise")), Send(send.to, Gradient(step, "noise"))]
        return [*super().lies(send, now), *noise, Send(send.to, Whisper(0, "psst"))]


LIARS: tuple[type[Liar], ...] = (Mute, Turncoat, Equivocator, Babbler)


def with_liars(machines: Machines, liars: Mapping[NodeId, type[Liar]]) -> Machines:
    return {
        node: liars[node](one, node) if node in liars else one for node, one in machines.items()
    }


def random_liars(
    cluster: Cluster, seed: int, kinds: tuple[type[Liar], ...] = LIARS
) -> dict[NodeId, type[Liar]]:
    """At most the declared number on each side, each of some kind."""
    chosen: dict[NodeId, type[Liar]] = {}
    for side, f in (
        (cluster.server_ids, cluster.f_servers),
        (cluster.worker_ids, cluster.f_workers),
    ):
        count = int(draw(seed, "liars", side) * (f + 1))
        shuffled = sorted(side, key=lambda node: draw(seed, "liar", node))
        for node in shuffled[:count]:
            chosen[node] = kinds[int(draw(seed, "kind", node) * len(kinds))]
    return chosen
