"""What worlds of tests are made of: names, symbols for vectors, and liars.

A vector is a digest of all that went into it: two of them are equal exactly when their histories
are.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from typing import TypeAlias

from byzsgd.cluster import Cluster, NodeId
from byzsgd.protocol import (
    Change,
    ComputeGradient,
    Contract,
    Contracted,
    Effect,
    Event,
    Forge,
    Gradient,
    GradientComputed,
    Machine,
    Malformed,
    Message,
    Model,
    Pull,
    Recompute,
    Send,
    Update,
    Updated,
    Whisper,
)
from byzsgd.protocol.effects import Computation

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
        case ComputeGradient(step, params, last, last_params):
            change = None if last_params is None else a_change(node, step, params)
            return GradientComputed(step, symbol("gradient", node, step, params, last), change)
        case Forge() | Recompute():
            raise AssertionError("these worlds lie by wrappers, not by forging")


def a_change(*key: object) -> Change:
    """A coefficient like any other, and not far: the Lipschitz filter rejects some of them."""
    return Change(model=draw("model", *key), gradient=draw("gradient", *key), stride=1.0)


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
            case Pull() | Malformed():
                return message
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
