"""Vertex covers of bounded size: an exact search that is exponential in nothing but the hard core.

A set of vertices is an int in here, bit v for vertex v. The search itself is in `cover_kernels`,
compiled where numba is there, and goes the same way where it is not.
"""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from byzsgd.aggregators import compiled
from byzsgd.aggregators import cover_kernels as kernels

WIDTH = 64


class OutOfNodes(Exception):  # noqa: N818 - an outcome, not an error
    """The budget is spent, and whether there is a cover is not known."""


class CoverSearch:
    """Looks for covers in graphs on n vertices, opening at most `budget` search nodes in all."""

    def __init__(self, n: int, budget: int) -> None:
        self.n = n
        self.budget = budget
        """How many nodes it may still open."""
        self._packed = np.zeros((n, -(-n // WIDTH) * WIDTH // 8), np.uint8)
        self._compiled = compiled.AVAILABLE
        self._width = WIDTH if self._compiled else n
        self._words = -(-n // self._width)
        self._adjacency = self._zeros(n * self._words)
        # A frame below another has fewer live vertices, and the last one looks at the next.
        frame = kernels.SETS * self._words + kernels.NUMBERS
        self._frames = self._zeros((n + 2) * frame)
        self._scratch = self._zeros(kernels.SETS * self._words + n + 1)
        self._search: Callable[..., tuple[int, int]] = (
            _compiled_search() if self._compiled else kernels.search
        )

    def load(self, edges: npt.NDArray[np.bool_]) -> None:
        """Look in this graph from now on: (n, n), symmetric, False on the diagonal."""
        packed = np.packbits(edges, axis=1, bitorder="little")
        self._packed[:, : packed.shape[1]] = packed
        self._adjacency[:] = (
            self._packed.view(np.int64).ravel() if self._compiled else self.neighbours()
        )

    def neighbours(self) -> list[int]:
        """Of each vertex of the graph in which it looks."""
        whole, size = self._packed.tobytes(), self._packed.shape[1]
        rows = range(0, len(whole), size)
        return [int.from_bytes(whole[at : at + size], "little") for at in rows]

    def cover(self, live: int, size: int) -> int | None:
        """At most `size` vertices of `live` that touch every edge within it, or None if none do.

        Raises `OutOfNodes`.
        """
        frames, words = self._frames, self._words
        frames[: kernels.SETS * words] = self._row(live, 0, live)
        frames[kernels.SETS * words] = size
        state, self.budget = self._search(
            self._adjacency, frames, self._scratch, words, self._width, self.budget
        )
        if state == kernels.SPENT:
            raise OutOfNodes
        return self._set(frames[words : 2 * words]) if state == kernels.FOUND else None

    def _zeros(self, length: int) -> Any:
        return np.zeros(length, np.int64) if self._compiled else [0] * length

    def _row(self, *sets: int) -> Any:
        """Sets as the kernels have them."""
        if not self._compiled:
            return list(sets)
        size = self._packed.shape[1]
        return np.frombuffer(b"".join([each.to_bytes(size, "little") for each in sets]), np.int64)

    def _set(self, row: Any) -> int:
        return int.from_bytes(row.tobytes(), "little") if self._compiled else row[0]


@cache
def _compiled_search() -> Callable[..., tuple[int, int]]:
    """`kernels.search`, compiled from copies of the functions there that call one another only."""
    namespace = dict(vars(kernels))
    for name, function in vars(kernels).items():
        if isinstance(function, FunctionType):
            source = kernels.count64 if name == "count" else function
            copy = FunctionType(source.__code__, namespace, name)
            namespace[name] = compiled.kernel(copy)
    search: Callable[..., tuple[int, int]] = namespace["search"]
    return search
