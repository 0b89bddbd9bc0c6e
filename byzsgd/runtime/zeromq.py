"""The transport over ZeroMQ: for every peer one DEALER socket on a port of its own.

There is no ROUTER (its routing ids are the peer's to choose), no shared queue and no shared port,
so identity is the socket itself and a peer that floods or stops reading hurts its own link only.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import zmq

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.runtime.curve import AllowList, KeyPair
from byzsgd.runtime.flow import Flow
from byzsgd.runtime.link import Link
from byzsgd.runtime.links import Links
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.roster import Roster
from byzsgd.runtime.transport import Listener
from byzsgd.wire import Layout

CURVE_BYTES: Final = 33
"""What CURVE adds to a frame."""
HANDSHAKE_BYTES: Final = 512
"""A smaller limit would refuse the handshake itself."""
QUEUED_MESSAGES: Final = 8
"""Chunks between us and libzmq, each way and link: enough to keep a link busy, no more."""


class ZeroMQ(Links):
    """All links of the node `me`. `hears` tells for each peer the kinds it is listened to for.

    On a link with a peer in `relays` there is room for so many whispers beside the window.
    """

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
        _check_identity(me, key, roster)
        self.me = me
        self.roster = roster
        self.links: dict[NodeId, Link] = {}
        self._key = key
        self._limit = max(HANDSHAKE_BYTES, layout.frame_bytes_max + CURVE_BYTES)
        self._listener = listener
        self._flows = {
            peer: Flow(roster.run, layout, kinds, window, (relays or {}).get(peer, 0))
            for peer, kinds in sorted(hears.items())
        }
        self._later = [peer for peer in self._flows if peer > me]
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[Any] = zmq.Context(io_threads=1)
        self._allow: AllowList | None = None

    def listen(self) -> dict[NodeId, str]:
        """Open a port for every later node; returns where. Raises `ConfigError` for a taken one."""
        if self.roster.encryption == "curve":
            self._guard()
        return {peer: self._listen_for(peer) for peer in self._later}

    def connect(self, roster: Roster) -> None:
        """Connect to every earlier node, at the addresses of `roster`."""
        for peer in self._flows:
            if peer < self.me:
                endpoint = roster.endpoint(peer, self.me)
                socket = self._socket(endpoint)
                if roster.encryption == "curve":
                    self._as_client(socket, roster.entry(peer).public_key)
                self._open(peer, socket)
                socket.connect(endpoint)

    def send(self, to: Iterable[NodeId], parcel: Parcel) -> None:
        shared = replace(parcel, bodies=[zmq.Frame(body) for body in parcel.bodies])
        for peer in to:
            self.links[peer].put(shared)

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        if self._allow:
            self._loop.remove_reader(self._allow.socket.FD)
            self._allow.socket.close(0)
        self._context.destroy(0)

    def _guard(self) -> None:
        keys = {_domain(peer): self.roster.entry(peer).public_key for peer in self._later}
        self._allow = AllowList(self._context, keys)
        self._loop.add_reader(self._allow.socket.FD, self._allow.answer)

    def _listen_for(self, peer: NodeId) -> str:
        endpoint = self.roster.endpoint(self.me, peer)
        socket = self._socket(endpoint)
        if self.roster.encryption == "curve":
            self._as_server(socket, peer)
        self._open(peer, socket)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"{self.me} cannot listen on {endpoint} for {peer}: {error.strerror}; is another "
                f"run using it? Stop that one, or give {self.me} another address in the roster"
            ) from None
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _open(self, peer: NodeId, socket: "zmq.Socket[bytes]") -> None:
        """Watch a socket, before it can have a connection: none may stand without our knowing."""
        self.links[peer] = Link(self._loop, socket, peer, self._flows[peer], self._listener)

    def _socket(self, endpoint: str) -> "zmq.Socket[bytes]":
        """Every socket that faces a peer is made here; options count only before it is used."""
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.immediate = True
        socket.ipv6 = "[" in endpoint
        socket.sndhwm = socket.rcvhwm = QUEUED_MESSAGES
        socket.maxmsgsize = self._limit
        socket.handshake_ivl = 2000
        socket.connect_timeout = 1000
        socket.backlog = 64
        socket.reconnect_ivl = 50
        socket.reconnect_ivl_max = 2000
        socket.heartbeat_ivl = 500
        socket.heartbeat_timeout = 3000
        socket.heartbeat_ttl = 4000
        return socket

    def _as_server(self, socket: "zmq.Socket[bytes]", peer: NodeId) -> None:
        socket.curve_secretkey = self._key.secret.encode()
        socket.curve_publickey = self._key.public.encode()
        socket.curve_server = True
        socket.zap_domain = _domain(peer)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        assert socket.getsockopt(zmq.ZAP_ENFORCE_DOMAIN) == 1, "CURVE would let anybody in"

    def _as_client(self, socket: "zmq.Socket[bytes]", server_key: str) -> None:
        socket.curve_secretkey = self._key.secret.encode()
        socket.curve_publickey = self._key.public.encode()
        socket.curve_serverkey = server_key.encode()


def _domain(peer: NodeId) -> bytes:
    return f"from-{peer}".encode()


def _check_identity(me: NodeId, key: KeyPair, roster: Roster) -> None:
    if roster.entry(me).public_key != key.public:
        raise ConfigError(
            f"this key is not {me}'s: the roster has {roster.entry(me).public_key}, "
            f"the key file {key.public}"
        )
