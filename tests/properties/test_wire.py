"""What holds for any header and any vector, and for whatever else a peer may send."""

from typing import Any

import msgpack
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Model, vector_of
from byzsgd.wire import (
    HEADER_BYTES_MAX,
    KINDS,
    Assembly,
    Credit,
    Frames,
    Hello,
    Layout,
    Part,
    decode,
    encode,
    frames_of,
    stack,
)

RELAXED = settings(deadline=None, max_examples=100)
MANY = settings(deadline=None, max_examples=400)

NATURAL = st.integers(0, (1 << 53) - 1)
CREDITS = st.builds(Credit, NATURAL, NATURAL, NATURAL)
PARTS = st.builds(
    Part, st.sampled_from(sorted(KINDS.values())), NATURAL, NATURAL, NATURAL, NATURAL, CREDITS
)
HEADS = st.one_of(
    st.builds(Hello, st.binary(min_size=16, max_size=16), CREDITS, st.booleans()), CREDITS, PARTS
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=70),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
    st.builds(msgpack.Timestamp, st.integers(0, 1 << 40), st.integers(0, 999_999_999)),
)
KEYS = st.one_of(st.text(max_size=2), st.integers(0, 9))
ZOO = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(KEYS, SCALARS, max_size=2),
    st.lists(st.lists(SCALARS, max_size=2), max_size=2),
)


def accepted(data: bytes) -> Hello | Credit | Part | None:
    """What `decode` makes of it; None for a WireError, and any other error is the test's."""
    try:
        return decode(data)
    except WireError as error:
        expected = error.reason in ("header", "version") and len(str(error)) < 400
        return None if expected else pytest.fail(str(error))


@RELAXED
@given(HEADS)
def test_a_header_comes_back_as_it_was(head: Hello | Credit | Part) -> None:
    data = encode(head)
    assert len(data) <= HEADER_BYTES_MAX
    assert decode(data) == decode(memoryview(data)) == head


@MANY
@given(st.binary(max_size=140))
@example(b"\x93" * 128)
@example(b"\xc7\xff\xff")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc9\xff\xff\xff\xff\x01")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\x92\x01\xc1")
def test_any_bytes_are_a_header_or_a_wire_error(data: bytes) -> None:
    head = accepted(data)
    assert head is None or decode(encode(head)) == head


@RELAXED
@given(ZOO)
def test_any_msgpack_is_a_header_or_a_wire_error(value: Any) -> None:
    accepted(msgpack.packb(value))


@RELAXED
@given(st.lists(ZOO, max_size=9))
def test_any_fields_of_the_right_version_are_a_header_or_a_wire_error(fields: list[Any]) -> None:
    head = accepted(msgpack.packb([1, *fields]))
    if head is not None:
        assert all(type(field) in (int, bytes) for field in fields)


@MANY
@given(HEADS, st.data())
def test_a_damaged_header_is_another_header_or_a_wire_error(
    head: Hello | Credit | Part, data: st.DataObject
) -> None:
    raw = bytearray(encode(head))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    accepted(bytes(raw))


