"""One socket, one peer: moves frames between a `Flow` and ZeroMQ on the event loop.

The loop watches the socket's file descriptor, which says only "look again"; what there is to do
stands in EVENTS and must be asked after every send and receive.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.runtime.flow import Flow
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.sockets import MORE, NOBLOCK, READABLE, WRITABLE, pending
from byzsgd.runtime.transport import Listener

TURNS: Final = 32
"""Messages moved before the loop gets its turn: a flood from one peer starves no other."""
REAPED_S: Final = 5.0
"""After this time heartbeats have found every connection that died without a word."""
WATCHED: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)
REFUSALS: Final[dict[int, str]] = {
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "handshake",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "handshake",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "key",
}


class Link:
    """The identity of whoever speaks here is the link itself: `peer`, whose key was proven."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: "zmq.Socket[bytes]",
        peer: NodeId,
        flow: Flow,
        listener: Listener,
    ) -> None:
        self.peer = peer
        self.flow = flow
        self.moved: Counter[str] = Counter()
        self.busy_s = 0.0
        self._loop = loop
        self._socket = socket
        self._listener = listener
        self._scheduled = False
        self._up = False
        self._standing: set[int] = set()
        self._doubtful_until = -math.inf
        self._unsent: tuple[bytes, zmq.Frame | None] | None = None
        self._monitor = socket.get_monitor_socket(WATCHED)
        self._watch: list[tuple[int, Callable[[], None]]] = [
            (self._socket.FD, self._serve),
            (self._monitor.FD, self._observe),
        ]
        for descriptor, callback in self._watch:
            loop.add_reader(descriptor, callback)
        loop.call_soon(self._observe)

    def put(self, parcel: Parcel) -> None:
        self.flow.put(parcel)
        self.wake()

    def grant(self, floor: int, kept: int) -> None:
        self.flow.grant(floor, kept)
        if self.flow.credit_due:
            self.wake()

    def wake(self) -> None:
        """Look at the socket soon, once however often this is called."""
        if not self._scheduled and not self._socket.closed:
            self._scheduled = True
            self._loop.call_soon(self._serve_scheduled)

    def close(self) -> None:
        for descriptor, _ in self._watch:
            self._loop.remove_reader(descriptor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def _serve_scheduled(self) -> None:
        self._scheduled = False
        if not self._socket.closed:
            self._serve()

    def _serve(self) -> None:
        """Move what can be moved. ZeroMQ tells of a connection before it hands over what came on
        it, and here that order is kept: a peer's first word belongs to the connection just opened.
        """
        began = time.perf_counter()
        if not self._move():
            self.wake()
        self.busy_s += time.perf_counter() - began

    def _move(self) -> bool:
        """Whether nothing is left to move."""
        for _ in range(TURNS):
            events = pending(self._socket)
            self._observe()
            received = bool(events & READABLE) and self._receive()
            sent = bool(events & WRITABLE) and self._send()
            if not received and not sent:
                return True
        return False

    def _send(self) -> bool:
        if self._unsent is None:
            following = self.flow.next()
            if following is None:
                return False
            self._unsent = following
        head, body = self._unsent
        try:
            self._socket.send(head, NOBLOCK if body is None else MORE)
        except zmq.Again:
            return False
        if body is not None:
            self._socket.send(body, copy=False)  # never waits: the message is accepted as a whole
            self.moved["sent"] += len(body)
        self.moved["sent"] += len(head)
        self._unsent = None
        return True

    def _receive(self) -> bool:
        try:
            frame = self._socket.recv(NOBLOCK, copy=False)
        except zmq.Again:
            return False
        body = self._socket.recv(copy=False) if frame.more else None
        surplus = body is not None and body.more  # an empty frame is false in itself
        while surplus and self._socket.getsockopt(zmq.RCVMORE):
            self._socket.recv()
        self.moved["received"] += len(frame) + (len(body) if body is not None else 0)
        try:
            if surplus:
                raise WireError("frames", "more than two in one message")
            message = self.flow.hear(frame.bytes, None if body is None else body.buffer)
        except WireError as error:
            self._listener.refused(self.peer, error)
        else:
            if message is not None:
                self._listener.received(self.peer, message)
        return True

    def _observe(self) -> None:
        """Follow what becomes of the connection."""
        if self._monitor.closed:
            return
        while pending(self._monitor) & READABLE:
            news = parse_monitor_message(self._monitor.recv_multipart())
            self._happened(int(news["event"]), int(news["value"]))

    def _happened(self, event: int, value: int) -> None:
        if event in (zmq.EVENT_ACCEPTED, zmq.EVENT_CONNECTED):
            self._standing.add(value)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._opened()
        elif event == zmq.EVENT_DISCONNECTED:
            self._standing.discard(value)
            self._closed()
        elif reason := REFUSALS.get(event):
            self._listener.refused(self.peer, WireError(reason, "the connection was refused"))

    def _opened(self) -> None:
        if len(self._standing) > 1:
            self._doubtful_until = self._loop.time() + REAPED_S
        self._start_anew(asks=False)
        self._up = True
        self._listener.linked(self.peer, True)

    def _closed(self) -> None:
        """One ended: the last one, an older one that had died without a word, or a stranger's.

        While there were two, ZeroMQ dealt what we said to both in turn: what is left starts anew.
        """
        if self._standing and self._loop.time() < self._doubtful_until:
            self._start_anew(asks=True)
        elif self._up and not self._standing:
            self._up = False
            self.flow.closed()
            self._listener.linked(self.peer, False)

    def _start_anew(self, asks: bool) -> None:
        self._unsent = None
        self.flow.opened(asks)
        self.wake()
