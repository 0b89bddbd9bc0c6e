"""Run an experiment on this machine, one operating-system process per node.

The launcher starts the zygote, which forks the nodes, tells each where the others listen, follows
what they say, and leaves nothing behind: no process, no port, and a record of the run.
"""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from byzsgd.errors import ConfigError
from byzsgd.experiment.conductor import Conductor
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.plots import check_real
from byzsgd.experiment.processes import Links, Processes
from byzsgd.experiment.progress import View, showing
from byzsgd.experiment.record import Record, Run, Status
from byzsgd.runtime.roster import Encryption

Result = TypeVar("Result")
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_local(
    experiment: Experiment,
    *,
    runs: Path = Path("runs"),
    view: View | None = None,
    encryption: Encryption = "curve",
    measure_stall: bool = False,
    deliveries: bool = False,
    measure_cpu: bool = False,
    shared_memory: bool = False,
) -> Run:
    """Train, and return the run's record; its `status` says whether it reached its last step.

    The faults of the experiment happen to real processes. `encryption` is "curve" or, since all
    links are on the loopback, "none"; with `shared_memory`, which needs "none" and Linux, vectors
    are not sent but read from each other's memory. `measure_stall` records how long each event loop
    was away at worst, `deliveries` what each machine was told, in order; with `measure_cpu`
    computations are measured in seconds of CPU. Ctrl-C ends the run as `interrupted`.
    Raises `ConfigError` for what the experimenter can mend, with nothing left running and the
    unfinished record still `.pending`.
    """
    check_real(experiment)
    links = Links(encryption, measure_stall, deliveries, measure_cpu, shared_memory)
    record = Record.begin(experiment, runs)
    ctrl_c: Future[None] = Future()
    try:
        work = _run(experiment, record, view, links, ctrl_c)
        status, conductor = _outside_any_loop(work, ctrl_c)
    except BaseException:
        record.close()
        raise
    if conductor.config_error:
        record.event("failed", error=conductor.config_error)
        record.close()
        raise ConfigError(conductor.config_error)
    run = record.finish(
        status, encryption=encryption, shared_memory=shared_memory, **conductor.result()
    )
    if conductor.interrupted_late:
        raise KeyboardInterrupt
    return run


def _outside_any_loop(work: Coroutine[None, None, Result], ctrl_c: Future[None]) -> Result:
    """Run in an event loop of its own; where this thread has one, as in a notebook, on another.

    No signal reaches that other thread: `ctrl_c` tells it of this one's KeyboardInterrupt.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, work)
        while True:
            try:
                return running.result()
            except KeyboardInterrupt:
                if not ctrl_c.done():
                    ctrl_c.set_result(None)


async def _run(
    experiment: Experiment,
    record: Record,
    view: View | None,
    links: Links,
    ctrl_c: Future[None],
) -> tuple[Status, Conductor]:
    processes = Processes(experiment, record.path, links)
    conductor = Conductor(experiment, record, processes, showing(view))
    asyncio.wrap_future(ctrl_c).add_done_callback(lambda _: conductor.interrupt())
    loop = asyncio.get_running_loop()
    ours = SIGNALS if threading.current_thread() is threading.main_thread() else ()
    for number in ours:
        loop.add_signal_handler(number, conductor.interrupt)
    try:
        await processes.start(conductor)
        return await conductor.over(), conductor
    finally:
        await processes.stop()
        for number in ours:
            loop.remove_signal_handler(number)
