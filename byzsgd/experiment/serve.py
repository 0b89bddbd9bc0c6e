"""One node, from its parts to its end: what every kind of node process does."""

import asyncio
import resource
import signal
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.experiment.build import build, hears
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import Lines
from byzsgd.observe import Measures
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.malloc import keep_freed_memory
from byzsgd.runtime.node import Node
from byzsgd.runtime.roster import Roster
from byzsgd.runtime.stall import StallMeter
from byzsgd.runtime.zeromq import ZeroMQ

SAY_EVERY_S = 0.1

Endpoints = dict[NodeId, str]


class Reporter:
    """Writes measures to a file, one JSON line a step, and says news, the steps not too often."""

    def __init__(self, measures: Lines, say: Callable[..., None]) -> None:
        self._measures = measures
        self._say = say
        self._said = 0.0

    def stepped(self, step: int, measures: Measures) -> None:
        now = time.monotonic()
        self._measures.write(step=step, seconds=now, **measures)
        if now - self._said >= SAY_EVERY_S:
            self._said = now
            self._say("step", step=step, loss=measures.get("loss"))

    def happened(self, event: str, details: Measures) -> None:
        self._say(event, **details)


async def serve(
    experiment: Experiment,
    me: NodeId,
    key: KeyPair,
    roster: Roster,
    reporter: Reporter,
    save: Callable[[int, Tensor], None],
    meet: Callable[[Node, Endpoints], Roster],
    measure_stall: bool = False,
) -> None:
    """Run the node `me` until it is stopped.

    `meet` is told where the node listens and returns the roster to connect by; it may keep the node
    to stop it. `measure_stall` runs a ticker of 2 ms, which costs. Raises `ConfigError` for what
    the experimenter can mend.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    parts = build(experiment, me)
    window = experiment.plan.window
    node = Node(parts.machine, parts.compute, parts.layout, reporter, save, window)
    transport = ZeroMQ(me, key, roster, hears(experiment, me), parts.layout, window, node)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, node.stop)
    meter = None
    try:
        transport.connect(meet(node, transport.listen()))
        meter = StallMeter(loop) if measure_stall else None
        began = time.process_time()
        node.start(transport)
        await node.over()
        stall = {"stall_s": meter.longest_s} if meter else {}
        used = {"cpu_s": time.process_time() - began, "rss_max_bytes": _rss_max_bytes()}
        reporter.happened("totals", {**stall, **used, **transport.moved()})
    finally:
        if meter:
            meter.stop()
        transport.close()
        node.close()


def _rss_max_bytes() -> int:
    """The most memory that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
