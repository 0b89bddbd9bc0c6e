"""Messages to frames and back: a small msgpack header and the vector's raw bytes, in chunks.

Nothing about a vector's shape is believed from the wire: `Layout` says what must come, and every
check costs constant time and is done before anything is kept. There is no pickle, and a received
vector is a view on the frames it came in.

One wire message is one header frame, and for a `Part` one frame of the vector's bytes; of a `Pull`,
which has no vector, a part is the header alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgpack
import torch
from torch import Tensor

from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Model, Pull, Whisper

VERSION: Final = 1
HEADER_BYTES_MAX: Final = 128
CHUNK_BYTES_MAX: Final = 1 << 20
ALIGNED_BYTES: Final = 8192
"""Frames below this size arrive at odd addresses (libzmq packs them beside one another)."""

DType = Literal["float32", "bfloat16", "float16"]
DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
HELLO: Final = 4
CREDIT: Final = 5
KINDS: Final[dict[type, int]] = {Model: 1, Gradient: 2, Whisper: 3, Pull: 6}
Buffer: TypeAlias = memoryview


@dataclass(frozen=True, slots=True)
class Credit:
    """What a receiver allows: `count` vectors since `epoch` began; before `floor` all are stale."""

    epoch: int
    count: int
    floor: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The first word on a new connection: which run this is, and the first credit.

    With `asks` something was lost on a connection that stands: the peer is to start anew as well.
    """

    run: bytes
    credit: Credit
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Chunk `index` of the vector of (`kind`, `step`, `round`), sent in the receiver's `epoch`.

    `credit` is the sender's own credit for the other direction: it travels for nothing.
    """

    kind: int
    epoch: int
    step: int
    round: int
    index: int
    credit: Credit


@dataclass(frozen=True)
class Layout:
    """How a vector of `dimension` coordinates is cut into chunks of at most `chunk_bytes`."""

    dimension: int
    dtype: DType = "float32"
    chunk_bytes: int = CHUNK_BYTES_MAX

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def nbytes(self) -> int:
        return self.dimension * self.torch_dtype.itemsize

    @property
    def chunks(self) -> int:
        return -(-self.nbytes // self.chunk_bytes)

    @property
    def frame_bytes_max(self) -> int:
        return max(HEADER_BYTES_MAX, min(self.nbytes, self.chunk_bytes))

    def length(self, index: int) -> int:
        """Bytes of chunk `index`."""
        return min(self.chunk_bytes, self.nbytes - index * self.chunk_bytes)


class Frames:
    """A received vector: the frames it came in, seen as tensors without a copy."""

    __slots__ = ("_frames", "layout")

    def __init__(self, layout: Layout, frames: Sequence[Buffer]) -> None:
        self.layout = layout
        self._frames = tuple(frames)

    @property
    def frames(self) -> tuple[Buffer, ...]:
        return self._frames

    def views(self) -> list[Tensor]:
        """The chunks in order, each a 1-D tensor of the wire's dtype that shares the frame."""
        return [torch.frombuffer(frame, dtype=self.layout.torch_dtype) for frame in self._frames]


def stack(vectors: Sequence[Tensor | Frames], out: Tensor) -> Tensor:
    """Gather vectors into the rows of `out`, `(n, d)` float32: the one copy on the way in."""
    for row, vector in zip(out, vectors, strict=True):
        pieces = vector.views() if isinstance(vector, Frames) else [vector]
        torch.cat(pieces, out=row) if _same(pieces, row) else row.copy_(torch.cat(pieces))
    return out


def _same(pieces: Sequence[Tensor], row: Tensor) -> bool:
    return all(piece.dtype == row.dtype for piece in pieces)


def frames_of(vector: Tensor | Frames, layout: Layout) -> list[Buffer]:
    """Cut a `(d,)` float32 vector into the frames that every receiver gets.

    What came over the wire goes on as it came.

    With float32 on the wire these are views: the vector must never be written to again. Otherwise
    this converts, which is work of size d.
    """
    if isinstance(vector, Frames):
        return list(vector.frames)
    assert vector.shape == (layout.dimension,), f"{tuple(vector.shape)}, not ({layout.dimension},)"
    raw = memoryview(vector.contiguous().to(layout.torch_dtype).view(torch.uint8).numpy().data)
    size = layout.chunk_bytes
    return [raw[start : start + size] for start in range(0, layout.nbytes, size)]


