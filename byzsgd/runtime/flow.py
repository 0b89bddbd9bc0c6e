"""One link without its socket: credit, a bounded outbox, assembly of what arrives.

A receiver posts credit ahead, so a vector never waits for a request and nobody sends what nobody
asked for: at most `window` vectors of a peer are under way or unread, whatever the peer does.
Credit grows only when the receiving node moves on, and travels with the vectors of the other
direction.

Each connection is an epoch. Whatever was under way when a connection broke is forgotten on both
sides, and vectors of an older epoch are refused. Credit is not: who connects again has no more.
"""

import secrets
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from byzsgd.errors import WireError
from byzsgd.protocol import Message, Pull
from byzsgd.wire import KINDS, Assembly, Credit, Hello, Layout, Part, decode, encode

Body: TypeAlias = Any
"""A chunk as the socket takes it. One body serves all receivers."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A vector ready to be sent, the same object to every receiver; or a pull, without bodies."""

    kind: int
    step: int
    round: int
    bodies: Sequence[Body]

    @property
    def key(self) -> tuple[int, int, int]:
        return self.kind, self.step, self.round


class Flow:
    """Both directions of one link. `hears` are the kinds of message this end listens to."""

    def __init__(self, run: bytes, layout: Layout, hears: frozenset[int], window: int) -> None:
        self.run = run
        self.hears = hears
        self.window = window
        self.dropped: Counter[str] = Counter()
        self._receive = _Receive(layout, window)
        self._outbox: deque[Parcel] = deque()
        self._pull: Parcel | None = None
        self._index = 0
        self._sent = 0
        self._allowed: Credit | None = None
        self._hello_due = False
        self._asks = False

    def opened(self, asks: bool = False) -> None:
        """A connection stands: greet, and start anew in both directions.

        Nothing that came over it may be heard before this, or the peer's greeting is forgotten.
        With `asks` it stood before, and the peer, who knows of nothing, is to start anew as well.
        """
        self._receive.restart()
        self._hello_due = True
        self._asks = asks
        self._allowed = None

    def closed(self) -> None:
        """No connection stands: whatever the peer allowed, it will allow anew."""
        self._allowed = None

    def put(self, parcel: Parcel) -> None:
        """Queue a vector. A full outbox loses its oldest: a peer so far behind cannot use it.

        What is said again while it still waits to be sent is not queued twice. A pull takes no
        room and is never stale: whoever is far ahead answers with what it has.
        """
        if any(parcel.key == waiting.key for waiting in self._outbox):
            return
        if not parcel.bodies:
            self._pull = parcel  # an older wish is of no use any more
            return
        self._outbox.append(parcel)
        begun = 1 if self._index else 0
        if len(self._outbox) > begun + self.window:
            del self._outbox[begun]
            self.dropped["overflow"] += 1

    def next(self) -> tuple[bytes, Body | None] | None:
        """The next frames to send, or None. What this returns counts as sent."""
        if self._hello_due:
            self._hello_due = False
            return encode(Hello(self.run, self._receive.tell(), self._asks)), None
        if part := self._next_part():
            return part
        if self.credit_due:
            return encode(self._receive.tell()), None
        return None

    def hear(self, head: bytes, body: memoryview | None) -> Message | None:
        """Take in what arrived; the message when its last chunk is there. Raises `WireError`."""
        match decode(head):
            case Hello(run, credit, asks):
                self._greeted(run, credit, asks)
            case Credit() as credit:
                self._credit(credit)
            case Part() as part:
                self._credit(part.credit)
                if part.kind not in self.hears:
                    raise WireError("kind", f"{part.kind} is not heard from this peer")
                if part.kind == KINDS[Pull]:
                    return self._receive.ask(part, body)
                if body is None:
                    raise WireError("frames", "a part without its chunk")
                return self._receive.feed(part, body)
        return None

    def grant(self, floor: int, kept: int) -> None:
        """The node has moved on to step `floor` and still holds `kept` vectors of this peer."""
        self._receive.grant(floor, kept)

    @property
    def credit_due(self) -> bool:
        """Whether the peer must be told of its credit without waiting for a vector of ours."""
        return self._receive.credit_due and self._allowed is not None

    def _next_part(self) -> tuple[bytes, Body | None] | None:
        if self._allowed is None:
            return None
        while self._outbox and not self._index and self._outbox[0].step < self._allowed.floor:
            self._outbox.popleft()
            self.dropped["stale"] += 1
        waiting = self._pull if self._pull and not self._index else next(iter(self._outbox), None)
        if not waiting or (not self._index and self._sent >= self._allowed.count):
            return None
        index = self._index
        self._sent += index == 0
        self._sent_one(waiting)
        epoch, credit = self._allowed.epoch, self._receive.tell()
        head = Part(waiting.kind, epoch, waiting.step, waiting.round, index, credit)
        return encode(head), waiting.bodies[index] if waiting.bodies else None

    def _sent_one(self, parcel: Parcel) -> None:
        """A pull goes as a whole, and a vector chunk by chunk."""
        if parcel is self._pull:
            self._pull = None
            return
        self._index += 1
        if self._index == len(parcel.bodies):
            self._outbox.popleft()
            self._index = 0

    def _greeted(self, run: bytes, credit: Credit, asks: bool) -> None:
        if run != self.run:
            raise WireError("run", "the peer works on another experiment or roster")
        if asks:
            self.opened()
        self._allowed = credit
        self._index = 0
        self._sent = 0

    def _credit(self, credit: Credit) -> None:
        have = self._allowed
        if have and have.epoch == credit.epoch:
            count, floor = max(have.count, credit.count), max(have.floor, credit.floor)
            self._allowed = Credit(have.epoch, count, floor)


class _Receive:
    """The receiving direction: what was granted, told, begun and delivered in this epoch."""

    def __init__(self, layout: Layout, window: int) -> None:
        self._assembly = Assembly(layout)
        self._window = window
        self._epoch = secrets.randbits(40)
        self._floor = 0
        self._held = 0
        self.restart()

    def restart(self) -> None:
        self._epoch += 1
        self._begun = self._delivered = self._told = 0
        self._granted = max(0, self._window - self._held)
        self._assembly.drop()

    def grant(self, floor: int, kept: int) -> None:
        self._floor, self._held = floor, kept
        self._granted = max(self._granted, self._delivered + self._window - kept)

    def tell(self) -> Credit:
        self._told = self._granted
        return Credit(self._epoch, self._granted, self._floor)

    @property
    def credit_due(self) -> bool:
        """Whether the peer is about to run dry and no vector of ours has told it more."""
        return self._granted > self._told and self._told - self._begun <= self._window // 2

    def feed(self, part: Part, body: memoryview) -> Message | None:
        self._admit(part)
        message = self._assembly.feed(part, body)
        if message is not None:
            self._delivered += 1
            self._held += 1
        return message

    def ask(self, part: Part, body: memoryview | None) -> Pull:
        """A pull takes credit like a vector, and no memory: it is not held."""
        if body is not None or part.index:
            raise WireError("frames", "a pull is one header and nothing else")
        self._admit(part)
        self._delivered += 1
        return Pull(part.step)

    def _admit(self, part: Part) -> None:
        if part.epoch != self._epoch:
            raise WireError("epoch", f"{part.epoch}, not {self._epoch}")
        if part.index == 0:
            if self._begun >= self._granted:
                raise WireError("credit", f"vector {self._begun + 1} of {self._granted}")
            self._begun += 1