@RELAXED
@given(HEADS, st.data())
def test_a_header_cut_short_or_with_more_behind_it_is_none(
    head: Hello | Credit | Part, data: st.DataObject
) -> None:
    raw = encode(head)
    assert accepted(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None
    assert accepted(raw + data.draw(st.binary(min_size=1, max_size=8))) is None


@RELAXED
@given(PARTS, st.integers(0, 8), ZOO)
def test_a_field_of_another_type_is_a_wire_error(head: Part, position: int, value: Any) -> None:
    fields = msgpack.unpackb(encode(head))
    fields[position] = value
    natural = type(value) is int and 0 <= value < 1 << 53
    got = accepted(msgpack.packb(fields))
    assert natural or got is None


# -- vectors -------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Dimensions around multiples of the chunk, for every type."""
    dtype = draw(st.sampled_from(["float32", "bfloat16", "float16"]))
    size = Layout(1, dtype).torch_dtype.itemsize  # type: ignore[arg-type]
    chunk = size * draw(st.sampled_from([1, 2, 3, 7, 64, 4096]))
    per_chunk = chunk // size
    dimension = draw(st.integers(0, 4)) * per_chunk + draw(st.integers(-1, 1))
    return Layout(max(1, dimension), dtype, chunk)  # type: ignore[arg-type]


def head_of(index: int, step: int = 0) -> Part:
    return Part(KINDS[Gradient], 0, step, 0, index, Credit(0, 0, 0))


def random_vector(dimension: int, seed: int) -> torch.Tensor:
    return torch.randn(dimension, generator=torch.Generator().manual_seed(seed))


@RELAXED
@given(layouts(), st.integers(0, 9))
def test_a_vector_arrives_as_its_rounding_to_the_wires_type(layout: Layout, seed: int) -> None:
    vector = random_vector(layout.dimension, seed)
    frames = frames_of(vector, layout)
    assert len(frames) == layout.chunks
    assert sum(frame.nbytes for frame in frames) == layout.nbytes
    assert [frame.nbytes for frame in frames] == [layout.length(i) for i in range(layout.chunks)]
    assert max(frame.nbytes for frame in frames) <= layout.frame_bytes_max

    assembly, message = Assembly(layout), None
    for index, frame in enumerate(frames):
        assert message is None
        message = assembly.feed(head_of(index), memoryview(bytearray(frame)))
    assert message is not None
    rows = stack([vector, vector_of(message)], torch.empty(2, layout.dimension))
    assert torch.equal(rows[0], vector)
    assert torch.equal(rows[1], vector.to(layout.torch_dtype).float())


@RELAXED
@given(st.data())
def test_what_is_assembled_was_said_in_order_and_whole(data: st.DataObject) -> None:
    """Any chunks in any order: the assembly agrees with a naive twin that keeps a list."""
    layout = Layout(5, chunk_bytes=8)
    assembly = Assembly(layout)
    twin: list[tuple[tuple[int, int], int]] = []
    for _ in range(data.draw(st.integers(0, 15))):
        key = (data.draw(st.sampled_from([1, 2])), data.draw(st.integers(0, 1)))
        index = data.draw(st.integers(0, 3))
        nbytes = data.draw(st.sampled_from([8, 8, 8, 4, 0]))
        twin = [] if index == 0 else twin
        legal = index == len(twin) and all(k == key for k, _ in twin)
        legal = legal and index < layout.chunks and nbytes == layout.length(index)
        twin = [*twin, (key, index)] if legal else []
        message = feed(assembly, Part(*key_fields(key), index, Credit(0, 0, 0)), nbytes)
        assert (message is not None) == (len(twin) == layout.chunks)
        if message is not None:
            assert (isinstance(message, Model), message.step) == (key[0] == 1, key[1])
            twin = []


def key_fields(key: tuple[int, int]) -> tuple[int, int, int, int]:
    kind, step = key
    return kind, 0, step, 0


def feed(assembly: Assembly, part: Part, nbytes: int) -> Message | None:
    try:
        return assembly.feed(part, memoryview(bytearray(nbytes)))
    except WireError as error:
        return None if error.reason in ("order", "length") else pytest.fail(str(error))


@RELAXED
@given(layouts(), st.integers(1, 4))
def test_stacking_is_what_one_row_after_the_other_would_be(layout: Layout, n: int) -> None:
    vectors = [random_vector(layout.dimension, seed) for seed in range(n)]
    received = [
        Frames(layout, [memoryview(bytearray(frame)) for frame in frames_of(vector, layout)])
        for vector in vectors
    ]
    rows = stack(received, torch.full((n, layout.dimension), torch.nan))
    for row, vector in zip(rows, vectors, strict=True):
        assert torch.equal(row, vector.to(layout.torch_dtype).float())
