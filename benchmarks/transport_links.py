"""Nodes that send to one over this project's links, for `benchmarks.transport`."""

import asyncio
import multiprocessing
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Final

import torch
import uvloop

from benchmarks.processes import Part, fork, meet, part_of, timed
from benchmarks.transport_peers import WARM_UP, Measured
from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Pull
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.malloc import keep_freed_memory
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.roster import Encryption, Entry, Roster
from byzsgd.runtime.shared_memory import SharedMemory
from byzsgd.runtime.zeromq import ZeroMQ
from byzsgd.wire import KINDS, Layout, frames_of

WINDOW: Final = 4


class Way(StrEnum):
    """How nodes are linked."""

    TCP = "tcp"
    CURVE = "curve"
    MEMORY = "memory"


def links(way: Way, senders: int, nbytes: int, rounds: int) -> Measured:
    """Nodes that send to one over this project's links, up to a window of vectors at once.

    Of several senders each waits for all others after every vector, as for a barrier.
    """
    nodes = [NodeId("server", 0), *(NodeId("worker", index) for index in range(senders))]
    keys = {node: KeyPair.generate() for node in nodes}
    token = f"bench-{time.monotonic_ns()}"
    entries = {
        node: Entry(
            f"memory://{token}-{node}" if way is Way.MEMORY else "tcp://127.0.0.1:0", key.public
        )
        for node, key in keys.items()
    }
    encryption: Encryption = "curve" if way is Way.CURVE else "none"
    run = _Run(Roster("0" * 64, entries, encryption), keys, nbytes, WARM_UP + rounds)
    queue: multiprocessing.Queue[Roster] = fork.Queue()

    def receive(pipe: Connection) -> None:
        uvloop.run(_Receiver(run, nodes[0], nodes[1:], pipe).run(queue))

    def send(me: NodeId, pipe: Connection) -> None:
        uvloop.run(_Sender(run, me, nodes[0], pipe).run(queue))

    parts: list[Part] = [receive, *(part_of(send, node) for node in nodes[1:])]
    return Measured(senders * nbytes * rounds, *timed(parts))


@dataclass(frozen=True)
class _Run:
    """`count` vectors of each sender."""

    roster: Roster
    keys: dict[NodeId, KeyPair]
    nbytes: int
    count: int

    @property
    def layout(self) -> Layout:
        return Layout(self.nbytes // 4)


@dataclass
class _Peer:
    """Listens to its own links, and sends or answers until it has done its share."""

    run_: _Run
    me: NodeId
    pipe: Connection
    warm: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_done(self) -> None:
        await self.done.wait()
        meet(self.pipe)
        self.links.close()

    def open(self, roster: Roster, hears: dict[NodeId, frozenset[int]]) -> None:
        keep_freed_memory()
        torch.set_num_threads(1)
        make = SharedMemory if roster.shares_memory else ZeroMQ
        keys, layout = self.run_.keys, self.run_.layout
        self.links = make(self.me, keys[self.me], roster, hears, layout, WINDOW, self)

    def received(self, sender: NodeId, message: Message) -> None:
        raise NotImplementedError

    def refused(self, sender: NodeId, error: WireError) -> None:
        raise error

    def linked(self, peer: NodeId, up: bool) -> None:
        pass


class _Receiver(_Peer):
    def __init__(self, run: _Run, me: NodeId, senders: list[NodeId], pipe: Connection) -> None:
        super().__init__(run, me, pipe)
        self.senders = senders
        self.seen = 0

    async def run(self, queue: "multiprocessing.Queue[Roster]") -> None:
        hears = dict.fromkeys(self.senders, frozenset({KINDS[Gradient]}))
        self.open(self.run_.roster, hears)
        there = {(self.me, peer): at for peer, at in self.links.listen().items()}
        for _ in self.senders:
            queue.put(replace(self.run_.roster, chosen=there))
        await self.warm.wait()
        meet(self.pipe)
        await self.until_done()

    def received(self, sender: NodeId, message: Message) -> None:
        """Answer each vector of a single sender; of several, once all have come."""
        self.seen += 1
        number, missing = divmod(self.seen, len(self.senders))
        if missing:
            return
        self.links.grant(number, lambda _: 0)
        self.links.send(self.senders, Parcel(KINDS[Pull], number, 0, []))
        if number == WARM_UP:
            self.warm.set()
        if number == self.run_.count:
            self.done.set()


class _Sender(_Peer):
    def __init__(self, run: _Run, me: NodeId, to: NodeId, pipe: Connection) -> None:
        super().__init__(run, me, pipe)
        self.to = to
        self.sent = 0
        self.answered = 0

    async def run(self, queue: "multiprocessing.Queue[Roster]") -> None:
        roster = queue.get()
        self.open(roster, {self.to: frozenset({KINDS[Pull]})})
        self.links.connect(roster)
        self.vectors = [torch.full((self.run_.layout.dimension,), float(k)) for k in range(WINDOW)]
        self.ahead = 1 if len(roster.nodes) > 2 else WINDOW
        self.send_until(WARM_UP)
        await self.warm.wait()
        meet(self.pipe)
        self.send_until(self.run_.count)
        await self.until_done()

    def received(self, sender: NodeId, message: Message) -> None:
        self.answered += 1
        self.links.grant(self.answered, lambda _: 0)
        if self.answered == WARM_UP:
            self.warm.set()
        elif self.answered == self.run_.count:
            self.done.set()
        else:
            self.send_until(WARM_UP if self.answered < WARM_UP else self.run_.count)

    def send_until(self, end: int) -> None:
        while self.sent < min(end, self.answered + self.ahead):
            vector = self.vectors[self.sent % WINDOW]
            frames = frames_of(vector, self.run_.layout)
            self.links.send([self.to], Parcel(KINDS[Gradient], self.sent, 0, frames))
            self.sent += 1
