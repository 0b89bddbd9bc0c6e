"""Transports in one process, each with a context of its own, and listeners that write down."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Model
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.flow import Parcel
from byzsgd.runtime.roster import Entry, Roster
from byzsgd.runtime.zeromq import ZeroMQ
from byzsgd.wire import KINDS, Layout, frames_of, stack, vector_of

SERVER = NodeId("server", 0)
WORKER = NodeId("worker", 0)
HEARS = {
    SERVER: {WORKER: frozenset({KINDS[Gradient]})},
    WORKER: {SERVER: frozenset({KINDS[Model]})},
}


class Ear:
    """A listener that keeps what it is told and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[NodeId, Message]] = asyncio.Queue()
        self.refusals: Counter[tuple[NodeId, str]] = Counter()
        self.changed = asyncio.Event()
        self.up: dict[NodeId, bool] = {}

    def received(self, sender: NodeId, message: Message) -> None:
        self.messages.put_nowait((sender, message))

    def refused(self, sender: NodeId, error: WireError) -> None:
        self.refusals[sender, error.reason] += 1
        self.changed.set()

    def linked(self, peer: NodeId, up: bool) -> None:
        self.up[peer] = up
        self.changed.set()

    async def vector(self, layout: Layout) -> Tensor:
        """The next vector, within ten seconds."""
        _, message = await asyncio.wait_for(self.messages.get(), 10)
        return stack([vector_of(message)], torch.empty(1, layout.dimension))[0]

    async def refusal(self, sender: NodeId, reason: str) -> None:
        """Wait, ten seconds at most, until `sender` was refused for `reason`."""
        async with asyncio.timeout(10):
            while not self.refusals[sender, reason]:
                self.changed.clear()
                await self.changed.wait()


class Pair:
    """A server and a worker, linked. `keys` and `runs` make one of them a stranger."""

    def __init__(
        self,
        layout: Layout,
        *,
        window: int = 4,
        address: str = "tcp://127.0.0.1:0",
        encryption: str = "curve",
        real_keys: Mapping[NodeId, KeyPair] | None = None,
    ) -> None:
        self.layout = layout
        self.keys = {node: KeyPair.generate() for node in (SERVER, WORKER)}
        self.roster = self.roster_of("4" * 64, address, encryption)
        self.ears = {node: Ear() for node in self.keys}
        self.window = window

    def roster_of(self, experiment: str, address: str, encryption: str) -> Roster:
        nodes = {node: Entry(address, key.public) for node, key in self.keys.items()}
        assert encryption in ("curve", "none")
        return Roster(experiment, nodes, "curve" if encryption == "curve" else "none")

    def node(self, me: NodeId, roster: Roster | None = None) -> ZeroMQ:
        roster = roster or self.roster
        return ZeroMQ(
            me, self.keys[me], roster, HEARS[me], self.layout, self.window, self.ears[me]
        )


def parcel(step: int, vector: Tensor, layout: Layout, kind: type = Model) -> Parcel:
    return Parcel(KINDS[kind], step, 0, frames_of(vector, layout))
