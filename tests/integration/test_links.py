"""ZeroMQ on real sockets: what arrives, who is refused, and what a liar can do to a link."""

import asyncio
import gc
import os
import re
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.protocol import Model
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.roster import Encryption, Entry, Roster
from byzsgd.runtime.zeromq import ZeroMQ
from byzsgd.wire import KINDS, Credit, Hello, Layout, Part, encode, frames_of
from tests.integration.links import (
    EXPERIMENT,
    OTHER,
    SERVER,
    WAIT_S,
    WORKER,
    Ear,
    Liar,
    Net,
    Proxy,
    tensor,
)

SMALL = Layout(7_510)
LARGE = Layout(1_756_426)
ENCRYPTIONS: list[Encryption] = ["curve", "none"]


def vector(layout: Layout, seed: int = 1) -> torch.Tensor:
    return torch.randn(layout.dimension, generator=torch.Generator().manual_seed(seed))


# -- vectors arrive ------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("dimension", [1, 7_510, 1_756_426])
async def test_vectors_arrive_both_ways_as_they_were_sent(
    dimension: int, encryption: Encryption
) -> None:
    layout = Layout(dimension)
    with Net(layout, encryption=encryption) as net:
        for step in range(5):
            model, gradient = vector(layout, 2 * step), vector(layout, 2 * step + 1)
            net.send(SERVER, [WORKER], step, model)
            assert torch.equal(await net.arrival(WORKER, step), model)
            net.send(WORKER, [SERVER], step, gradient)
            assert torch.equal(await net.arrival(SERVER, step), gradient)
        assert not net.ears[SERVER].refusals
        assert not net.ears[WORKER].refusals


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
async def test_vectors_arrive_over_unix_sockets(encryption: Encryption, tmp_path: Path) -> None:
    with Net(SMALL, encryption=encryption, folder=tmp_path) as net:
        net.send(SERVER, [WORKER], 0, vector(SMALL))
        assert torch.equal(await net.arrival(WORKER, 0), vector(SMALL))
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        assert torch.equal(await net.arrival(SERVER, 0), vector(SMALL))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
async def test_half_precision_arrives_rounded_and_is_half_the_bytes(dtype: str) -> None:
    layout = Layout(SMALL.dimension, dtype)  # type: ignore[arg-type]
    with Net(layout) as net:
        net.send(SERVER, [WORKER], 0, vector(layout))
        arrived = await net.arrival(WORKER, 0)
        assert torch.equal(arrived, vector(layout).to(layout.torch_dtype).float())
        sent = net.open[SERVER].moved()["bytes_sent"]
        assert 2 * layout.dimension < sent < 2 * layout.dimension + 200


async def test_every_pair_of_nodes_has_a_link_of_its_own() -> None:
    others = [NodeId("server", 1), WORKER, OTHER]
    with Net(SMALL, [SERVER, *others]) as net:
        for step, (sender, receiver) in enumerate(
            [(SERVER, others[0]), (others[0], SERVER), (SERVER, WORKER), (OTHER, others[0])]
        ):
            net.send(sender, [receiver], step, vector(SMALL, step))
            heard, message = await net.ears[receiver].message()
            assert (heard, message.step) == (sender, step)
            assert torch.equal(tensor(message, SMALL), vector(SMALL, step))
        assert set(net.open[WORKER].links) == {SERVER, others[0]}, "workers do not meet"


async def test_one_vector_goes_to_many_receivers() -> None:
    with Net(LARGE, [SERVER, WORKER, OTHER]) as net:
        net.send(SERVER, [WORKER, OTHER], 0, vector(LARGE))
        for node in (WORKER, OTHER):
            assert torch.equal(await net.arrival(node, 0), vector(LARGE))
        sent = net.open[SERVER].moved()["bytes_sent"]
        assert sent == sum(net.open[node].moved()["bytes_received"] for node in (WORKER, OTHER))


async def test_what_is_received_is_a_view_of_what_came() -> None:
    """A frame of 8 KiB is not copied on its way into a tensor."""
    layout = Layout(4_096, chunk_bytes=8_192)
    with Net(layout) as net:
        net.send(SERVER, [WORKER], 0, vector(layout))
        _, message = await net.ears[WORKER].message()
        assert isinstance(message, Model)
        first, second = message.params.views(), message.params.views()
        assert [view.data_ptr() for view in first] == [view.data_ptr() for view in second]
        assert all(view.data_ptr() % 4 == 0 for view in first)


