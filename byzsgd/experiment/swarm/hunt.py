"""The swarm itself: cases on every core, the first failing ones shrunk and written down."""

import gc
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import torch

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import write_atomically
from byzsgd.experiment.swarm.cases import Tables, draw
from byzsgd.experiment.swarm.judge import Verdict, judge
from byzsgd.experiment.swarm.shrink import shrink

CHUNK: Final = 5
"""Cases that a process takes at a time: few, so that all cores end together."""
FOUND_MAX: Final = 3
"""After so many failing cases the hunt is over: the next ones most likely say the same."""


@dataclass
class Tally:
    """What a swarm has done so far. Of its `stalls` each is one that the theory allows."""

    worlds: int = 0
    events: int = 0
    steps: int = 0
    stalls: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    found: list["Finding"] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "worlds": self.worlds,
            "events": self.events,
            "steps": self.steps,
            "stalls": self.stalls,
            "seconds": self.seconds,
            "worlds_per_minute": 60 * self.worlds / self.seconds if self.seconds else None,
            "seen": dict(sorted(self.seen.items())),
            "found": [finding.to_dict() for finding in self.found],
        }


@dataclass(frozen=True)
class Finding:
    """A failing case, as it was drawn and as small as it got, with what it says."""

    index: int
    broken: str
    text: str
    path: Path

    def to_dict(self) -> dict[str, Any]:
        return {"index": self.index, "broken": self.broken, "path": str(self.path)}


def hunt(
    seed: int,
    worlds: int,
    folder: Path,
    jobs: int | None = None,
    show: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Enact `worlds` cases of `seed` on `jobs` processes, by default one per core.

    Failing cases are shrunk and written to `folder`, each as an experiment that
    `byzsgd simulate` replays. Which cases there are does not depend on the number of processes.
    """
    start, tally = time.perf_counter(), Tally()
    for indices, verdicts in _verdicts(seed, worlds, jobs or os.cpu_count() or 1):
        for index, verdict in zip(indices, verdicts, strict=True):
            _count(tally, draw(seed, index), verdict)
            if verdict.broken and len(tally.found) < FOUND_MAX:
                tally.found.append(_finding(seed, index, verdict, folder))
        tally.seconds = time.perf_counter() - start
        show(tally)
        if len(tally.found) == FOUND_MAX:
            break
    return tally


def _verdicts(seed: int, worlds: int, jobs: int) -> Iterator[tuple[range, list[Verdict]]]:
    chunks = [range(first, min(first + CHUNK, worlds)) for first in range(0, worlds, CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield chunk, judged(seed, chunk)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    try:
        running = [(chunk, pool.submit(judged, seed, chunk)) for chunk in chunks]
        for chunk, verdicts in running:  # in order, so that the first findings are always the same
            yield chunk, verdicts.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def judged(seed: int, indices: range) -> list[Verdict]:
    return [judge(draw(seed, index)) for index in indices]


def _begin() -> None:
    """Ctrl-C is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    gc.freeze()  # worlds leave much to collect, and that would walk through all of torch


def _count(tally: Tally, case: Tables, verdict: Verdict) -> None:
    tally.worlds += 1
    tally.events += verdict.events
    tally.steps += verdict.steps
    tally.stalls += verdict.explained is not None
    tally.seen.update(kinds(case))


def kinds(case: Tables) -> Iterator[str]:
    """Everything that may go wrong in a case, by name."""
    yield from (f"attack {lie['attack']}" for lie in case["byzantine"].values())
    yield from (f"fault {key}" for key in case["faults"])
    yield f"scheduler {case['simulation']['scheduler']}"
    yield f"mode {case['plan']['mode']}"


def _finding(seed: int, index: int, verdict: Verdict, folder: Path) -> Finding:
    assert verdict.broken
    case = draw(seed, index)
    path = folder / f"{case['name']}.json"
    _write(path, case, verdict.text)  # shrinking takes a while, and may be interrupted
    smallest = shrink(case, lambda smaller: _as_broken(smaller, verdict.broken))
    text = judge(smallest).text
    _write(path, smallest, text)
    return Finding(index, verdict.broken, text, path)


def _as_broken(case: Tables, broken: str | None) -> bool:
    """Whether it fails in the same way, and still within its bounds."""
    return not Experiment.from_dict(case).warnings and judge(case).broken == broken


def _write(path: Path, case: Tables, text: str) -> None:
    write_atomically(path, (json.dumps(case, indent=2) + "\n").encode())
    write_atomically(path.with_suffix(".txt"), text.encode())
