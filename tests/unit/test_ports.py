"""Ports that are kept for a node until it is back."""

import socket
from collections.abc import Iterator

import pytest
import zmq

from byzsgd.experiment.ports import Ports


@pytest.fixture
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


def chosen() -> str:
    """A port that was in use a moment ago."""
    with socket.socket() as before:
        before.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{before.getsockname()[1]}"


def taken(endpoint: str) -> bool:
    """Whether a stranger could not have it."""
    with socket.socket() as stranger:
        try:
            stranger.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        except OSError:
            return True
    return False


def test_a_port_that_is_held_is_given_to_nobody_until_it_is_released(ports: Ports) -> None:
    mine, other = chosen(), chosen()
    ports.hold("server-1", [mine])
    ports.hold("server-2", [other])
    assert taken(mine)
    ports.release("server-1")
    ports.release("server-1")
    assert not taken(mine)
    assert taken(other)
    ports.close()
    assert not taken(other)


def test_its_node_may_listen_there_meanwhile(ports: Ports) -> None:
    endpoint = chosen()
    ports.hold("server-1", [endpoint])
    context = zmq.Context()
    node, peer = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    node.bind(endpoint)
    peer.connect(endpoint)
    peer.send(b"hello")
    assert node.poll(10_000)
    ports.release("server-1")
    peer.send(b"again")
    assert [node.recv(), node.recv()] == [b"hello", b"again"]
    context.destroy(0)


def test_a_port_that_somebody_has_taken_is_no_matter(ports: Ports) -> None:
    with socket.socket() as quicker:
        quicker.bind(("127.0.0.1", 0))
        quicker.listen()
        ports.hold("server-1", [f"tcp://127.0.0.1:{quicker.getsockname()[1]}"])
        ports.release("server-1")


def test_a_worker_has_none(ports: Ports) -> None:
    ports.hold("worker-1", [])
    ports.release("worker-1")
