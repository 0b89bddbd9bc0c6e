"""An event loop whose time only a test moves."""

import threading
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

WAIT_S = 10.0


class Timer:
    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        return self.at_s

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as is needed. Ties of timers are broken the wrong way round."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Timer]] = []
        self._numbers = count(0, -1)
        self._calls: deque[Callable[[], None]] = deque()
        self._called = threading.Semaphore(0)

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: object) -> Timer:
        assert delay_s >= 0
        return self.call_at(self.now + delay_s, callback, *args)

    def call_at(self, at_s: float, callback: Callable[..., None], *args: object) -> Timer:
        timer = Timer(at_s, lambda: callback(*args))
        heappush(self._agenda, (at_s, next(self._numbers), timer))
        return timer

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: object) -> None:
        self._calls.append(lambda: callback(*args))
        self._called.release()

    def pending(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._agenda)

    def until(self, at_s: float) -> None:
        while self._agenda and self._agenda[0][0] <= at_s:
            self.now, _, timer = heappop(self._agenda)
            if not timer.cancelled:
                timer.call()
        self.now = at_s

    def land(self, times: int = 1) -> None:
        """What another thread has asked for."""
        for _ in range(times):
            assert self._called.acquire(timeout=WAIT_S)
            self._calls.popleft()()
