"""Who is where: addresses, ports and keys, and what is wrong with them."""

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.roster import Encryption, Entry, Roster, read_roster

SERVER, WORKER = NodeId("server", 0), NodeId("worker", 0)
CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
KEYS = {node: KeyPair.generate().public for node in CLUSTER.nodes}
EXPERIMENT = "4" * 64


def roster(address: str = "tcp://10.0.0.1:7000", encryption: Encryption = "curve") -> Roster:
    """A server at `address` and a worker elsewhere on its loopback."""
    nodes = {SERVER: Entry(address, KEYS[SERVER]), WORKER: Entry("tcp://127.0.0.1:0", KEYS[WORKER])}
    return Roster(EXPERIMENT, nodes, encryption)


def spaced() -> Roster:
    """Twelve nodes on one host, each with room for twelve ports."""
    return Roster(
        EXPERIMENT,
        {
            node: Entry(f"tcp://127.0.0.1:{7000 + 12 * position}", KEYS[node])
            for position, node in enumerate(CLUSTER.nodes)
        },
    )


def complaint(address: str, encryption: Encryption = "curve") -> str:
    with pytest.raises(ConfigError) as caught:
        roster(address, encryption)
    assert "server-0" in str(caught.value)
    return str(caught.value)


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1:7000",
        "tcp://127.0.0.1:0",
        "tcp://203.0.113.7:7000",
        "tcp://localhost:1",
        "tcp://[::1]:7000",
        "tcp://[2001:db8::1]:7000",
        "tcp://10.0.0.1:65534",
        "ipc:///run/byzsgd/server-0",
        "ipc:///run/with space/ä",
    ],
)
def test_what_an_address_may_be(address: str) -> None:
    assert roster(address).entry(SERVER).address == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "7000",
        "10.0.0.1:7000",
        "tcp://10.0.0.1",
        "tcp://10.0.0.1:",
        "tcp://:7000",
        "tcp://*:7000",
        "tcp://10.0.0.1:*",
        "tcp://10.0.0.1:-1",
        "tcp://10.0.0.1:7000/",
        "tcp://10.0.0.1:7000\n",
        "tcp://10.0.0.1:123456",
        "tcp://::1:7000",
        "tcp://[::1:7000",
        "tcp://user@10.0.0.1:7000",
        "tcp://host.example.org:7000",  # nobody can listen on a name
        "TCP://10.0.0.1:7000",
        "udp://10.0.0.1:7000",
        "inproc://x",
        "ipc://relative",
        "ipc:///",
        "ipc://",
        "ipc://@abstract",
        "memory://",
        "memory:///x",
        "memory://a b",
        "memory://" + 81 * "x",
        'ipc:///a"b',
        "ipc:///a\\b",
        "ipc:///a\nb",
        "ipc:///a\x7fb",
        None,
        7000,
        ["tcp://10.0.0.1:7000"],
    ],
)
def test_what_is_no_address(address: str) -> None:
    assert repr(address) in complaint(address)


def test_memory_is_shared_by_all_or_none_and_not_encrypted() -> None:
    nodes = {node: Entry(f"memory://run-{node}", key) for node, key in KEYS.items()}
    together = Roster(EXPERIMENT, nodes, "none")
    assert together.shares_memory
    assert together.endpoint(SERVER, WORKER) == "memory://run-server-0-worker-0"
    assert not spaced().shares_memory
    with pytest.raises(ConfigError, match='need encryption = "none"'):
        Roster(EXPERIMENT, nodes, "curve")
    with pytest.raises(ConfigError, match="all nodes to have one"):
        Roster(EXPERIMENT, {**nodes, SERVER: Entry("tcp://127.0.0.1:0", KEYS[SERVER])}, "none")


@pytest.mark.parametrize("port", [65_535, 65_536, 99_999])
def test_a_port_without_room_for_the_others_is_refused(port: int) -> None:
    assert "leaves no room for 2 ports" in complaint(f"tcp://10.0.0.1:{port}")


def test_a_path_longer_than_the_kernel_takes_is_refused() -> None:
    roster("ipc:///" + "x" * 99)
    assert "over 100 bytes" in complaint("ipc:///" + "x" * 100)
    assert "over 100 bytes" in complaint("ipc:///" + "ä" * 50)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:7000",
        "tcp://127.9.9.9:7000",
        "tcp://localhost:7000",
        "tcp://[::1]:7000",
        "ipc:///x",
    ],
)
def test_loopback_needs_no_encryption(address: str) -> None:
    assert roster(address, "none").encryption == "none"


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1:7000",
        "tcp://0.0.0.0:7000",
        "tcp://128.0.0.1:7000",
        "tcp://127.0.0.1.example.org:7000",
        "tcp://localhost.example.org:7000",
        "tcp://[::]:7000",
        "tcp://[::2]:7000",
        "tcp://127.1:7000",
    ],
)
def test_anywhere_else_does(address: str) -> None:
    text = complaint(address, "none")
    assert 'encryption = "none" is for loopback and ipc only' in text
    assert address in text


# -- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "x" * 39, "x" * 41, '"' * 40, "#" * 40, None, 7])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="is no CURVE key"):
        Roster(EXPERIMENT, {SERVER: Entry("tcp://127.0.0.1:0", key)})


