"""The thread for anything of size d: order, whose thread a result lands on, and the end."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator

import pytest
import torch

from byzsgd.runtime.lane import Lane

WAIT_S = 10.0


class Desk:
    """Collects what lands, with the thread it landed on, and wakes who waits for it."""

    def __init__(self) -> None:
        self.landed: list[object] = []
        self.failed: list[BaseException] = []
        self.threads: set[int] = set()
        self._changed = asyncio.Event()

    def land(self, result: object) -> None:
        self.landed.append(result)
        self._note()

    def fail(self, error: BaseException) -> None:
        self.failed.append(error)
        self._note()

    def _note(self) -> None:
        self.threads.add(threading.get_ident())
        self._changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.landed) + len(self.failed) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def lane(desk: Desk) -> AsyncIterator[Lane]:
    lane = Lane(asyncio.get_running_loop(), desk.fail)
    yield lane
    lane.close()


async def test_work_is_done_in_order_on_one_thread_and_lands_on_the_loops(
    desk: Desk, lane: Lane
) -> None:
    workers = set()

    def work(number: int) -> int:
        workers.add(threading.get_ident())
        return number

    for number in range(200):
        lane.submit(lambda number=number: work(number), desk.land)  # type: ignore[misc]
    await desk.until(200)
    assert desk.landed == list(range(200))
    assert desk.threads == {threading.get_ident()}
    assert len(workers) == 1
    assert workers.isdisjoint(desk.threads)


async def test_the_loop_goes_on_while_work_is_done(desk: Desk, lane: Lane) -> None:
    begun, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(begun.set)
        assert release.wait(WAIT_S)
        return "done"

    lane.submit(work, desk.land)
    async with asyncio.timeout(WAIT_S):
        await begun.wait()
    assert not desk.landed
    release.set()
    await desk.until(1)
    assert desk.landed == ["done"]


async def test_an_exception_goes_to_failed_and_the_next_work_is_done(
    desk: Desk, lane: Lane
) -> None:
    error = AssertionError("a bug of ours")

    def work() -> None:
        raise error

    lane.submit(work, desk.land)
    lane.submit(lambda: "next", desk.land)
    await desk.until(2)
    assert desk.failed == [error]
    assert desk.landed == ["next"]
    assert desk.threads == {threading.get_ident()}


async def test_what_lands_may_ask_for_more(desk: Desk, lane: Lane) -> None:
    def again(result: object) -> None:
        desk.land(result)
        if len(desk.landed) < 5:
            lane.submit(lambda: len(desk.landed), again)

    lane.submit(lambda: 0, again)
    await desk.until(5)
    assert desk.landed == [0, 1, 2, 3, 4]


async def test_closing_finishes_what_has_begun_and_forgets_the_rest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane(asyncio.get_running_loop(), desk.fail)
    begun, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    done: list[str] = []

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert release.wait(WAIT_S)
        done.append("begun")

    lane.submit(work, desk.land)
    for _ in range(100):
        lane.submit(lambda: done.append("forgotten"), desk.land)
    async with asyncio.timeout(WAIT_S):
        await begun.wait()
    shutdown = lane._thread.shutdown

    def shut_down(wait: bool, cancel_futures: bool) -> None:
        """The work goes on once everything else was forgotten, while closing waits for it."""
        shutdown(wait=False, cancel_futures=cancel_futures)
        release.set()
        shutdown(wait=wait)

    monkeypatch.setattr(lane._thread, "shutdown", shut_down)
    lane.close()
    await asyncio.sleep(0)
    assert done == ["begun"]
    assert not desk.landed
    assert not desk.failed


async def test_a_result_that_was_on_its_way_when_the_lane_closed_does_not_land(desk: Desk) -> None:
    lane = Lane(asyncio.get_running_loop(), desk.fail)
    done = threading.Event()
    lane.submit(done.set, desk.land)
    assert done.wait(WAIT_S)
    lane.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not desk.landed


async def test_closing_twice_and_without_work_is_fine(desk: Desk) -> None:
    before = threading.active_count()
    for _ in range(20):
        lane = Lane(asyncio.get_running_loop(), desk.fail)
        lane.close()
        lane.close()
    assert threading.active_count() == before


async def test_numbers_too_small_to_matter_are_zero_on_the_lane(desk: Desk, lane: Lane) -> None:
    """In a thread of its own: elsewhere they are what they were."""
    smallest = torch.finfo(torch.float32).smallest_normal

    def halves() -> torch.Tensor:
        return torch.full((1000,), smallest) * 0.5

    assert float(halves().max()) == smallest / 2
    lane.submit(halves, desk.land)
    lane.submit(lambda: torch.full((10, 10), smallest) @ torch.full((10, 10), 0.01), desk.land)
    await desk.until(2)
    for result in desk.landed:
        assert isinstance(result, torch.Tensor)
        assert torch.count_nonzero(result) == 0
    assert float(halves().max()) == smallest / 2


async def test_other_numbers_are_the_same_on_the_lane(desk: Desk, lane: Lane) -> None:
    values = torch.tensor([1.0, -0.0, math.inf, -math.inf, math.nan, 1e-37, 3e38])
    lane.submit(lambda: values * 1.0, desk.land)
    await desk.until(1)
    result = desk.landed[0]
    assert isinstance(result, torch.Tensor)
    torch.testing.assert_close(result, values, rtol=0, atol=0, equal_nan=True)
