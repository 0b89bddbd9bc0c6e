"""Run an experiment on this machine, one operating-system process per node.

The launcher starts the zygote, which forks the nodes, tells each where the others listen, follows
what they say, and leaves nothing behind: no process, no port, and a record of the run.
"""

import asyncio
import signal
from pathlib import Path
from typing import Protocol

from byzsgd.errors import ConfigError
from byzsgd.experiment.conductor import Conductor
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.processes import Processes
from byzsgd.experiment.progress import Progress
from byzsgd.experiment.record import Record, Run, Status


class View(Protocol):
    def show(self, progress: Progress) -> None: ...


def run_local(
    experiment: Experiment,
    *,
    runs: Path = Path("runs"),
    view: View | None = None,
    encryption: str = "curve",
) -> Run:
    """Train, and return the run's record; its `status` says whether it reached its last step.

    `encryption` is "curve" or, since all links are on the loopback, "none". Ctrl-C ends the run as
    `interrupted`. Raises `ConfigError` for what the experimenter can mend, with nothing left
    running and the unfinished record still `.pending`.
    """
    record = Record.begin(experiment, runs)
    try:
        status, conductor = asyncio.run(_run(experiment, record, view, encryption))
    except BaseException:
        record.close()
        raise
    if conductor.config_error:
        record.event("failed", error=conductor.config_error)
        record.close()
        raise ConfigError(conductor.config_error)
    return record.finish(status, **conductor.result())


def _unseen(progress: Progress) -> None:
    pass


async def _run(
    experiment: Experiment, record: Record, view: View | None, encryption: str
) -> tuple[Status, Conductor]:
    processes = Processes(experiment, record.path, encryption)
    conductor = Conductor(experiment, record, processes, view.show if view else _unseen)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, conductor.interrupt)
    loop.add_signal_handler(signal.SIGTERM, conductor.interrupt)
    try:
        await processes.start(conductor)
        return await conductor.over(), conductor
    finally:
        await processes.stop()
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
