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
from typing import Final

from byzsgd.errors import WireError
from byzsgd.protocol import Message, Pull
from byzsgd.runtime.flawed import SPENDING, head_of
from byzsgd.runtime.outbox import Outbox
from byzsgd.runtime.parcel import Body, Parcel
from byzsgd.wire import KINDS, Assembly, Credit, Hello, Layout, Part, decode, encode

UNTOLD: Final = Credit(0, 0, 0)
"""Of no epoch: credit must not travel with what may be no word at all."""


class Flow:
    """Both directions of one link. `hears` are the kinds of message this end listens to.

    Of two liars one may pass on what others say: at both ends of such a link there is room for so
    many `relays` beside the window. Between the honest there are none.
    """

    def __init__(
        self, run: bytes, layout: Layout, hears: frozenset[int], window: int, relays: int = 0
    ) -> None:
        self.run = run
        self.hears = hears
        self.room = window + relays
        self.dropped: Counter[str] = Counter()
        self._receive = _Receive(layout, self.room)
        self._outbox = Outbox(window, relays, self.dropped)
        self._flawed: deque[Parcel] = deque(maxlen=window)
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
        """Queue what is to be said."""
        if parcel.flaw:
            self._flawed.append(parcel)
        else:
            self._outbox.put(parcel)

    def next(self) -> tuple[bytes, Body | None] | None:
        """The next frames to send, or None. What this returns counts as sent."""
        if self._hello_due:
            self._hello_due = False
            return encode(Hello(self.run, self._receive.tell(), self._asks)), None
        if part := self._next_flawed() or self._next_part():
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

    def _next_flawed(self) -> tuple[bytes, Body | None] | None:
        """A liar waits for no credit, only for a connection; nor does it break into a vector."""
        if self._allowed is None or self._outbox.under_way or not self._flawed:
            return None
        parcel = self._flawed.popleft()
        self._sent += parcel.flaw in SPENDING
        part = Part(parcel.kind, self._allowed.epoch, parcel.step, 0, 0, UNTOLD)
        return head_of(parcel.flaw, part), parcel.bodies[0] if parcel.bodies else None

    def _next_part(self) -> tuple[bytes, Body | None] | None:
        if self._allowed is None:
            return None
        following = self._outbox.next(self._allowed.floor, self._allowed.count - self._sent)
        if following is None:
            return None
        parcel, index = following
        self._sent += index == 0
        epoch, credit = self._allowed.epoch, self._receive.tell()
        head = Part(parcel.kind, epoch, parcel.step, parcel.round, index, credit)
        return encode(head), parcel.bodies[index] if parcel.bodies else None

    def _greeted(self, run: bytes, credit: Credit, asks: bool) -> None:
        if run != self.run:
            raise WireError("run", "the peer works on another experiment or roster")
        if asks:
            self.opened()
        self._allowed = credit
        self._outbox.start_over()
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
