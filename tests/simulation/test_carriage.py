"""Messages through the wire: what arrives is equal, shares no memory, and nonsense is refused."""

import pytest
import torch
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.protocol import Gradient, Message, Model, Pull, Whisper, vector_of
from byzsgd.simulation.carriage import Wire
from byzsgd.wire import Frames, Layout, stack

A, B, C = (NodeId("server", index) for index in range(3))
D = 1000


def value(message: Message | None) -> Tensor:
    assert message is not None
    vector = vector_of(message)
    assert isinstance(vector, Frames)
    return stack([vector], torch.empty(1, vector.layout.dimension))[0]


@pytest.mark.parametrize("chunk_bytes", [64, 4096, 1 << 20])
@pytest.mark.parametrize("kind", [Model, Gradient, Whisper])
def test_what_arrives_is_what_was_said(
    kind: type[Model | Gradient | Whisper], chunk_bytes: int
) -> None:
    vector = torch.randn(D)
    heard = Wire(Layout(D, chunk_bytes=chunk_bytes))(A, B, kind(3, vector))
    assert type(heard) is kind
    assert heard.step == 3
    assert torch.equal(value(heard), vector)


def test_a_pull_arrives_as_it_is() -> None:
    assert Wire(Layout(D))(A, B, Pull(3)) == Pull(3)


def test_a_round_survives() -> None:
    heard = Wire(Layout(D))(A, B, Model(3, torch.zeros(D), 2))
    assert isinstance(heard, Model)
    assert heard.round == 2


def test_less_precision_is_lost_on_the_way_as_it_is_in_a_real_run() -> None:
    vector = torch.randn(D)
    heard = Wire(Layout(D, "bfloat16"))(A, B, Model(3, vector))
    assert torch.equal(value(heard), vector.bfloat16().float())


def test_nobody_shares_memory_with_anybody() -> None:
    wire, vector = Wire(Layout(D)), torch.ones(D)
    message = Model(1, vector)
    first, second = wire(A, B, message), wire(A, C, message)
    assert first is not None
    vector_of(first).views()[0].fill_(7.0)
    assert torch.equal(vector, torch.ones(D))
    assert torch.equal(value(second), torch.ones(D))
    vector.fill_(5.0)
    assert torch.equal(value(second), torch.ones(D))


@pytest.mark.parametrize("step", [-1, 1 << 53])
def test_a_step_that_no_header_can_say_is_refused(step: int) -> None:
    assert Wire(Layout(D))(A, B, Model(step, torch.ones(D))) is None
