"""The child processes that a local run needs, each as the launcher sees it."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from byzsgd.experiment.config import Experiment

EVALUATOR: Final = "evaluator"


@dataclass
class Child:
    """A process of the node `name`, or the evaluator. A spare does not act before it is told."""

    name: str
    spare: bool = False
    killed: bool = False
    pid: int | None = None
    writer: asyncio.StreamWriter | None = None

    def kill(self) -> None:
        """At once, if it lives."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def children_of(experiment: Experiment) -> list[Child]:
    """All that a run may need: they are forked at once, and never later."""
    crashes = experiment.fault_plan.crashes
    spares = [Child(str(crash.node), spare=True) for crash in crashes if crash.until_s]
    first = [Child(str(node)) for node in experiment.cluster.nodes]
    return [*first, Child(EVALUATOR), *spares]


def pss_bytes(pid: int) -> int:
    """Its memory, of shared pages its share; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
