"""A connection of two processes on one host: words as datagrams, vectors in shared memory.

A word is one datagram: how many vectors of the peer's have been read, the number of the slot that
the vector is in, if there is one, and the header that every transport has. The slot's file comes
with the first word that names it.

A vector is read into memory of this node's own before it is delivered, piece by piece, so that
whatever the peer writes to its memory afterwards changes nothing. It may write there as soon as it
hears that all have read it; or as soon as the connection has ended, so what was read counts only if
the connection still stands after that.
"""

import array
import os
import select
import socket
import struct
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byzsgd.errors import WireError
from byzsgd.runtime.memory_pool import MISFIT, Buffers, Lease, shared_by_peer
from byzsgd.wire import HEADER_BYTES_MAX

PIECE_BYTES: Final = 1 << 20
"""Read at a time: a tenth of a millisecond."""
PREFIX: Final = struct.Struct("<IH")
NO_SLOT: Final = 0xFFFF
SLOTS_MAX: Final = 256
"""Of one peer are known at most so many."""
WORD_BYTES_MAX: Final = PREFIX.size + HEADER_BYTES_MAX
RIGHTS_BYTES: Final = socket.CMSG_SPACE(4)


class Unsent(NamedTuple):
    head: bytes
    lease: Lease | None


class Connection:
    """What is known of one connection, and goes with it."""

    def __init__(self, connected: socket.socket, buffers: Buffers, lent_max: int) -> None:
        self.socket = connected
        self.unsent: Unsent | None = None
        self.reading: Reading | None = None
        self.untold = 0
        self._buffers = buffers
        self._lent_max = lent_max
        self._head = b""
        self._read = 0
        self._lent: deque[Lease] = deque()
        self._returned = 0
        self._known: set[int] = set()
        self._shared: dict[int, NDArray[np.uint8]] = {}
        self._end = select.poll()
        self._end.register(connected, select.POLLRDHUP)

    @property
    def lent_all(self) -> bool:
        """Whether the peer has so much to read that nothing more is said to it."""
        return len(self._lent) >= self._lent_max

    def close(self) -> None:
        """The peer, which may be reading what was lent to it, can tell from now on."""
        self.socket.close()

    def say(self, head: bytes, lease: Lease | None) -> bool:
        """Send a word; False where it does not fit now."""
        number = lease.slot.number if lease else NO_SLOT
        word = PREFIX.pack(self._read & 0xFFFFFFFF, number) + head
        rights = [] if lease is None or number in self._known else _rights(lease.slot.fd)
        try:
            self.socket.sendmsg([word], rights)
        except BlockingIOError:
            return False
        if lease and number != MISFIT:  # which no peer will ever have read
            self._known.add(number)
            self._lent.append(lease)
        self.untold, self.unsent = 0, None
        return True

    def hear(self) -> bool:
        """Receive a word, if there is one. Raises `WireError`, and `OSError` at the end."""
        try:
            word, rights, flags, _ = self.socket.recvmsg(WORD_BYTES_MAX, RIGHTS_BYTES)
        except BlockingIOError:
            return False
        fd = _fd_of(rights)
        if not word and fd is None:
            raise ConnectionResetError
        try:
            self._understand(word, fd, bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))
        finally:
            if fd is not None:
                os.close(fd)  # what it holds has been mapped
        return True

    def heard(self) -> tuple[bytes, memoryview | None]:
        """The header of the word that was received, and the vector that came with it."""
        if self.reading is None:
            return self._head, None
        body, self.reading = self.reading.body, None
        if self._end.poll(0):
            raise ConnectionResetError
        self._read += 1
        self.untold += 1
        return self._head, body

    def _understand(self, word: bytes, fd: int | None, cut: bool) -> None:
        if cut or len(word) < PREFIX.size:
            raise WireError("header", f"{len(word)} bytes, or more than {WORD_BYTES_MAX}")
        read, number = PREFIX.unpack_from(word)
        self._head = word[PREFIX.size :]
        self._take_back(read)
        if fd is not None:
            if number in self._shared or len(self._shared) == SLOTS_MAX or number == NO_SLOT:
                raise WireError("memory", f"slot {number} is one too many")
            self._shared[number] = shared_by_peer(fd, self._buffers.nbytes)
        if number != NO_SLOT:
            if number not in self._shared:
                raise WireError("memory", f"slot {number} has no file")
            self.reading = Reading(self._shared[number], self._buffers.new())

    def _take_back(self, read: int) -> None:
        """What the peer has read is its owner's again, and never more than was lent."""
        returned = (read - self._returned) & 0xFFFFFFFF
        if returned > len(self._lent):
            raise WireError("memory", f"{returned} read of {len(self._lent)}")
        self._returned = read
        for _ in range(returned):
            self._lent.popleft()


class Reading:
    """A vector on its way from a peer's memory into this node's own."""

    def __init__(self, shared: NDArray[np.uint8], body: memoryview) -> None:
        self._shared = shared
        self._own = np.frombuffer(body, dtype=np.uint8)
        self._at = 0
        self.body = body

    @property
    def done(self) -> bool:
        return self._at >= len(self.body)

    def read(self) -> None:
        piece = slice(self._at, self._at + PIECE_BYTES)
        self._own[piece] = self._shared[piece]
        self._at += PIECE_BYTES


def _rights(fd: int) -> list[tuple[int, int, "array.array[int]"]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]


def _fd_of(rights: list[tuple[int, int, bytes]]) -> int | None:
    """The one file that there was room for."""
    fds = array.array("i")
    for level, kind, data in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds[0] if fds else None
