"""The network's faults in front of real links: what is sent is lost, late or there twice.

Every vector to every receiver goes through the fault plan's `fate`, the same that decides in
simulated time. Where the plan has nothing against the network there is no such shim.
"""

import asyncio
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from byzsgd.cluster import NodeId
from byzsgd.faults.fates import Fate
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.transport import Transport


@dataclass(frozen=True, slots=True)
class Twin(Parcel):
    """The network's second copy. An outbox must not take it for what was said again."""

    @property
    def key(self) -> tuple[int, int, int]:
        return self.kind, self.step, -1 - self.round


class Held(NamedTuple):
    """Ordered by when it is due, then by when it was sent."""

    due_s: float
    number: int
    parcel: Parcel
    timer: asyncio.TimerHandle


class Chaos:
    """A transport in front of another. `clock` tells the seconds since training started.

    On each link what is due earlier goes earlier, and of equals what was sent earlier; whatever
    overtakes does so because `fate` said so. The vectors are not copied, and of each link at most
    `window` are held, and on one with a peer in `relays` so many more.
    """

    def __init__(
        self,
        me: NodeId,
        transport: Transport,
        fate: Fate,
        clock: Callable[[], float],
        window: int,
        loop: asyncio.AbstractEventLoop,
        relays: Mapping[NodeId, int] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._me = me
        self._transport = transport
        self._fate = fate
        self._clock = clock
        self._window = window
        self._relays = dict(relays or {})
        self._loop = loop
        self._numbers = count()
        self._held: dict[NodeId, list[Held]] = {}

    def send(self, to: Iterable[NodeId], parcel: Parcel) -> None:
        now_s = self._clock()
        prompt: list[NodeId] = []
        for peer in to:
            self._release(peer, now_s)
            delays_s = self._fate(now_s, self._me, peer)
            if delays_s == (0.0,):
                prompt.append(peer)
            else:
                self._deal(peer, parcel, now_s, delays_s)
        if prompt:
            self._transport.send(prompt, parcel)

    def grant(self, floor: int, kept: Callable[[NodeId], int]) -> None:
        self._transport.grant(floor, kept)

    def busy_s(self) -> float:
        return self._transport.busy_s()

    def held(self, peer: NodeId) -> int:
        return len(self._held.get(peer, ()))

    def close(self) -> None:
        """What is still held is lost."""
        for waiting in self._held.values():
            for held in waiting:
                held.timer.cancel()
        self._held.clear()
        self._transport.close()

    def _deal(
        self, peer: NodeId, parcel: Parcel, now_s: float, delays_s: tuple[float, ...]
    ) -> None:
        """Everything but a vector that arrives at once, and once."""
        self.counts["lost"] += not delays_s
        self.counts["twice"] += len(delays_s) > 1
        for index, delay_s in enumerate(delays_s):
            copy = parcel if index == 0 else _twin(parcel)
            if delay_s > 0:
                self._hold(peer, copy, now_s + delay_s, delay_s)
            else:
                self._transport.send((peer,), copy)

    def _hold(self, peer: NodeId, parcel: Parcel, due_s: float, delay_s: float) -> None:
        self.counts["late"] += 1
        timer = self._loop.call_later(delay_s, self._release, peer, due_s)
        waiting = self._held.setdefault(peer, [])
        insort(waiting, Held(due_s, next(self._numbers), parcel, timer))
        if len(waiting) > self._window + self._relays.get(peer, 0):
            self._drop(waiting)

    def _drop(self, waiting: list[Held]) -> None:
        """Give up the oldest, as a full outbox does, but for the one that is due next.

        Or a link with a delay of many steps would never deliver anything.
        """
        later = waiting[1:] or waiting
        oldest = min(later, key=lambda held: held.number)
        waiting.remove(oldest)
        oldest.timer.cancel()
        self.counts["overflow"] += 1

    def _release(self, peer: NodeId, until_s: float) -> None:
        """Send on what is due until then, in order, whichever of the timers was first."""
        waiting = self._held.get(peer)
        while waiting and waiting[0].due_s <= until_s:
            held = waiting.pop(0)
            held.timer.cancel()
            self._transport.send((peer,), held.parcel)


def _twin(parcel: Parcel) -> Twin:
    return Twin(parcel.kind, parcel.step, parcel.round, parcel.bodies, parcel.flaw)
