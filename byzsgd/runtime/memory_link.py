"""One peer on the same host: moves words and vectors between a `Flow` and a `Connection`."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.runtime.flow import Flow
from byzsgd.runtime.memory_connection import PIECE_BYTES, Connection, Unsent
from byzsgd.runtime.memory_pool import Buffers
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.transport import Listener

TURNS: Final = 32
"""Words or pieces moved before the loop gets its turn: a flood from one peer starves no other."""
UNTOLD_MAX: Final = 1
"""Short vectors read that the peer is not told of before there is something else to say to it. Of
long ones it is told at once: memory that is written to again soon is still in its cache."""


class MemoryLink:
    """Who speaks here is whose connection it is. `ended` is called when there is none any more."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peer: NodeId,
        flow: Flow,
        buffers: Buffers,
        listener: Listener,
        ended: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.flow = flow
        self.moved: Counter[str] = Counter()
        self.busy_s = 0.0
        self._loop = loop
        self._buffers = buffers
        self._listener = listener
        self._ended = ended
        self._untold_max = UNTOLD_MAX if buffers.nbytes <= PIECE_BYTES else 0
        self._scheduled = False
        self._connection: Connection | None = None

    @property
    def up(self) -> bool:
        return self._connection is not None

    def put(self, parcel: Parcel) -> None:
        self.flow.put(parcel)
        self.wake()

    def grant(self, floor: int, kept: int) -> None:
        self.flow.grant(floor, kept)
        if self.flow.credit_due:
            self.wake()

    def wake(self) -> None:
        """Look for something to do soon, once however often this is called."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._serve_scheduled)

    def attach(self, connected: socket.socket) -> None:
        """A connection stands; an older one ends."""
        self.detach()
        lent_max = 2 * self.flow.room + UNTOLD_MAX + 1
        self._connection = Connection(connected, self._buffers, lent_max)
        self._loop.add_reader(connected.fileno(), self._serve)
        self.flow.opened()
        self._listener.linked(self.peer, True)
        self.wake()

    def detach(self) -> None:
        """The connection, if there is one, has ended."""
        if self._connection:
            self.close()
            self.flow.closed()
            self._listener.linked(self.peer, False)
            self._ended()

    def close(self) -> None:
        """End the connection and say nothing of it."""
        if self._connection:
            self._loop.remove_reader(self._connection.socket.fileno())
            self._loop.remove_writer(self._connection.socket.fileno())
            self._connection.close()
            self._connection = None

    def _serve_scheduled(self) -> None:
        self._scheduled = False
        self._serve()

    def _serve(self) -> None:
        began = time.perf_counter()
        try:
            if not self._move():
                self.wake()
        except OSError:
            self.detach()
        self.busy_s += time.perf_counter() - began

    def _move(self) -> bool:
        """Whether nothing is left to move."""
        for _ in range(TURNS):
            if not (self._connection and self._moved_something(self._connection)):
                return True
        return False

    def _moved_something(self, connection: "Connection") -> bool:
        try:
            received = self._receive(connection)
        except WireError as error:
            self._listener.refused(self.peer, error)
            received = True
        return self._send(connection) or received

    def _receive(self, connection: "Connection") -> bool:
        """One word, or a piece of the vector that it came with."""
        if connection.reading is None and not connection.hear():
            return False
        reading = connection.reading
        if reading is not None and not reading.done:
            reading.read()
            return True
        head, body = connection.heard()
        self.moved["received"] += len(head) + (len(body) if body is not None else 0)
        if head and (message := self.flow.hear(head, body)):
            self._listener.received(self.peer, message)
        return True

    def _send(self, connection: "Connection") -> bool:
        if connection.unsent is None:
            following = None if connection.lent_all else self.flow.next()
            if following is None and connection.untold <= self._untold_max:
                return False
            connection.unsent = Unsent(*following) if following else Unsent(b"", None)
        head, lease = connection.unsent
        if not connection.say(head, lease):
            self._loop.add_writer(connection.socket.fileno(), self._writable)
            return False
        self.moved["sent"] += len(head) + (self._buffers.nbytes if lease else 0)
        return True

    def _writable(self) -> None:
        if self._connection:
            self._loop.remove_writer(self._connection.socket.fileno())
            self._serve()
