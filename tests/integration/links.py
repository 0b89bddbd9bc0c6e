"""Transports in one process, each with a context of its own, and listeners that write down."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
import zmq
import zmq.asyncio
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Model, Whisper, vector_of
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.roster import Encryption, Entry, Roster
from byzsgd.runtime.shared_memory import SharedMemory
from byzsgd.runtime.zeromq import ZeroMQ
from byzsgd.wire import (
    KINDS,
    Credit,
    Hello,
    Layout,
    Part,
    decode,
    encode,
    frames_of,
    stack,
)

SERVER = NodeId("server", 0)
WORKER = NodeId("worker", 0)
OTHER = NodeId("worker", 1)
EXPERIMENT = "4" * 64
WAIT_S = 10.0
"""What is waited for comes within milliseconds; this only ends a test that has failed."""


class Ear:
    """A listener that keeps what it is told and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[NodeId, Message]] = asyncio.Queue()
        self.refusals: Counter[tuple[NodeId, str]] = Counter()
        self.up: dict[NodeId, bool] = {}
        self.news: list[tuple[NodeId, bool]] = []
        self._changed = asyncio.Event()

    def received(self, sender: NodeId, message: Message) -> None:
        self.messages.put_nowait((sender, message))
        self._changed.set()

    def refused(self, sender: NodeId, error: WireError) -> None:
        self.refusals[sender, error.reason] += 1
        self._changed.set()

    def linked(self, peer: NodeId, up: bool) -> None:
        self.up[peer] = up
        self.news.append((peer, up))
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`, which is asked again whenever something was heard."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def message(self) -> tuple[NodeId, Message]:
        async with asyncio.timeout(WAIT_S):
            return await self.messages.get()

    async def refusal(self, sender: NodeId, reason: str, times: int = 1) -> None:
        await self.until(lambda: self.refusals[sender, reason] >= times)

    async def link(self, peer: NodeId, up: bool = True) -> None:
        await self.until(lambda: self.up.get(peer) is up)


class Net:
    """Some nodes of one run, linked; `with` opens them and closes what is open at the end.

    Those who are `absent` have keys, and the others expect them. With `relays` all are liars who
    whisper as well.
    """

    def __init__(
        self,
        layout: Layout,
        nodes: Iterable[NodeId] = (SERVER, WORKER),
        *,
        absent: Iterable[NodeId] = (),
        window: int = 4,
        relays: int = 0,
        encryption: Encryption = "curve",
        folder: Path | None = None,
        shared: bool = False,
    ) -> None:
        self.layout = layout
        self.window = window
        self.relays = relays
        self.keys = {node: KeyPair.generate() for node in sorted(nodes)}
        self.ears = {node: Ear() for node in self.keys}
        self.present = [node for node in self.keys if node not in absent]
        self.open: dict[NodeId, ZeroMQ | SharedMemory] = {}
        address = f"memory://{secrets.token_hex(8)}" if shared else f"ipc://{folder}/"
        entries = {
            node: Entry(f"{address}{node}" if shared or folder else "tcp://127.0.0.1:0", key.public)
            for node, key in self.keys.items()
        }
        self.roster = Roster(EXPERIMENT, entries, "none" if shared else encryption)

    def __enter__(self) -> Self:
        for node in self.present:
            self.listen(node)
        for node in self.present:
            self.connect(node)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for node in list(self.open):
            self.close(node)

    def listen(self, me: NodeId, roster: Roster | None = None) -> ZeroMQ | SharedMemory:
        """A node on its ports, which from then on everybody knows; `roster` is what it believes."""
        roster = roster or self.roster
        kinds = {node: self._hears(node) for node in self.keys if self._linked(node, me)}
        make = SharedMemory if roster.shares_memory else ZeroMQ
        room = dict.fromkeys(kinds, self.relays)
        ear = self.ears[me]
        node = make(me, self.keys[me], roster, kinds, self.layout, self.window, ear, room)
        self.open[me] = node
        chosen = {(me, peer): endpoint for peer, endpoint in node.listen().items()}
        self.roster = replace(self.roster, chosen={**self.roster.chosen, **chosen})
        return node

    def connect(self, me: NodeId, roster: Roster | None = None) -> None:
        self.open[me].connect(roster or self.roster)

    def close(self, node: NodeId) -> None:
        self.open.pop(node).close()

    def restart(self, node: NodeId) -> None:
        """Kill a node and start it anew, on the same ports and with the same key."""
        self.close(node)
        self.listen(node)
        self.connect(node)

    def send(self, sender: NodeId, to: Iterable[NodeId], step: int, vector: Tensor) -> None:
        kind = Model if sender.role == "server" else Gradient
        self.open[sender].send(to, parcel(step, vector, self.layout, kind))

    def grant(self, node: NodeId, floor: int) -> None:
        self.open[node].grant(floor, lambda _: 0)

    async def arrival(self, node: NodeId, step: int) -> Tensor:
        """The next vector that `node` hears, which is for `step`; then it moves on."""
        _, message = await self.ears[node].message()
        assert message.step == step
        self.grant(node, step + 1)
        return tensor(message, self.layout)

    async def linked(self) -> None:
        """Wait until every link stands."""
        for node, transport in self.open.items():
            for peer in transport.links:
                await self.ears[node].link(peer)

    @staticmethod
    def _linked(one: NodeId, other: NodeId) -> bool:
        return one != other and "server" in (one.role, other.role)

    def _hears(self, peer: NodeId) -> frozenset[int]:
        kind = KINDS[Model if peer.role == "server" else Gradient]
        return frozenset({kind, KINDS[Whisper]} if self.relays else {kind})


class Liar:
    """A worker with a true key that puts whatever it likes on its socket."""

    def __init__(self, net: Net, me: NodeId = WORKER, key: KeyPair | None = None) -> None:
        self.run = net.roster.run
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.immediate = True
        self._socket.rcvhwm = 2
        if net.roster.encryption == "curve":
            key = key or net.keys[me]
            self._socket.curve_secretkey = key.secret.encode()
            self._socket.curve_publickey = key.public.encode()
            self._socket.curve_serverkey = net.keys[SERVER].public.encode()
        self._socket.connect(net.roster.endpoint(SERVER, me))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._socket.close(0)
        self._context.destroy(0)

    async def say(self, *frames: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            await self._socket.send_multipart(frames)

    async def greet(self, credit: int = 4, asks: bool = False) -> Credit:
        """Say Hello and wait for the server's; the credit it gives."""
        await self.say(encode(Hello(self.run, Credit(1, credit, 0), asks)))
        heard = await self.hear()
        assert isinstance(heard, Hello)
        return heard.credit

    async def hear(self) -> Hello | Credit | Part:
        async with asyncio.timeout(WAIT_S):
            head, *_ = await self._socket.recv_multipart()
        return decode(head)

    async def gradient(self, epoch: int, step: int, frames: Iterable[bytes | memoryview]) -> None:
        for index, frame in enumerate(frames):
            part = Part(KINDS[Gradient], epoch, step, 0, index, Credit(1, 4, 0))
            await self.say(encode(part), bytes(frame))


def parcel(step: int, vector: Tensor, layout: Layout, kind: type = Model) -> Parcel:
    return Parcel(KINDS[kind], step, 0, frames_of(vector, layout))


def tensor(message: Message, layout: Layout) -> Tensor:
    return stack([vector_of(message)], torch.empty(1, layout.dimension))[0]


class Proxy:
    """Stands between two nodes and can lose a connection without a word to the listening one."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pair in self._writers:
            for writer in pair:
                writer.transport.abort()

    async def listen(self, endpoint: str) -> str:
        """Where to connect to instead of `endpoint`."""
        self._port = int(endpoint.rpartition(":")[2])
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def lose(self, both: bool = False) -> None:
        """The connecting node loses its connection, and to the other it just falls silent."""
        for task in self._tasks:
            task.cancel()
        for connecting, listening in self._writers:
            connecting.transport.abort()
            if both:
                listening.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append((writer, other_writer))
        for source, target in ((reader, other_writer), (other_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
        target.close()
