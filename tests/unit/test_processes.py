"""The launcher's side of its processes, where these fail before they could say so."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.processes import Links, Processes
from byzsgd.experiment.zygote import Zygote


class Audience:
    def __init__(self) -> None:
        self.broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def heard(self, name: str, word: dict[str, Any]) -> None: ...

    def exited(self, name: str, code: int) -> None: ...

    def broke(self, error: BaseException) -> None:
        if not self.broken.done():
            self.broken.set_result(error)


def stillborn(inherited: Sequence[int]) -> Zygote:
    """A zygote that is gone before it has read its brief."""
    brief_read, brief_write = os.pipe()
    account_read, account_write = os.pipe()
    os.close(account_write)
    return Zygote(os.getpid(), brief_write, account_read, lambda: os.close(brief_read))


def test_a_zygote_that_dies_before_it_forked_is_no_endless_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seen as a launcher that waited for ever: the zygote could not import what it needed."""
    monkeypatch.setattr(Zygote, "start", stillborn)
    experiment = Experiment(
        name="stillborn", cluster={"servers": 1, "workers": 1}, plan={"steps": 1}
    )

    async def launch() -> BaseException:
        processes, audience = Processes(experiment, tmp_path, Links("none")), Audience()
        await processes.start(audience)
        error = await audience.broken
        await processes.stop()
        return error

    error = asyncio.run(asyncio.wait_for(launch(), timeout=60))
    assert "ended before it had done so" in str(error)
