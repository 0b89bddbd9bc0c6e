"""Keep what was allocated: a vector of a few megabytes is allocated anew in every step."""

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
GIB: Final = 1 << 30


def keep_freed_memory() -> None:
    """Have glibc reuse freed blocks, where mapping new ones would cost a page fault per 4 KiB.

    Does nothing on systems without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in (
        (M_MMAP_THRESHOLD, GIB),
        (M_TRIM_THRESHOLD, GIB),
        (M_TOP_PAD, 1 << 20),
        (M_ARENA_MAX, 1),
    ):
        mallopt(option, value)
