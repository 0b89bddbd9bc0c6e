"""Headers and vectors, case by case: what is refused and why, and where no byte is copied."""

import math
import random
from typing import Any

import msgpack
import pytest
import torch

from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Model, Whisper, vector_of
from byzsgd.wire import (
    ALIGNED_BYTES,
    HEADER_BYTES_MAX,
    KINDS,
    Assembly,
    Credit,
    DType,
    Frames,
    Hello,
    Layout,
    Part,
    decode,
    encode,
    frames_of,
    message_of,
    stack,
)

CREDIT = Credit(1, 2, 3)
HALVES: list[DType] = ["bfloat16", "float16"]


def refusal(*fields: Any) -> str:
    return bytes_refusal(msgpack.packb(list(fields)))


def bytes_refusal(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode(data)
    return caught.value.reason


# -- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        Hello(bytes(range(16)), CREDIT),
        Hello(bytes(range(16)), CREDIT, asks=True),
        CREDIT,
        Part(1, 4, 5, 6, 7, CREDIT),
        Part(2, (1 << 53) - 1, 0, 0, 0, Credit(0, 0, 0)),
        Part(3, 0, 0, 0, 0, Credit(*[(1 << 53) - 1] * 3)),
    ],
    ids=repr,
)
def test_a_header_comes_back_as_it_was(head: Hello | Credit | Part) -> None:
    assert decode(encode(head)) == head


def test_the_longest_header_fits() -> None:
    most = (1 << 53) - 1
    longest = Part(3, most, most, most, most, Credit(most, most, most))
    assert len(encode(longest)) <= HEADER_BYTES_MAX


@pytest.mark.parametrize("version", [0, 2, -1, True, 1.0, None, b"1", [1], (1 << 64) - 1])
def test_another_version_is_refused(version: object) -> None:
    assert refusal(version, 5, 1, 2, 3) == "version"


@pytest.mark.parametrize("kind", [0, 7, -1, 255, True, 1.0, None, "1", b"\x01", [1], 1 << 63])
def test_another_kind_is_refused(kind: object) -> None:
    assert refusal(1, kind, 1, 2, 3, 4, 5, 6, 7) == "header"


BAD_NUMBERS: list[object] = [
    -1,
    1 << 53,
    (1 << 64) - 1,
    -(1 << 63),
    True,
    False,
    1.0,
    math.nan,
    None,
    [],
    b"\x01",
]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=repr)
@pytest.mark.parametrize("position", range(7))
def test_a_field_that_is_no_natural_number_is_refused(position: int, bad: object) -> None:
    fields: list[object] = [1, 2, 3, 4, 5, 6, 7]
    fields[position] = bad
    assert refusal(1, 2, *fields) == "header"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 8, 9, 13, 14])
def test_a_part_with_another_number_of_fields_is_refused(count: int) -> None:
    assert refusal(1, 2, *range(count)) == "header"


@pytest.mark.parametrize("run", [bytes(15), bytes(17), "0" * 16, 0, None, bytes(65), [0] * 16])
def test_a_greeting_with_another_kind_of_run_is_refused(run: object) -> None:
    assert refusal(1, 4, run, 1, 2, 3, 0) == "header"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6])
def test_a_greeting_with_another_number_of_fields_is_refused(count: int) -> None:
    assert refusal(1, 4, bytes(16), *range(count)) == "header"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": 1},
        {1: 2},
        [[]],
        [1],
        [],
        [{}] * 5,
        [1, {}],
        1,
        None,
        True,
        1.5,
        "text",
        b"bytes",
        msgpack.ExtType(5, b"x"),
        msgpack.Timestamp(1, 1),
        [1, msgpack.Timestamp(1 << 40, 1), 1, 2, 3],
        [1, 5, msgpack.ExtType(1, b""), 2, 3],
        [1] * 15,
        [1] * 17,
        list(range(100)),
    ],
    ids=repr,
)
def test_other_msgpack_is_refused(value: object) -> None:
    assert bytes_refusal(msgpack.packb(value)) in ("header", "version")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 128,  # nested as deep as it goes
        b"\x92\x01" * 64,
        b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x92\x01\xa2\xff\xfe",  # text that is no UTF-8
        b"\xd7\xff" + b"\xff" * 8,  # a timestamp out of range
        encode(CREDIT) + b"\x00",
        encode(CREDIT)[:-1],
        bytes(HEADER_BYTES_MAX + 1),
        bytes(1 << 20),
    ],
    ids=lambda data: f"{data[:6]!r}",
)
def test_other_bytes_are_refused(data: bytes) -> None:
    assert bytes_refusal(data) == "header"