class Assembly:
    """The vector that is just arriving over one link. Chunks come in order or not at all."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._key: tuple[int, int, int] | None = None
        self._frames: list[Buffer] = []

    def feed(self, part: Part, frame: Buffer) -> Message | None:
        """Keep a chunk; the message when it was the last one.

        Raises `WireError` when the chunk is not the next one of its vector or has a wrong length;
        the unfinished vector is dropped.
        """
        key = (part.kind, part.step, part.round)
        if part.index == 0:
            self._key, self._frames = key, []
        if key != self._key or part.index != len(self._frames):
            self.drop()
            raise WireError("order", f"chunk {part.index} of {key}")
        if frame.nbytes != self.layout.length(part.index):
            self.drop()
            expected = self.layout.length(part.index)
            raise WireError("length", f"{frame.nbytes} bytes instead of {expected}")
        self._frames.append(bytes_of(frame) if frame.nbytes < ALIGNED_BYTES else frame)
        if len(self._frames) < self.layout.chunks:
            return None
        vector = Frames(self.layout, self._frames)
        self.drop()
        return message_of(part, vector)

    def drop(self) -> None:
        self._key, self._frames = None, []


def bytes_of(frame: Buffer) -> Buffer:
    return memoryview(bytearray(frame))


def message_of(part: Part, vector: Any) -> Message:
    if part.kind == KINDS[Model]:
        return Model(part.step, vector, part.round)
    if part.kind == KINDS[Gradient]:
        return Gradient(part.step, vector)
    return Whisper(part.step, vector, part.round - 1 if part.round else None)


def encode(head: Hello | Credit | Part) -> bytes:
    """The header frame."""
    match head:
        case Hello(run, credit, asks):
            fields = [VERSION, HELLO, run, *_credit_fields(credit), int(asks)]
        case Credit():
            fields = [VERSION, CREDIT, *_credit_fields(head)]
        case Part(kind, epoch, step, round_, index, credit):
            fields = [VERSION, kind, epoch, step, round_, index, *_credit_fields(credit)]
    return bytes(msgpack.packb(fields))


def decode(data: bytes | Buffer) -> Hello | Credit | Part:
    """A header frame back. Whatever the bytes are, the only error raised is `WireError`."""
    if len(data) > HEADER_BYTES_MAX:
        raise WireError("header", f"{len(data)} bytes, more than {HEADER_BYTES_MAX}")
    try:
        fields = msgpack.unpackb(
            data, use_list=True, max_array_len=16, max_map_len=0, max_str_len=0, max_bin_len=64
        )
    except Exception as error:  # the zoo of a decoder's exceptions ends here
        raise WireError("header", type(error).__name__) from None
    if type(fields) is not list or len(fields) < 2:
        raise WireError("header", "no array of fields")
    version, kind, *rest = fields
    if type(version) is not int or version != VERSION:
        raise WireError("version", f"{version!r}, not {VERSION}")
    return _decode_fields(kind, rest)


def _decode_fields(kind: object, rest: list[object]) -> Hello | Credit | Part:
    if type(kind) is not int:
        raise WireError("header", "kind is no number")
    if kind == HELLO and len(rest) == 5 and type(rest[0]) is bytes and len(rest[0]) == 16:
        *credit, asks = _numbers(rest[1:])
        return Hello(rest[0], Credit(*credit), asks > 0)
    if kind == CREDIT and len(rest) == 3:
        return Credit(*_numbers(rest))
    if kind in KINDS.values() and len(rest) == 7:
        epoch, step, round_, index, *credit = _numbers(rest)
        return Part(kind, epoch, step, round_, index, Credit(*credit))
    raise WireError("header", f"no message of kind {kind} with {len(rest)} fields")


def _numbers(fields: list[object]) -> list[int]:
    numbers = [field for field in fields if type(field) is int and 0 <= field < 1 << 53]
    if len(numbers) != len(fields):
        raise WireError("header", "a field is no natural number below 2^53")
    return numbers


def _credit_fields(credit: Credit) -> list[int]:
    return [credit.epoch, credit.count, credit.floor]
