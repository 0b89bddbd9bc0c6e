"""What was prepared early never changes a result."""

import torch
from torch import Tensor

from byzsgd.aggregators import AGGREGATORS
from byzsgd.cluster import NodeId
from byzsgd.incoming import Incoming

D = 300
W = [NodeId("worker", index) for index in range(7)]
X = torch.randn(7, D, generator=torch.Generator().manual_seed(1))


def expected(senders: list[NodeId]) -> Tensor:
    return AGGREGATORS["mda"](X[[sender.index for sender in senders]], 1)


def result(incoming: Incoming, step: int, senders: list[NodeId], x: Tensor = X) -> Tensor:
    rows = incoming.complete(step, tuple((sender, x[sender.index]) for sender in senders))
    return incoming.aggregate(rows, 1).vector


def fresh() -> Incoming:
    return Incoming(AGGREGATORS["mda"], 5, D)


def test_nothing_prepared() -> None:
    assert torch.equal(result(fresh(), 0, W[:5]), expected(W[:5]))


def test_prepared_in_another_order() -> None:
    incoming, rows = fresh(), list(X)
    for index in (4, 0, 3):
        incoming.prepare(0, W[index], rows[index])
    inputs = tuple((W[index], rows[index]) for index in range(5))
    assert torch.equal(incoming.aggregate(incoming.complete(0, inputs), 1).vector, expected(W[:5]))


def test_prepared_for_a_step_that_was_left() -> None:
    incoming = fresh()
    for index in range(5):
        incoming.prepare(0, W[index], 1e6 * X[index])
    assert torch.equal(result(incoming, 4, W[2:]), expected(W[2:]))


def test_a_sender_whose_vector_was_replaced() -> None:
    incoming = fresh()
    for index in range(5):
        incoming.prepare(0, W[index], 1e6 * X[index])
    assert torch.equal(result(incoming, 0, W[:5]), expected(W[:5])), "no room: all is done again"


def test_more_prepared_than_there_is_room_for() -> None:
    incoming, rows = fresh(), list(X)
    for index in range(7):
        incoming.prepare(0, W[index], rows[index])
    inputs = tuple((W[index], rows[index]) for index in (1, 2, 4, 5, 6))
    got = incoming.aggregate(incoming.complete(0, inputs), 1).vector
    assert torch.equal(got, expected([W[1], W[2], W[4], W[5], W[6]]))