def test_fifty_thousand_damaged_headers_raise_nothing_else() -> None:
    dice = random.Random(5)
    whole = [encode(Hello(bytes(16), CREDIT)), encode(CREDIT), encode(Part(1, 4, 5, 6, 7, CREDIT))]
    survived = 0
    for _ in range(50_000):
        raw = bytearray(dice.choice(whole))
        for _ in range(dice.randint(1, 4)):
            raw[dice.randrange(min(len(raw), 8))] = dice.randrange(256)
        try:
            decode(bytes(raw[: dice.randint(1, 2 * len(raw))]))
        except WireError:
            continue
        survived += 1
    assert 0 < survived < 25_000


# -- how a vector is cut -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "chunk_bytes", "lengths"),
    [
        (1, 1 << 20, [4]),
        (2, 4, [4, 4]),
        (4, 8, [8, 8]),
        (5, 8, [8, 8, 4]),
        (2, 8, [8]),
        (1, 4, [4]),
        (262_144, 1 << 20, [1 << 20]),
        (262_145, 1 << 20, [1 << 20, 4]),
        (1_756_426, 1 << 20, [1 << 20] * 6 + [734_248]),
    ],
)
def test_how_a_vector_is_cut(dimension: int, chunk_bytes: int, lengths: list[int]) -> None:
    layout = Layout(dimension, chunk_bytes=chunk_bytes)
    assert layout.chunks == len(lengths)
    assert [layout.length(index) for index in range(layout.chunks)] == lengths
    assert sum(lengths) == layout.nbytes
    frames = frames_of(torch.arange(dimension).float(), layout)
    assert [frame.nbytes for frame in frames] == lengths


def test_the_largest_frame_is_a_chunk_or_a_header() -> None:
    assert Layout(1).frame_bytes_max == HEADER_BYTES_MAX
    assert Layout(1000).frame_bytes_max == 4000
    assert Layout(1 << 20, chunk_bytes=1 << 16).frame_bytes_max == 1 << 16


def test_float32_is_sent_without_a_copy() -> None:
    layout = Layout(1000, chunk_bytes=512)
    vector = torch.randn(1000)
    frames = frames_of(vector, layout)
    addresses = [torch.frombuffer(frame, dtype=torch.float32).data_ptr() for frame in frames]
    assert addresses == [vector.data_ptr() + 512 * index for index in range(layout.chunks)]


def test_a_vector_with_gaps_in_memory_is_sent_all_the_same() -> None:
    vector = torch.randn(10, 2)[:, 0]
    received = Frames(Layout(10), frames_of(vector, Layout(10)))
    assert torch.equal(stack([received], torch.empty(1, 10))[0], vector)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_converted_once_for_all(dtype: DType) -> None:
    layout = Layout(7, dtype, chunk_bytes=4)
    vector = torch.tensor([0.1, -0.0, 1e30, math.inf, -math.inf, math.nan, 1e-40])
    frames = frames_of(vector, layout)
    assert [frame.nbytes for frame in frames] == [4, 4, 4, 2]
    row = stack([Frames(layout, frames)], torch.empty(1, 7))[0]
    assert torch.equal(row.nan_to_num(7), vector.to(layout.torch_dtype).float().nan_to_num(7))


def test_a_vector_of_another_size_is_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError):
        frames_of(torch.zeros(3), Layout(4))


# -- how it is put together ----------------------------------------------------------------------

THREE = Layout(5, chunk_bytes=8)


def part(index: int, step: int = 0, kind: int = KINDS[Model], round_: int = 0) -> Part:
    return Part(kind, 0, step, round_, index, CREDIT)


def chunks(layout: Layout, start: float = 0.0) -> list[memoryview]:
    vector = torch.arange(layout.dimension).float() + start
    return [memoryview(bytearray(frame)) for frame in frames_of(vector, layout)]


def feed(assembly: Assembly, start: float, *indices: int, step: int = 0) -> Message | None:
    for index in indices:
        message = assembly.feed(part(index, step), chunks(assembly.layout, start)[index])
    return message


def assembly_refusal(assembly: Assembly, head: Part, frame: memoryview) -> str:
    with pytest.raises(WireError) as caught:
        assembly.feed(head, frame)
    return caught.value.reason


def values(message: Message | None) -> list[float]:
    assert message is not None
    row: list[float] = stack([vector_of(message)], torch.empty(1, THREE.dimension))[0].tolist()
    return row


def test_chunks_in_order_are_a_vector() -> None:
    assembly = Assembly(THREE)
    assert feed(assembly, 0, 0, 1) is None
    assert values(feed(assembly, 0, 2)) == [0, 1, 2, 3, 4]
    assert values(feed(assembly, 5, 0, 1, 2)) == [5, 6, 7, 8, 9], "and again"


