"""A few threads that share a list of things to do."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew:
    """The thread that calls, member 0, and `size` − 1 others, which end with the crew."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._others = ThreadPoolExecutor(max(1, size - 1), "crew")

    def map(self, work: Callable[[int, Item], Result], items: Sequence[Item]) -> list[Result]:
        """`work(member, item)` for every item; the results are in the order of the items.

        Whoever is free takes the next one, so which `member` it was must not matter. Torch computes
        as in the calling thread, with as many threads and with denormals flushed or not.
        """
        todo, done = deque(enumerate(items)), dict[int, Result]()

        def share(member: int) -> None:
            while todo:
                try:
                    index, item = todo.popleft()
                except IndexError:  # another was faster
                    return
                try:
                    done[index] = work(member, item)
                except BaseException:
                    todo.clear()  # nothing of it will be used
                    raise

        def join(member: int) -> None:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushed)
            share(member)

        threads, flushed = torch.get_num_threads(), flushes_denormals()
        count = min(self.size, len(items))
        others = [self._others.submit(join, member) for member in range(1, count)]
        try:
            share(0)
        finally:
            wait(others)
        for other in others:
            other.result()  # raises what it raised
        return [done[index] for index in range(len(items))]


def flushes_denormals() -> bool:
    """Of the thread that asks; torch can set it but not tell."""
    return float(torch.full((1,), 1e-40).mul_(0.5)) == 0
