"""One node, from its parts to its end: what every kind of node process does."""

import asyncio
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from byzsgd.cluster import NodeId
from byzsgd.experiment.build import Saved, build, hears
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.deliveries import Deliveries, Recorded
from byzsgd.experiment.environment import cores
from byzsgd.experiment.files import Lines
from byzsgd.experiment.plots import relays_of
from byzsgd.experiment.totals import told
from byzsgd.faults import Fates
from byzsgd.observe import Measures
from byzsgd.protocol import Save
from byzsgd.runtime.chaos import Chaos
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.malloc import keep_freed_memory
from byzsgd.runtime.node import Node
from byzsgd.runtime.roster import Roster
from byzsgd.runtime.shared_memory import SharedMemory
from byzsgd.runtime.stall import StallMeter
from byzsgd.runtime.transport import Transport
from byzsgd.runtime.zeromq import ZeroMQ

SAY_EVERY_S = 0.1

Endpoints = dict[NodeId, str]
Links = ZeroMQ | SharedMemory


class Reporter:
    """Writes measures to a file, one JSON line a step, and says news, the steps not too often."""

    def __init__(self, measures: Lines, say: Callable[..., None]) -> None:
        self._measures = measures
        self._say = say
        self._said = 0.0

    def stepped(self, step: int, measures: Measures) -> None:
        now = time.monotonic()
        used = time.process_time()
        self._measures.write(step=step, seconds=now, process_cpu_s=used, **measures)
        if now - self._said >= SAY_EVERY_S:
            self._said = now
            self._say("step", step=step, loss=measures.get("loss"))

    def happened(self, event: str, details: Measures) -> None:
        self._say(event, **details)


class Clock:
    """The seconds since training started, which the faults' times are meant in."""

    def __init__(self) -> None:
        self.began_s = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self.began_s


@dataclass(frozen=True)
class Extras:
    """What not every node has.

    `saved` is what a restarted one goes on from. `clock` tells when faults begin and end: it starts
    with the node unless somebody knows better. `measure_stall` runs a ticker of 2 ms, which costs;
    with `measure_cpu` computations are measured in seconds of CPU.
    """

    saved: Saved | None = None
    clock: Clock = field(default_factory=Clock)
    deliveries: Deliveries | None = None
    measure_stall: bool = False
    measure_cpu: bool = False


async def serve(
    experiment: Experiment,
    me: NodeId,
    key: KeyPair,
    roster: Roster,
    reporter: Reporter,
    save: Callable[[Save], None],
    meet: Callable[[Node, Endpoints], Roster],
    extras: Extras | None = None,
) -> None:
    """Run the node `me` until it is stopped.

    `meet` is told where the node listens and returns the roster to connect by; it may keep the node
    to stop it. Raises `ConfigError` for what the experimenter can mend.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    extras = extras or Extras()
    clock = time.thread_time if extras.measure_cpu else time.perf_counter
    parts = build(experiment, me, extras.saved, clock)
    log = extras.deliveries
    machine = Recorded(parts.machine, log) if log else parts.machine
    window, stretch = experiment.plan.window, _stretch(me, extras.clock, experiment)
    node = Node(machine, parts.compute, parts.layout, reporter, save, window, stretch)
    make_links = SharedMemory if roster.shares_memory else ZeroMQ
    heard, relays = hears(experiment, me), relays_of(experiment, me)
    links = make_links(me, key, roster, heard, parts.layout, window, node, relays)
    chaos = _chaos(me, links, extras.clock, experiment)
    transport: Transport = chaos or links
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, node.stop)
    meter = None
    try:
        links.connect(meet(node, links.listen()))
        meter = StallMeter(loop) if extras.measure_stall else None
        began = time.process_time()
        node.start(transport)
        await node.over()
        stall = {"stall_s": meter.longest_s} if meter else {}
        used = {"cpu_s": time.process_time() - began, **_machine(extras)}
        moved = {"vector_bytes": parts.layout.nbytes, **links.moved(), "links": links.by_peer()}
        faults = {f"vectors_{fate}": n for fate, n in chaos.counts.items()} if chaos else {}
        rest = told(node.lags, parts.machine, node.refusals)
        reporter.happened("totals", {**stall, **used, **moved, **faults, **rest})
    finally:
        if meter:
            meter.stop()
        transport.close()
        node.close()


def _chaos(me: NodeId, links: Links, clock: Clock, experiment: Experiment) -> Chaos | None:
    """Stands before the links if the network is to have faults."""
    faults = experiment.fault_plan
    if not faults.on_messages:
        return None
    fate = Fates(faults, experiment.seed).fate
    window, relays = experiment.plan.window, relays_of(experiment, me)
    return Chaos(me, links, fate, clock, window, asyncio.get_running_loop(), relays)


def _stretch(me: NodeId, clock: Clock, experiment: Experiment) -> Callable[[], float] | None:
    """How slow the node is at the moment, if it ever is to be slow."""
    faults = experiment.fault_plan
    if not any(me in slow.nodes for slow in faults.slow):
        return None
    return lambda: faults.stretch(clock(), me)


def _machine(extras: Extras) -> dict[str, Any]:
    """How it was measured, on what, and with how much memory."""
    clock = "cpu" if extras.measure_cpu else "wall"
    return {"clock": clock, "cores": cores(), "rss_max_bytes": _rss_max_bytes()}


def _rss_max_bytes() -> int:
    """The most memory that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
