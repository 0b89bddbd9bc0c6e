"""Memory that a node shares with its peers on the same host: a vector is written once for all.

Peers read it from a file that exists in memory only, and into memory of their own. The owner writes
to a file again once nobody has yet to read it.
"""

import fcntl
import mmap
import os
import weakref
from collections.abc import Sequence
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from byzsgd.errors import WireError

HUGE_PAGE: Final = 1 << 21
MISFIT: Final = 0xFFFE
"""The number of a slot that no vector is ever in."""
SEALED: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
"""Who reads it need not fear that it ends sooner than it did when it was looked at."""


class Slot:
    """One file of `nbytes`, known by its `number`. `close` lets go of it."""

    def __init__(self, number: int, nbytes: int) -> None:
        self.number = number
        self.fd = os.memfd_create("byzsgd", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.ftruncate(self.fd, nbytes)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SEALED)
        self.memory = np.frombuffer(mmap.mmap(self.fd, nbytes), dtype=np.uint8)

    def close(self) -> None:
        os.close(self.fd)


class Lease:
    """A slot with a vector in it, which stays as it is for as long as anybody keeps this."""

    __slots__ = ("__weakref__", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot


class Buffers:
    """A node's own memory for what it reads: what nobody looks at any more is used again.

    It is apart from the heap, which so many large blocks of their own sizes would fragment.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._free: list[NDArray[np.uint8]] = []

    def new(self) -> memoryview:
        """Room for a vector, which is its own for as long as anybody has this or a part of it."""
        memory = self._free.pop() if self._free else self._mapped()
        lent = memory[:]
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return lent.data

    def _mapped(self) -> NDArray[np.uint8]:
        pages = mmap.mmap(-1, self.nbytes)
        if self.nbytes >= HUGE_PAGE:
            pages.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(pages, dtype=np.uint8)


class Pool:
    """The slots of one node, as many as are in use at once. One thread writes at a time."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._numbers = count()
        self._slots: list[Slot] = []
        self._free: list[Slot] = []

    def __len__(self) -> int:
        return len(self._slots)

    def write(self, frames: Sequence[memoryview]) -> Lease:
        """A copy of the frames, one after the other, `nbytes` of them together."""
        slot = self._free.pop() if self._free else self._made()
        at = 0
        for frame in frames:
            slot.memory[at : at + len(frame)] = frame
            at += len(frame)
        assert at == self.nbytes, f"{at} bytes instead of {self.nbytes}"
        lease = Lease(slot)
        weakref.finalize(lease, self._free.append, slot).atexit = False
        return lease

    def close(self) -> None:
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._free.clear()

    def _made(self) -> Slot:
        slot = Slot(next(self._numbers), self.nbytes)
        self._slots.append(slot)
        return slot


def misfit(nbytes: int) -> Lease:
    """A liar's: memory of another size than the run's vectors have, gone when nobody keeps it."""
    lease = Lease(Slot(MISFIT, nbytes))
    weakref.finalize(lease, lease.slot.close).atexit = False
    return lease


def shared_by_peer(fd: int, nbytes: int) -> NDArray[np.uint8]:
    """What a peer shares, to be read only. Raises `WireError` for anything but `nbytes` of memory.

    Files on a disk could fail or take their time; what can become smaller would kill its reader.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # for files in memory only
    except OSError:
        raise WireError("memory", "this is no memory to share") from None
    size = os.fstat(fd).st_size
    if not seals & fcntl.F_SEAL_SHRINK or size != nbytes:
        raise WireError("memory", f"{size} bytes with seals {seals}, not {nbytes} sealed ones")
    try:
        pages = mmap.mmap(fd, nbytes, prot=mmap.PROT_READ)
    except OSError as error:
        raise WireError("memory", f"it cannot be read: {error.strerror}") from None
    return np.frombuffer(pages, dtype=np.uint8)