async def test_a_link_opens_every_time_however_fast_the_handshake() -> None:
    """Without keys it can be over before anybody looks: the news of it must not be missed."""
    layout = Layout(1)
    for _ in range(60):
        with Net(layout, encryption="none") as net:
            net.send(SERVER, [WORKER], 0, torch.ones(1))
            net.send(WORKER, [SERVER], 0, torch.ones(1))
            await net.arrival(WORKER, 0)
            await net.arrival(SERVER, 0)
            assert net.ears[SERVER].up == {WORKER: True}
            assert net.ears[WORKER].up == {SERVER: True}


async def test_who_sends_more_than_it_may_is_held_back_until_the_receiver_moves_on() -> None:
    with Net(SMALL, window=2) as net:
        ear = net.ears[WORKER]
        for step in range(2):
            net.send(SERVER, [WORKER], step, vector(SMALL))
        await ear.until(lambda: ear.messages.qsize() == 2)
        for step in range(2, 5):
            net.send(SERVER, [WORKER], step, vector(SMALL))
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        await net.arrival(SERVER, 0)  # all that could come has come
        assert ear.messages.qsize() == 2
        net.grant(WORKER, 3)
        for step in (0, 1, 3, 4):  # what waits longest goes first when the outbox is full
            assert (await ear.message())[1].step == step
        assert not ear.refusals


# -- who gets in ---------------------------------------------------------------------------------


async def test_an_unknown_key_is_refused_and_delivers_nothing() -> None:
    with Net(SMALL, [SERVER, WORKER, OTHER], absent=[OTHER]) as net:
        stranger = KeyPair.generate()
        net.keys[OTHER] = stranger
        entries = {**net.roster.nodes, OTHER: Entry("tcp://127.0.0.1:0", stranger.public)}
        mistaken = replace(net.roster, nodes=entries)
        net.listen(OTHER, mistaken)
        net.connect(OTHER, replace(mistaken, chosen=net.roster.chosen))
        net.send(OTHER, [SERVER], 0, vector(SMALL))
        await net.ears[OTHER].refusal(SERVER, "key")
        assert not net.ears[OTHER].news
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        sender, _ = await net.ears[SERVER].message()
        assert sender == WORKER
        assert net.ears[SERVER].messages.empty()
        assert not net.open[OTHER].moved()["bytes_sent"]


async def test_a_known_key_opens_only_its_own_port() -> None:
    """worker-0 knocks where the server listens for worker-1."""
    with Net(SMALL, [SERVER, WORKER, OTHER], absent=[WORKER, OTHER]) as net:
        theirs = net.roster.chosen[SERVER, OTHER]
        net.listen(WORKER)
        net.connect(WORKER, replace(net.roster, chosen={(SERVER, WORKER): theirs}))
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        await net.ears[WORKER].refusal(SERVER, "key")
        assert net.ears[SERVER].messages.empty()
        assert True not in net.ears[WORKER].up.values()


async def test_who_takes_another_for_the_server_speaks_to_nobody() -> None:
    """The connecting side pins the key of whom it means to reach."""
    with Net(SMALL, absent=[WORKER]) as net:
        wrong = {**net.roster.nodes, SERVER: Entry("tcp://127.0.0.1:0", KeyPair.generate().public)}
        net.listen(WORKER)
        net.connect(WORKER, replace(net.roster, nodes=wrong))
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        await net.ears[SERVER].refusal(WORKER, "handshake")
        assert net.ears[SERVER].messages.empty()


async def test_who_has_no_keys_is_no_peer_of_who_has() -> None:
    with Net(SMALL, absent=[WORKER]) as net:
        plain = replace(net.roster, encryption="none")
        net.listen(WORKER, plain)
        net.connect(WORKER, plain)
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        await net.ears[WORKER].refusal(SERVER, "handshake")
        assert net.ears[SERVER].messages.empty()
        assert not net.open[WORKER].moved()["bytes_sent"]


async def test_another_run_is_refused_by_both() -> None:
    with Net(SMALL, absent=[WORKER]) as net:
        other = replace(net.roster, experiment="5" * 64)
        net.listen(WORKER, other)
        net.connect(WORKER, other)
        net.send(WORKER, [SERVER], 0, vector(SMALL))
        net.send(SERVER, [WORKER], 0, vector(SMALL))
        await net.ears[SERVER].refusal(WORKER, "run")
        await net.ears[WORKER].refusal(SERVER, "run")
        assert net.ears[SERVER].messages.empty()
        assert net.ears[WORKER].messages.empty()


