"""Vectors through shared memory: what arrives, who is refused, and what a liar can do."""

import array
import asyncio
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
import torch

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.local import run_local
from byzsgd.protocol import Gradient
from byzsgd.runtime.memory_connection import NO_SLOT, PREFIX, SLOTS_MAX
from byzsgd.runtime.memory_pool import SEALED, Buffers, Pool
from byzsgd.runtime.shared_memory import SharedMemory
from byzsgd.wire import KINDS, Credit, Hello, Layout, Part, decode, encode
from tests.integration.links import OTHER, SERVER, WAIT_S, WORKER, Net, tensor
from tests.integration.test_links import still_works, vector

SMALL = Layout(7_510)
LARGE = Layout(1_756_426)


def shared(net: Net, node: object = SERVER) -> SharedMemory:
    transport = net.open[node]  # type: ignore[index]
    assert isinstance(transport, SharedMemory)
    return transport


# -- vectors arrive ------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 7_510, 1_756_426])
async def test_vectors_arrive_both_ways_and_stay_as_they_were_sent(dimension: int) -> None:
    layout = Layout(dimension)
    with Net(layout, shared=True) as net:
        kept = []
        for step in range(6):
            net.send(SERVER, [WORKER], step, vector(layout, 2 * step))
            net.send(WORKER, [SERVER], step, vector(layout, 2 * step + 1))
            for node in (WORKER, SERVER):
                _, message = await net.ears[node].message()
                net.grant(node, step + 1)
                kept.append(message)
        for seed, message in enumerate(kept):
            assert torch.equal(tensor(message, layout), vector(layout, seed))
        assert not net.ears[SERVER].refusals
        assert not net.ears[WORKER].refusals


@pytest.mark.parametrize("layout", [SMALL, LARGE], ids=["short", "long"])
async def test_memory_is_used_again_once_everybody_has_read_it(layout: Layout) -> None:
    with Net(layout, [SERVER, WORKER, OTHER], shared=True) as net:
        for step in range(12):
            net.send(SERVER, [WORKER, OTHER], step, vector(layout, step))
            for node in (WORKER, OTHER):
                assert torch.equal(await net.arrival(node, step), vector(layout, step))
                net.send(node, [SERVER], step, vector(layout))
                await net.ears[SERVER].message()
                net.grant(SERVER, step + 1)
        assert len(shared(net).pool) <= 3


async def test_half_precision_arrives_rounded() -> None:
    layout = Layout(SMALL.dimension, "bfloat16")
    with Net(layout, shared=True) as net:
        net.send(SERVER, [WORKER], 0, vector(layout))
        arrived = await net.arrival(WORKER, 0)
        assert torch.equal(arrived, vector(layout).bfloat16().float())


async def test_traffic_goes_on_after_a_peer_was_killed() -> None:
    with Net(LARGE, shared=True) as net:
        for step, victim in enumerate([SERVER, WORKER, SERVER, WORKER]):
            survivor = SERVER if victim == WORKER else WORKER
            await net.linked()
            net.send(survivor, [victim], step, vector(LARGE))
            net.restart(victim)
            net.send(victim, [survivor], step, vector(LARGE, step))
            while (message := (await net.ears[survivor].message())[1]).step < step:
                pass
            assert torch.equal(tensor(message, LARGE), vector(LARGE, step))
            net.grant(survivor, step + 1)
        assert not net.ears[SERVER].refusals
        assert not net.ears[WORKER].refusals


async def test_a_name_that_is_taken_is_said() -> None:
    with Net(SMALL, absent=[WORKER], shared=True) as net:
        first = net.open[SERVER]
        with pytest.raises(ConfigError, match=r"memory://\w+server-0-worker-0.*another run"):
            net.listen(SERVER)
        net.close(SERVER)
        first.close()


def test_a_run_with_shared_memory_reaches_its_end(tmp_path: Path) -> None:
    experiment = Experiment(
        name="shared",
        cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        plan={"steps": 12, "gather_every": 4},
        training={"task": "digits", "model": "linear"},
    )
    run = run_local(experiment, runs=tmp_path, encryption="none", shared_memory=True)
    assert run.status == "finished"


# -- who gets in, and what it can do -------------------------------------------------------------


async def test_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Net(SMALL, absent=[WORKER], shared=True) as net:
        with Liar(net):
            monkeypatch.setattr("byzsgd.runtime.shared_memory.os.getuid", lambda: 1 << 20)
            await net.ears[SERVER].refusal(WORKER, "user")
        assert not net.ears[SERVER].news