def test_two_nodes_may_not_share_a_key() -> None:
    nodes = {node: Entry("tcp://127.0.0.1:0", KEYS[SERVER]) for node in (SERVER, WORKER)}
    with pytest.raises(ConfigError, match="worker-0 and server-0 have the same public key"):
        Roster(EXPERIMENT, nodes)


def test_an_unknown_node_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no worker-3; it has server-0, worker-0"):
        roster().entry(NodeId("worker", 3))


# -- who listens where ---------------------------------------------------------------------------


def test_every_pair_has_a_port_of_its_own() -> None:
    ends = [spaced().endpoint(first, second) for first, second in combinations(CLUSTER.nodes, 2)]
    assert len(set(ends)) == len(ends) == 12 * 11 // 2


def test_ports_are_counted_from_the_listeners_first() -> None:
    last_server = CLUSTER.server_ids[-1]
    ends = [spaced().endpoint(last_server, worker) for worker in CLUSTER.worker_ids]
    assert ends == [f"tcp://127.0.0.1:{7048 + offset}" for offset in range(7)]
    assert spaced().endpoint(SERVER, CLUSTER.nodes[-1]) == "tcp://127.0.0.1:7010"


def test_the_order_in_the_file_does_not_matter() -> None:
    turned = Roster(EXPERIMENT, dict(sorted(spaced().nodes.items(), reverse=True)))
    for first, second in combinations(CLUSTER.nodes, 2):
        assert turned.endpoint(first, second) == spaced().endpoint(first, second)
    assert turned.run == spaced().run


def test_with_port_0_the_system_chooses() -> None:
    some = roster("tcp://127.0.0.1:0")
    assert some.endpoint(SERVER, WORKER) == "tcp://127.0.0.1:*"
    chosen = replace(some, chosen={(SERVER, WORKER): "tcp://127.0.0.1:4711"})
    assert chosen.endpoint(SERVER, WORKER) == "tcp://127.0.0.1:4711"


def test_a_path_takes_the_peers_name() -> None:
    assert roster("ipc:///run/s").endpoint(SERVER, WORKER) == "ipc:///run/s-worker-0"


def test_an_address_of_ipv6_keeps_its_brackets() -> None:
    assert roster("tcp://[2001:db8::1]:7000").endpoint(SERVER, WORKER) == "tcp://[2001:db8::1]:7000"


# -- which run it is -----------------------------------------------------------------------------


def test_experiment_and_keys_name_the_run_and_addresses_do_not() -> None:
    first = spaced()
    assert len(first.run) == 16
    moved = {node: replace(entry, address="ipc:///x") for node, entry in first.nodes.items()}
    assert replace(first, nodes=moved).run == first.run
    assert replace(first, experiment="5" * 64).run != first.run
    rekeyed = {**first.nodes, SERVER: Entry("ipc:///x", KeyPair.generate().public)}
    assert replace(first, nodes=rekeyed).run != first.run
    fewer = {node: entry for node, entry in first.nodes.items() if node != SERVER}
    assert replace(first, nodes=fewer).run != first.run


# -- as a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        spaced(),
        roster(),
        roster("ipc:///tmp/a b", "none"),
        roster("ipc:///tmp/ä→𝔟"),
    ],
    ids=lambda given: str(given.nodes[SERVER].address),
)
def test_a_roster_is_read_back(tmp_path: Path, given: Roster) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(given.to_toml())
    assert read_roster(path) == given
    assert read_roster(path).run == given.run


GOOD = roster().to_toml()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "experiment"),
        ("nonsense", "no readable roster"),
        ("nodes = 3", "needs `experiment`"),
        ('experiment = "x"\nnodes = 3', "needs `experiment`"),
        ('experiment = "x"\nnodes = []', "needs `experiment`"),
        ('experiment = "x"\n[nodes]\nserver-0 = 3', "needs `experiment`"),
        ('experiment = "x"\n[nodes.server-0]\naddress = "tcp://10.0.0.1:1"', "public_key"),
        (GOOD.replace(EXPERIMENT, "").replace('experiment = ""', "experiment = 4"), "experiment"),
        (GOOD.replace("server-0", "server-x"), "server-x"),
        (GOOD.replace("server-0", "server-00"), "server-00"),
        (GOOD.replace("server-0", "SERVER-0"), "SERVER-0"),
        (GOOD.replace('"curve"', '"CURVE"'), "encryption = 'CURVE'"),
        (GOOD.replace('"curve"', "[]"), "encryption = []"),
        (GOOD.replace('"curve"', "true"), "encryption = True"),
        (GOOD.replace('"curve"', '"none"'), "loopback"),
        (GOOD.replace("tcp://10", "10"), "is no address"),
        (GOOD.replace(KEYS[SERVER], "x"), "is no CURVE key"),
        (GOOD.replace(KEYS[SERVER], KEYS[WORKER]), "the same public key"),
        (GOOD + GOOD[GOOD.index("[nodes.worker-0]") :], "no readable roster"),
    ],
)
def test_a_broken_roster_is_named_and_what_is_wrong_with_it(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(path))) as caught:
        read_roster(path)
    assert said in str(caught.value)


def test_without_a_word_on_encryption_there_is_some(tmp_path: Path) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(GOOD.replace('encryption = "curve"\n', ""))
    assert read_roster(path).encryption == "curve"


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'experiment = "\xe9"')
    for path in (tmp_path / "missing.toml", tmp_path, tmp_path / "latin"):
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            read_roster(path)