async def test_a_key_that_is_not_the_rosters_is_refused_before_anything_opens() -> None:
    net = Net(SMALL)
    net.keys[WORKER] = KeyPair.generate()
    with pytest.raises(ConfigError, match="this key is not worker-0's"):
        net.listen(WORKER)
    gc.collect()  # an unclosed context would warn here


# -- links break ---------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("victim", [SERVER, WORKER], ids=str)
async def test_traffic_goes_on_after_a_peer_was_killed(
    victim: NodeId, encryption: Encryption
) -> None:
    with Net(SMALL, encryption=encryption) as net:
        survivor = SERVER if victim == WORKER else WORKER
        step = 0
        for _ in range(4):
            await net.linked()
            net.send(survivor, [victim], step, vector(SMALL))
            net.restart(victim)
            net.send(victim, [survivor], step + 1, vector(SMALL))
            await net.arrival(survivor, step + 1)
            net.send(survivor, [victim], step + 2, vector(SMALL, 2))
            while (message := (await net.ears[victim].message())[1]).step < step + 2:
                pass
            assert torch.equal(tensor(message, SMALL), vector(SMALL, 2))
            step += 3
        assert not net.ears[survivor].refusals
        assert (victim, False) in net.ears[survivor].news


async def test_a_vector_that_was_under_way_when_the_peer_died_hurts_nobody() -> None:
    with Net(LARGE) as net:
        server, moved = net.open[SERVER], net.open[SERVER].moved
        net.send(SERVER, [WORKER], 0, vector(LARGE))
        async with asyncio.timeout(WAIT_S):
            while moved()["bytes_sent"] < LARGE.chunk_bytes:
                await asyncio.sleep(0)
        net.restart(WORKER)
        net.send(WORKER, [SERVER], 0, vector(LARGE, 2))
        assert torch.equal(await net.arrival(SERVER, 0), vector(LARGE, 2))
        net.send(SERVER, [WORKER], 1, vector(LARGE, 3))
        while (message := (await net.ears[WORKER].message())[1]).step < 1:
            pass
        assert torch.equal(tensor(message, LARGE), vector(LARGE, 3))
        assert not server.links[WORKER].flow.dropped


async def test_a_connection_that_died_without_a_word_does_not_take_the_next_one_with_it() -> None:
    """Until some heartbeats are missing the listening side speaks to the dead as to the living."""
    with Net(SMALL, absent=[WORKER]) as net:
        async with Proxy() as proxy:
            through = {(SERVER, WORKER): await proxy.listen(net.roster.chosen[SERVER, WORKER])}
            net.listen(WORKER)
            net.connect(WORKER, replace(net.roster, chosen=through))
            net.send(SERVER, [WORKER], 0, vector(SMALL))
            net.send(WORKER, [SERVER], 0, vector(SMALL))
            await net.arrival(WORKER, 0)
            await net.arrival(SERVER, 0)
            proxy.lose()
            await net.ears[WORKER].link(SERVER, up=False)
            await net.ears[WORKER].link(SERVER)
            for step in range(1, 6):  # lost or mangled, as every other word is
                net.send(SERVER, [WORKER], step, vector(SMALL))
                net.send(WORKER, [SERVER], step, vector(SMALL))
            for node, peer in ((SERVER, WORKER), (WORKER, SERVER)):
                await said_again(net, peer, node, step=6)
            assert net.ears[SERVER].news == [(WORKER, True)] * 2, "it never was without a link"


async def test_what_waited_for_the_next_connection_goes_with_it() -> None:
    """Not a moment before both ends know of it: that would be lost, and be refused."""
    with Net(SMALL, absent=[WORKER]) as net:
        async with Proxy() as proxy:
            through = {(SERVER, WORKER): await proxy.listen(net.roster.chosen[SERVER, WORKER])}
            net.listen(WORKER)
            net.connect(WORKER, replace(net.roster, chosen=through))
            for step in range(10):
                await net.linked()
                proxy.lose(both=True)
                for node, peer in ((SERVER, WORKER), (WORKER, SERVER)):
                    await net.ears[node].link(peer, up=False)
                for node, peer in ((SERVER, WORKER), (WORKER, SERVER)):
                    net.send(node, [peer], step, vector(SMALL))
                for node in (SERVER, WORKER):
                    await net.arrival(node, step)
            assert not net.ears[SERVER].refusals
            assert not net.ears[WORKER].refusals


