"""The process that imported torch once and forks every process of a local run.

A forked process costs milliseconds and shares the libraries' memory; a started one costs seconds.
The launcher forks the zygote from itself where it can, since it has imported all that is needed;
where other threads run, as in a notebook, forking is not safe and the zygote is started instead.
The zygote reads a brief, one JSON object, and tells line by line which child has which process and
how each ended, by its position in the brief.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from byzsgd.experiment.channel import Word, encoded


@dataclass(frozen=True)
class Zygote:
    """The launcher's view of it: `brief` and `account` are pipes to and from it."""

    pid: int
    brief: int
    account: int
    reap: Callable[[], object]
    """To be called once its account has ended, which is when it and all of its children have."""

    @classmethod
    def start(cls, inherited: Sequence[int]) -> "Zygote":
        """Have a zygote that waits for its brief and whose children inherit these descriptors."""
        brief_read, brief_write = os.pipe()
        account_read, account_write = os.pipe()
        if _alone():
            pid = _fork(brief_read, account_write, inherited)
            reap: Callable[[], object] = partial(os.waitpid, pid, 0)
        else:
            process = _spawn(brief_read, account_write, inherited)
            pid, reap = process.pid, process.wait
        os.close(brief_read)
        os.close(account_write)
        return cls(pid, brief_write, account_read, reap)

    def tell(self, brief: Word) -> None:
        with os.fdopen(self.brief, "w") as pipe:
            json.dump(brief, pipe)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def zygote(brief: int, account: int) -> None:
    """Be the zygote: fork the children of the brief and outlive them."""
    from byzsgd.experiment.child import child
    from byzsgd.experiment.config import Experiment
    from byzsgd.experiment.warm import warm

    def tell(kind: str, **details: object) -> None:
        os.write(account, encoded(kind, **details))

    with os.fdopen(brief) as pipe:
        common = json.load(pipe)
    warm(Experiment.from_dict(common["experiment"]))
    gc.freeze()  # or the collector would touch, and so copy, every page of the parent
    sockets = [spec["fd"] for spec in common["children"]]
    children: dict[int, int] = {}
    for position, spec in enumerate(common["children"]):
        others = [account, *(fd for fd in sockets if fd != spec["fd"])]
        children[_child(partial(child, spec, common), others)] = position
    for descriptor in sockets:
        os.close(descriptor)
    for pid, position in children.items():
        tell("forked", child=position, pid=pid)
    while children:
        pid, status = os.wait()
        tell("exited", child=children.pop(pid), code=os.waitstatus_to_exitcode(status))


def _child(work: Callable[[], int], close: Sequence[int]) -> int:
    """Fork a process that does `work` and ends; the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for descriptor in close:
            with suppress(OSError):  # among those listed is the listing itself
                os.close(descriptor)
        code = work()
    finally:
        os._exit(code)  # nothing of the parent's must run again in the child


def _alone() -> bool:
    """Whether a fork is safe: no other thread, of Python or of a library, that may hold a lock."""
    tasks = Path("/proc/self/task")
    return (
        "torch" in sys.modules
        and threading.active_count() == 1
        and tasks.exists()
        and len(list(tasks.iterdir())) == 1
    )


def _fork(brief: int, account: int, inherited: Sequence[int]) -> int:
    def work() -> int:
        os.setsid()  # Ctrl-C is for the launcher
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        zygote(brief, account)
        return 0

    sys.stdout.flush()
    sys.stderr.flush()
    return _child(work, _all_but(brief, account, *inherited))


def _all_but(*kept: int) -> list[int]:
    """Every other open file: a child that held the launcher's would not notice that it is gone."""
    opened = map(int, os.listdir("/proc/self/fd"))
    return [descriptor for descriptor in opened if descriptor > 2 and descriptor not in kept]


def _spawn(brief: int, account: int, inherited: Sequence[int]) -> "subprocess.Popen[bytes]":
    # -P: a folder called nodes where the user happens to be is none of ours
    command = [sys.executable, "-P", "-m", "nodes.launch", str(brief), str(account)]
    environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=[*inherited, brief, account],
        start_new_session=True,
        env=environment,
    )
