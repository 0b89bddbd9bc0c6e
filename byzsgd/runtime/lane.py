"""The one thread of a process on which anything of size d happens."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Lane:
    """Runs work in order on one thread and hands each result to the event loop.

    An exception in the work is a bug of ours: it goes to `failed`, on the loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, failed: Callable[[BaseException], None]
    ) -> None:
        self._loop = loop
        self._failed = failed
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "lane", initializer=_prepare)

    def submit(self, work: Callable[[], Result], then: Callable[[Result], None]) -> None:
        """Do `work` on the lane, then call `then` with its result on the loop."""

        def landed(future: Future[Result]) -> None:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._land, future, then)

        self._thread.submit(work).add_done_callback(landed)

    def close(self) -> None:
        """Finish what has begun, forget what has not."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _land(self, future: "Future[Result]", then: Callable[[Result], None]) -> None:
        error = future.exception()
        if error is not None:
            self._failed(error)
        elif not self._closed:
            then(future.result())


def _prepare() -> None:
    """Numbers too small to matter cost a hundred times as much as others unless flushed to zero."""
    torch.set_flush_denormal(True)
