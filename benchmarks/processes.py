"""Processes that do something together, timed from one meeting of all to the next."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

Part = Callable[[Connection], None]
"""What one process does. It calls `meet` twice: when it is warm, and when it has done its share."""

fork = multiprocessing.get_context("fork")


class Timed(NamedTuple):
    """Between the two meetings: the clock's seconds, and those of CPU of all processes."""

    wall_s: float
    cpu_s: float


def meet(pipe: Connection) -> None:
    """Tell one's CPU time, and go on when all others have got here."""
    pipe.send(time.process_time())
    pipe.recv()


def part_of(do: Callable[[Any, Connection], None], who: Any) -> Part:
    return lambda pipe: do(who, pipe)


def timed(parts: Sequence[Part]) -> Timed:
    """Run all parts, each in a process of its own, forked from this one."""
    pipes, processes = [], []
    for part in parts:
        ours, theirs = fork.Pipe()
        process = fork.Process(target=part, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    begun = [pipe.recv() for pipe in pipes]
    start = time.perf_counter()
    for pipe in pipes:
        pipe.send(None)
    ended = [pipe.recv() for pipe in pipes]
    wall_s = time.perf_counter() - start
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(None)
        process.join()
    return Timed(wall_s, sum(ended) - sum(begun))