class Liar:
    """A worker that puts whatever it likes on its socket and into its memory."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(WAIT_S)
        name = net.roster.endpoint(SERVER, WORKER).removeprefix("memory://")
        self._socket.connect(f"\0byzsgd-{name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, head: bytes, slot: int = NO_SLOT, fd: int | None = None, read: int = 0) -> None:
        self.raw(PREFIX.pack(read, slot) + head, fd)

    def raw(self, word: bytes, fd: int | None = None) -> None:
        fds = array.array("i", [] if fd is None else [fd])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
        self._socket.sendmsg([word], rights)

    async def greet(self, credit: int = 4) -> Part:
        """Say hello, and learn how a first part has to look."""
        await self._net.ears[SERVER].link(WORKER)
        self.say(encode(Hello(self._net.roster.run, Credit(1, credit, 0))))
        while True:
            head = decode(await self._hear())
            if isinstance(head, Hello):
                return Part(KINDS[Gradient], head.credit.epoch, 0, 0, 0, Credit(1, credit, 0))

    async def _hear(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        async with asyncio.timeout(WAIT_S):
            return (await loop.sock_recv(self._socket, 1024))[PREFIX.size :]


def three_without_worker() -> Net:
    return Net(SMALL, [SERVER, WORKER, OTHER], absent=[WORKER], shared=True)


def memory(nbytes: int, seals: int = SEALED, fill: bytes = b"") -> int:
    fd = os.memfd_create("liar", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, nbytes)
    os.pwrite(fd, fill, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


NONSENSE: dict[str, tuple[str, Callable[[Liar, bytes], None]]] = {
    "half a prefix": ("header", lambda liar, part: liar.raw(b"abc")),
    "a long word": ("header", lambda liar, part: liar.raw(bytes(4096))),
    "garbage": ("header", lambda liar, part: liar.say(b"\xc1garbage")),
    "a slot that is not there": ("memory", lambda liar, part: liar.say(part, slot=3)),
    "no slot": ("frames", lambda liar, part: liar.say(part)),
    "no number": ("memory", lambda liar, part: liar.say(part, NO_SLOT, memory(SMALL.nbytes))),
    "a file": ("memory", lambda liar, part: liar.say(part, 0, os.open(__file__, os.O_RDONLY))),
    "a pipe": ("memory", lambda liar, part: liar.say(part, 0, os.pipe()[0])),
    "no seals": ("memory", lambda liar, part: liar.say(part, 0, memory(SMALL.nbytes, 0))),
    "too short": ("memory", lambda liar, part: liar.say(part, 0, memory(SMALL.nbytes - 4))),
    "too long": ("memory", lambda liar, part: liar.say(part, 0, memory(SMALL.nbytes + 4))),
    "read what was not lent": ("memory", lambda liar, part: liar.say(b"", read=7)),
    "read less than before": ("memory", lambda liar, part: liar.say(b"", read=2**32 - 1)),
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_is_counted_and_delivers_nothing(name: str) -> None:
    reason, act = NONSENSE[name]
    with three_without_worker() as net, Liar(net) as liar:
        act(liar, encode(await liar.greet()))
        await net.ears[SERVER].refusal(WORKER, reason)
        assert net.ears[SERVER].messages.empty()
        await still_works(net)
        assert net.ears[SERVER].refusals == {(WORKER, reason): 1}


async def test_only_so_many_files_of_a_peer_are_taken() -> None:
    with Net(SMALL, absent=[WORKER], shared=True) as net, Liar(net) as liar:
        await net.ears[SERVER].link(WORKER)
        fd = memory(SMALL.nbytes)
        for number in range(SLOTS_MAX + 1):
            liar.say(b"", number, fd)
            await asyncio.sleep(0)  # let it be read
        await net.ears[SERVER].refusal(WORKER, "memory")


async def test_a_vector_that_was_delivered_does_not_change_with_the_liars_memory() -> None:
    with Net(SMALL, absent=[WORKER], shared=True) as net, Liar(net) as liar:
        part = await liar.greet()
        fd = memory(SMALL.nbytes, fill=bytes(vector(SMALL).numpy().data))
        liar.say(encode(part), 0, fd)
        _, message = await net.ears[SERVER].message()
        os.pwrite(fd, bytes(SMALL.nbytes), 0)
        assert torch.equal(tensor(message, SMALL), vector(SMALL))


async def test_a_vector_counts_only_if_the_connection_outlives_its_reading() -> None:
    """Its owner may write there again from then on."""
    with three_without_worker() as net:
        with Liar(net) as liar:
            part = await liar.greet()
            liar.say(encode(part), 0, memory(SMALL.nbytes))
        await net.ears[SERVER].link(WORKER, up=False)
        await still_works(net)
        assert net.ears[SERVER].messages.empty()


async def test_who_never_says_what_it_has_read_is_lent_no_more() -> None:
    with three_without_worker() as net, Liar(net) as liar:
        await liar.greet(credit=1000)
        for step in range(40):
            net.send(SERVER, [WORKER, OTHER], step, vector(SMALL, step))
            assert torch.equal(await net.arrival(OTHER, step), vector(SMALL, step))
        lent = 2 * net.window + 2
        assert len(shared(net).pool) <= lent + net.window + 3
        assert shared(net).links[WORKER].flow.dropped["overflow"] > 0


# -- memory --------------------------------------------------------------------------------------


def test_a_slot_is_free_as_soon_as_nobody_holds_its_lease() -> None:
    pool = Pool(4)
    first = pool.write([memoryview(b"ab"), memoryview(b"cd")])
    second = pool.write([memoryview(b"efgh")])
    assert bytes(first.slot.memory) == b"abcd"
    assert len(pool) == 2
    del first
    third = pool.write([memoryview(b"ijkl")])
    assert len(pool) == 2
    assert bytes(second.slot.memory) == b"efgh"
    assert bytes(third.slot.memory) == b"ijkl"
    pool.close()


def test_a_buffer_is_nobody_elses_while_a_part_of_it_is_looked_at() -> None:
    buffers = Buffers(16)
    view = torch.frombuffer(buffers.new(), dtype=torch.float32)[1:3]
    view.fill_(1)
    torch.frombuffer(buffers.new(), dtype=torch.float32).fill_(2)
    assert view.tolist() == [1, 1]
    address = view.data_ptr() - 4
    del view
    taken = [buffers.new() for _ in range(2)]
    assert address in [torch.frombuffer(one, dtype=torch.uint8).data_ptr() for one in taken]