async def said_again(net: Net, sender: NodeId, to: NodeId, step: int) -> None:
    """As machines do, say the same until it is heard."""
    ear = net.ears[to]
    async with asyncio.timeout(WAIT_S):
        while True:
            net.send(sender, [to], step, vector(SMALL))
            net.grant(to, step)
            try:
                async with asyncio.timeout(0.05):
                    while (await ear.messages.get())[1].step < step:
                        pass
            except TimeoutError:
                continue
            return


async def test_what_waits_for_a_peer_that_is_away_is_bounded_and_the_newest_stays() -> None:
    with Net(SMALL, absent=[WORKER], window=3) as net:
        for step in range(20):
            net.send(SERVER, [WORKER], step, vector(SMALL, step))
        assert net.open[SERVER].links[WORKER].flow.dropped == {"overflow": 17}
        net.listen(WORKER)
        net.connect(WORKER)
        for step in (17, 18, 19):
            assert torch.equal(await net.arrival(WORKER, step), vector(SMALL, step))


async def test_a_peer_that_does_not_read_delays_nobody() -> None:
    with Net(LARGE, [SERVER, WORKER, OTHER], absent=[OTHER]) as net:
        with Liar(net, OTHER) as deaf:
            await deaf.greet(credit=1000)  # and never reads again
            for step in range(10):
                net.send(SERVER, [OTHER, WORKER], step, vector(LARGE, step % 2))
                assert torch.equal(await net.arrival(WORKER, step), vector(LARGE, step % 2))
        assert net.open[SERVER].links[OTHER].flow.dropped["overflow"] > 0


# -- liars with a true key -----------------------------------------------------------------------


async def still_works(net: Net) -> None:
    net.send(OTHER, [SERVER], 9, vector(SMALL, 9))
    sender, message = await net.ears[SERVER].message()
    assert (sender, message.step) == (OTHER, 9)
    assert torch.equal(tensor(message, SMALL), vector(SMALL, 9))


def part(epoch: int, **fields: int) -> bytes:
    head = Part(KINDS[Model] + 1, epoch, 0, 0, 0, Credit(1, 4, 0))
    return encode(replace(head, **fields))  # type: ignore[arg-type]


