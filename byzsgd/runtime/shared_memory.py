"""The transport between processes of one user on one Linux host: no byte of a vector is sent.

There is no key: who may connect is whom the system says has this process's user. Of two linked
nodes the earlier one listens, on a socket kept for the other, as everywhere; the socket has a name
in the abstract namespace, which leaves nothing behind in any folder.
"""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError, WireError
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.flow import Flow
from byzsgd.runtime.links import Links
from byzsgd.runtime.memory_connection import PIECE_BYTES
from byzsgd.runtime.memory_link import MemoryLink
from byzsgd.runtime.memory_pool import Buffers, Lease, Pool, misfit
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.roster import Roster
from byzsgd.runtime.transport import Listener
from byzsgd.wire import Layout

RETRY_S: Final = 0.05
CREDENTIALS: Final = struct.Struct("3i")


class SharedMemory(Links):
    """All links of the node `me`, as `ZeroMQ` has them; `key` proves nothing here."""

    def __init__(
        self,
        me: NodeId,
        key: KeyPair,
        roster: Roster,
        hears: Mapping[NodeId, frozenset[int]],
        layout: Layout,
        window: int,
        listener: Listener,
        relays: Mapping[NodeId, int] | None = None,
    ) -> None:
        _check_system()
        self.me = me
        self.roster = roster
        self._loop = asyncio.get_running_loop()
        self.pool = Pool(layout.nbytes)
        buffers = Buffers(layout.nbytes)
        whole = replace(layout, chunk_bytes=layout.nbytes)
        self.links: dict[NodeId, MemoryLink] = {
            peer: MemoryLink(
                self._loop,
                peer,
                Flow(roster.run, whole, kinds, window, (relays or {}).get(peer, 0)),
                buffers,
                listener,
                self._dial_soon,
            )
            for peer, kinds in sorted(hears.items())
        }
        self._listener = listener
        self._doors: dict[NodeId, socket.socket] = {}
        self._dialling: asyncio.TimerHandle | None = None
        self._called: dict[NodeId, str] = {}
        self._last: tuple[Sequence[memoryview], Future[Lease]] | None = None
        self._writer = ThreadPoolExecutor(1, "memory")
        self._closed = False

    def listen(self) -> dict[NodeId, str]:
        """Open a socket for every later node; returns where. Raises `ConfigError` if taken."""
        later = [peer for peer in self.links if peer > self.me]
        return {peer: self._listen_for(peer) for peer in later}

    def connect(self, roster: Roster) -> None:
        """Connect to every earlier node, at the addresses of `roster`, now and whenever needed."""
        self._called = {p: roster.endpoint(p, self.me) for p in self.links if p < self.me}
        self._dial()

    def send(self, to: Iterable[NodeId], parcel: Parcel) -> None:
        """Tell receivers of a vector once it is where they can read it."""
        receivers = tuple(to)
        if not parcel.bodies:
            self._put(receivers, parcel)
            return
        if parcel.flaw and (size := sum(map(len, parcel.bodies))) != self.pool.nbytes:
            self._put(receivers, replace(parcel, bodies=[misfit(size)]))
            return
        writing = self._written(parcel.bodies)
        if writing.done():
            self._put(receivers, replace(parcel, bodies=[writing.result()]))
            return

        def landed(done: Future[Lease]) -> None:  # `writing` itself would be a cycle
            if not self._closed:
                self._loop.call_soon_threadsafe(self._landed, receivers, parcel, done)

        writing.add_done_callback(landed)

    def close(self) -> None:
        self._closed = True
        self._writer.shutdown(wait=True, cancel_futures=True)
        if self._dialling:
            self._dialling.cancel()
        for door in self._doors.values():
            self._loop.remove_reader(door.fileno())
            door.close()
        for link in self.links.values():
            link.close()
        self.pool.close()

    def _written(self, frames: Sequence[memoryview]) -> "Future[Lease]":
        """A long vector is written on a thread of its own, and the last one not twice."""
        if self._last is None or self._last[0] is not frames:
            writing: Future[Lease] = Future()
            if self.pool.nbytes <= PIECE_BYTES:
                writing.set_result(self.pool.write(frames))
            else:
                writing = self._writer.submit(self.pool.write, frames)
            self._last = frames, writing
        return self._last[1]

    def _landed(
        self, receivers: tuple[NodeId, ...], parcel: Parcel, writing: "Future[Lease]"
    ) -> None:
        if not self._closed:
            self._put(receivers, replace(parcel, bodies=[writing.result()]))

    def _put(self, receivers: tuple[NodeId, ...], parcel: Parcel) -> None:
        for peer in receivers:
            self.links[peer].put(parcel)

    def _listen_for(self, peer: NodeId) -> str:
        endpoint = self.roster.endpoint(self.me, peer)
        door = _socket()
        try:
            door.bind(_name(endpoint))
        except OSError as error:
            door.close()
            raise ConfigError(
                f"{self.me} cannot listen on {endpoint} for {peer}: {error.strerror}; is another "
                f"run using it? Stop that one, or give {self.me} another address in the roster"
            ) from None
        door.listen()
        self._doors[peer] = door
        self._loop.add_reader(door.fileno(), self._accept, peer)
        return endpoint

    def _accept(self, peer: NodeId) -> None:
        try:
            connected, _ = self._doors[peer].accept()
        except BlockingIOError:
            return
        self._attach(peer, connected)

    def _dial_soon(self) -> None:
        if self._called and self._dialling is None and not self._closed:
            self._dialling = self._loop.call_later(RETRY_S, self._dial)

    def _dial(self) -> None:
        self._dialling = None
        for peer, endpoint in self._called.items():
            if not self.links[peer].up:
                connected = _socket()
                if connected.connect_ex(_name(endpoint)):
                    connected.close()
                    self._dial_soon()
                else:
                    self._attach(peer, connected)

    def _attach(self, peer: NodeId, connected: socket.socket) -> None:
        """Hear nobody but a process of this user."""
        connected.setblocking(False)
        there = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        _, user, _ = CREDENTIALS.unpack(there)
        if user == os.getuid():
            self.links[peer].attach(connected)
        else:
            connected.close()
            error = WireError("user", f"user {user} connected, not {os.getuid()}")
            self._listener.refused(peer, error)


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.setblocking(False)
    return made


def _name(endpoint: str) -> str:
    return "\0byzsgd-" + endpoint.removeprefix("memory://")


def _check_system() -> None:
    if not sys.platform.startswith("linux"):
        raise ConfigError(
            f"memory:// addresses are for Linux, not for {sys.platform}: write tcp://127.0.0.1:PORT"
        )