@pytest.mark.parametrize("indices", [[1], [0, 2], [0, 1, 1], [0, 1, 3], [2], [0, 1, 1 << 52]])
def test_a_chunk_out_of_order_drops_the_vector(indices: list[int]) -> None:
    assembly = Assembly(THREE)
    for index in indices[:-1]:
        assembly.feed(part(index), chunks(THREE)[index])
    assert assembly_refusal(assembly, part(indices[-1]), chunks(THREE)[1]) == "order"
    assert assembly_refusal(assembly, part(1), chunks(THREE)[1]) == "order"
    assert values(feed(assembly, 0, 0, 1, 2)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("nbytes", [0, 1, 7, 9, 1000])
def test_a_chunk_of_another_length_drops_the_vector(nbytes: int) -> None:
    assembly = Assembly(THREE)
    feed(assembly, 0, 0)
    assert assembly_refusal(assembly, part(1), memoryview(bytearray(nbytes))) == "length"
    assert assembly_refusal(assembly, part(1), chunks(THREE)[1]) == "order"


def test_the_last_chunk_has_a_length_of_its_own() -> None:
    assembly = Assembly(THREE)
    feed(assembly, 0, 0, 1)
    assert assembly_refusal(assembly, part(2), memoryview(bytearray(8))) == "length"


@pytest.mark.parametrize(
    "other", [part(1, step=1), part(1, kind=KINDS[Gradient]), part(1, round_=1)], ids=repr
)
def test_chunks_of_two_vectors_do_not_mix(other: Part) -> None:
    assembly = Assembly(THREE)
    feed(assembly, 0, 0)
    assert assembly_refusal(assembly, other, chunks(THREE)[1]) == "order"


def test_a_first_chunk_starts_anew() -> None:
    assembly = Assembly(THREE)
    feed(assembly, 0, 0, 1)
    assert values(feed(assembly, 5, 0, 1, 2)) == [5, 6, 7, 8, 9]


def test_a_vector_of_one_chunk_is_whole_at_once() -> None:
    assembly = Assembly(Layout(1))
    message = assembly.feed(part(0), memoryview(bytearray(4)))
    assert isinstance(message, Model)
    assert assembly_refusal(assembly, part(1), memoryview(bytearray(4))) == "order"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(1, Model(4, "v", 5)), (2, Gradient(4, "v")), (3, Whisper(4, "v", about=4))],
)
def test_what_kind_of_message_a_part_is_of(kind: int, expected: Message) -> None:
    assert message_of(Part(kind, 0, 4, 5, 0, CREDIT), "v") == expected
    assert vector_of(expected) == "v"
    assert KINDS[type(expected)] == kind


# -- memory --------------------------------------------------------------------------------------


def test_a_large_frame_is_seen_where_it_arrived_and_a_small_one_is_copied() -> None:
    layout = Layout(ALIGNED_BYTES // 4 + 1, chunk_bytes=ALIGNED_BYTES)
    assembly = Assembly(layout)
    large, small = chunks(layout)
    assert (large.nbytes, small.nbytes) == (ALIGNED_BYTES, 4)
    assembly.feed(part(0), large)
    message = assembly.feed(part(1), small)
    assert message is not None
    views = vector_of(message).views()
    addresses = [torch.frombuffer(frame, dtype=torch.uint8).data_ptr() for frame in (large, small)]
    assert views[0].data_ptr() == addresses[0]
    assert views[1].data_ptr() != addresses[1]


def test_a_small_frame_may_lie_at_an_odd_address() -> None:
    odd = memoryview(bytearray(13))[1:]
    odd[:] = bytes(torch.tensor([1.0, 2.0, 3.0]).numpy().tobytes())
    message = Assembly(Layout(3)).feed(part(0), odd)
    assert message is not None
    [view] = vector_of(message).views()
    assert view.data_ptr() % 4 == 0
    assert view.tolist() == [1.0, 2.0, 3.0]


def test_stacking_copies_and_leaves_its_input_alone() -> None:
    first, second = torch.ones(5), torch.zeros(5)
    received = Frames(THREE, chunks(THREE))
    out = torch.empty(3, 5)
    assert stack([first, received, second], out) is out
    out.fill_(9)
    assert first.eq(1).all()
    assert second.eq(0).all()
    assert torch.cat(received.views()).tolist() == [0, 1, 2, 3, 4]


def test_stacking_needs_a_row_for_each_vector() -> None:
    with pytest.raises(ValueError, match="zip"):
        stack([torch.ones(2)], torch.empty(2, 2))