NONSENSE: dict[str, tuple[str, Callable[[int], list[bytes]]]] = {
    "garbage": ("header", lambda epoch: [b"\xc1garbage"]),
    "nothing": ("header", lambda epoch: [b""]),
    "two empty frames": ("header", lambda epoch: [b"", b""]),
    "three frames": ("frames", lambda epoch: [part(epoch), bytes(SMALL.nbytes), b"x"]),
    "three frames, one empty": ("frames", lambda epoch: [part(epoch), b"", part(epoch)]),
    "a thousand frames": ("frames", lambda epoch: [b"x"] * 1000),
    "a long header": ("header", lambda epoch: [bytes(30_000), bytes(SMALL.nbytes)]),
    "no chunk": ("frames", lambda epoch: [part(epoch)]),
    "an empty chunk": ("length", lambda epoch: [part(epoch), b""]),
    "a short chunk": ("length", lambda epoch: [part(epoch), bytes(SMALL.nbytes - 1)]),
    "the chunk of a header": ("length", lambda epoch: [part(epoch), part(epoch)]),
    "a later chunk": ("order", lambda epoch: [part(epoch, index=1), bytes(SMALL.nbytes)]),
    "another epoch": ("epoch", lambda epoch: [part(epoch - 1), bytes(SMALL.nbytes)]),
    "a model from a worker": ("kind", lambda epoch: [part(epoch, kind=1), bytes(SMALL.nbytes)]),
    "another run": ("run", lambda epoch: [encode(Hello(bytes(16), Credit(1, 4, 0)))]),
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_is_counted_and_delivers_nothing(name: str) -> None:
    reason, frames = NONSENSE[name]
    with Net(SMALL, [SERVER, WORKER, OTHER], absent=[WORKER]) as net, Liar(net) as liar:
        credit = await liar.greet()
        await liar.say(*frames(credit.epoch))
        await net.ears[SERVER].refusal(WORKER, reason)
        assert net.ears[SERVER].messages.empty()
        await still_works(net)
        assert net.ears[SERVER].refusals == {(WORKER, reason): 1}


async def test_a_frame_one_byte_too_long_costs_the_liar_its_connection() -> None:
    with Net(SMALL, [SERVER, WORKER, OTHER], absent=[WORKER]) as net:
        with Liar(net) as liar:
            credit = await liar.greet()
            await liar.say(part(credit.epoch), bytes(SMALL.nbytes + 1))
            await net.ears[SERVER].link(WORKER, up=False)
            await still_works(net)
        assert net.ears[SERVER].messages.empty()


async def test_who_sends_more_than_it_may_is_refused() -> None:
    crowd = [SERVER, WORKER, OTHER]
    with Net(SMALL, crowd, absent=[WORKER], window=2) as net, Liar(net) as liar:
        credit = await liar.greet()
        assert credit.count == 2
        for step in range(50):
            await liar.gradient(credit.epoch, step, frames_of(vector(SMALL), SMALL))
        await net.ears[SERVER].refusal(WORKER, "credit", times=48)
        assert net.ears[SERVER].messages.qsize() == 2
        again = await liar.greet(asks=True)
        assert again.count == 0, "who starts anew has no more than before"


async def test_nothing_is_said_to_a_peer_before_it_has_greeted() -> None:
    with Net(SMALL, absent=[WORKER]) as net:
        net.send(SERVER, [WORKER], 0, vector(SMALL))
        with Liar(net) as liar:
            assert isinstance(await liar.hear(), Hello)
            await liar.say(encode(Credit(1, 100, 0)))
            await liar.say(b"")
            await net.ears[SERVER].refusal(WORKER, "header")
            await liar.say(encode(Hello(liar.run, Credit(1, 1, 0))))
            heard = await liar.hear()
            assert isinstance(heard, Part)
            assert (heard.step, heard.epoch) == (0, 1)


# -- ports and what is left behind ---------------------------------------------------------------


async def test_a_taken_port_is_an_error_that_names_node_and_endpoint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        net = Net(SMALL)
        entries = {**net.roster.nodes}
        entries[SERVER] = Entry(f"tcp://127.0.0.1:{port}", net.keys[SERVER].public)
        net.roster = replace(net.roster, nodes=entries)
        with pytest.raises(ConfigError) as caught:
            net.listen(SERVER)
        for said in ("server-0", f"tcp://127.0.0.1:{port}", "worker-0", "in use"):
            assert said in str(caught.value)
        net.close(SERVER)


async def test_closing_leaves_no_port_behind() -> None:
    with Net(SMALL, [SERVER, NodeId("server", 1), WORKER, OTHER]) as net:
        ports = [int(re.findall(r"\d+$", end)[0]) for end in net.roster.chosen.values()]
        assert len(ports) == 5, "three for the first server, two for the second"
        for port in ports:
            assert listening(port)
    assert not any(map(listening, ports))


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_closing_twenty_times_leaves_no_thread_and_no_descriptor_behind() -> None:
    counts = []
    for _ in range(21):
        with Net(Layout(1), [SERVER, WORKER, OTHER]) as net:
            net.send(SERVER, [WORKER, OTHER], 0, torch.ones(1))
            await net.arrival(WORKER, 0)
            await net.arrival(OTHER, 0)
        del net
        gc.collect()
        counts.append((len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))))
    assert counts[0] == counts[-1], Counter(counts)


async def test_what_is_asked_of_a_closed_transport_does_nothing() -> None:
    net = Net(SMALL)
    with net:
        server = net.open[SERVER]
    server.send([WORKER], Parcel(1, 0, 0, frames_of(vector(SMALL), SMALL)))
    server.grant(1, lambda _: 0)
    await asyncio.sleep(0)


async def test_ports_count_up_from_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = {node: KeyPair.generate() for node in (SERVER, WORKER, OTHER)}
    roster = Roster(
        EXPERIMENT,
        {node: Entry(f"tcp://127.0.0.1:{port}", key.public) for node, key in keys.items()},
    )
    kinds = {node: frozenset({2}) for node in (WORKER, OTHER)}
    server = ZeroMQ(SERVER, keys[SERVER], roster, kinds, SMALL, 4, Ear())
    try:
        assert server.listen() == {
            WORKER: f"tcp://127.0.0.1:{port}",
            OTHER: f"tcp://127.0.0.1:{port + 1}",
        }
    finally:
        server.close()
