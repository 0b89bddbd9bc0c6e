"""The specification's two algorithms (§2), written once more and plainly, to compare with.

Nothing here is shared with the machines but the names of messages and effects: no quorums, no
window, no catch-up. A generator yields what it says or wants computed, and a bare `yield` waits for
more mail. `Reference` lets the world drive a generator as though it were a machine.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any, TypeAlias

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Done,
    Effect,
    Event,
    Gradient,
    GradientComputed,
    Model,
    Received,
    Send,
    Started,
    Update,
    Updated,
)

Mail: TypeAlias = list[tuple[NodeId, Any]]
Role: TypeAlias = Generator[Effect | None, Any, None]
First: TypeAlias = Generator[None, Any, dict[NodeId, Any]]


def server(me: NodeId, cluster: Cluster, plan: Plan, theta: Any, mail: Mail) -> Role:
    others = tuple(node for node in cluster.server_ids if node != me)
    for t in range(plan.steps):
        yield Send(cluster.worker_ids, Model(t, theta))
        gradients = yield from first(cluster.q_workers, gradients_of(t, mail))
        theta = yield Update(t, theta, tuple(sorted(gradients.items())))
        if (t + 1) % plan.gather_every == 0 and others:  # alone, the median is one's own model
            yield Send(others, Model(t + 1, theta))
            models = yield from first(cluster.q_servers - 1, models_of(t + 1, mail, others))
            theta = yield Contract(t + 1, tuple(sorted({**models, me: theta}.items())))
    yield Done(theta)


def worker(cluster: Cluster, plan: Plan, mail: Mail) -> Role:
    g = None
    for t in range(plan.steps):
        models = yield from first(cluster.q_servers, models_of(t, mail, cluster.server_ids))
        x = yield Contract(t, tuple(sorted(models.items())))
        g = yield ComputeGradient(t, x, g)
        yield Send(cluster.server_ids, Gradient(t, g))
    yield Done(None)


def first(q: int, arrivals: Iterator[tuple[NodeId, Any] | None]) -> First:
    """What the first `q` distinct senders said first."""
    heard: dict[NodeId, Any] = {}
    while len(heard) < q:
        arrival = next(arrivals)
        if arrival is None:
            yield
        else:
            heard.setdefault(*arrival)
    return heard


def gradients_of(t: int, mail: Mail) -> Iterator[tuple[NodeId, Any] | None]:
    for letter in every(mail):
        match letter:
            case None:
                yield None
            case (NodeId("worker") as sender, Gradient(step, vector)) if step == t:
                yield sender, vector


def models_of(
    t: int, mail: Mail, senders: tuple[NodeId, ...]
) -> Iterator[tuple[NodeId, Any] | None]:
    for letter in every(mail):
        match letter:
            case None:
                yield None
            case (sender, Model(step, params, 0)) if step == t and sender in senders:
                yield sender, params


def every(mail: Mail) -> Iterator[tuple[NodeId, Any] | None]:
    """All mail since the beginning, in order of arrival; `None` when there is no more for now."""
    read = 0
    while True:
        if read == len(mail):
            yield None
        else:
            read += 1
            yield mail[read - 1]


class Reference:
    """A generator behind the machines' border."""

    step = 0
    phase = "reference"

    def __init__(self, me: NodeId, cluster: Cluster, plan: Plan, theta: Any) -> None:
        self.refused: Counter[tuple[NodeId, str]] = Counter()
        self._mail: Mail = []
        self._waits = False
        self._role = (
            server(me, cluster, plan, theta, self._mail)
            if me.role == "server"
            else worker(cluster, plan, self._mail)
        )

    def kept(self, sender: NodeId) -> int:
        return 0

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Received(sender, message):
                self._mail.append((sender, message))
                return self._go_on(None) if self._waits else []
            case Updated(_, result) | Contracted(_, result) | GradientComputed(_, result):
                return self._go_on(result)
            case Started():
                return self._go_on(None)
            case _:
                raise AssertionError(f"the reference knows no {event}")

    def _go_on(self, result: Any) -> list[Effect]:
        """Until the generator waits for mail or for a computation, or is over."""
        effects: list[Effect] = []
        while True:
            try:
                effect = self._role.send(result)
            except StopIteration:
                self._waits = False
                return effects
            self._waits = effect is None
            if effect is None:
                return effects
            effects.append(effect)
            if not isinstance(effect, Send | Done):
                return effects
            result = None
