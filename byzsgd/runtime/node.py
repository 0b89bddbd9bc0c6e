"""The driver: feeds a machine with what happens and does what it asks for.

Everything here runs on the event loop and is short. Work of size d goes to the lane, frames to the
transport; the machine decides all the rest.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from torch import Tensor

from byzsgd.cluster import REPEATED, Cluster, NodeId
from byzsgd.compute import Compute
from byzsgd.errors import ConfigError, WireError
from byzsgd.observe import Lags, Observer, Outcome, Stopwatch
from byzsgd.protocol import (
    Done,
    Effect,
    Event,
    Gradient,
    Machine,
    Malformed,
    Message,
    Model,
    Prepare,
    Received,
    Save,
    Send,
    SetTimer,
    Started,
    TimerFired,
    round_of,
    vector_of,
)
from byzsgd.runtime.flawed import flawed
from byzsgd.runtime.lane import Lane
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.slow import SlowLane
from byzsgd.runtime.transport import Transport
from byzsgd.wire import KINDS, Layout, frames_of

WORTH_PREPARING: Final = 1 << 20
"""Of shorter vectors going to the lane and back takes longer than what could be done there."""


class Node:
    """One node of a run, until `stop` or a failure.

    `save` writes a checkpoint, on the lane; `window` is the plan's; a slow node is told how slow it
    is by `stretch`. The transport is given to `start`, since it needs the node to listen to it.
    """

    _transport: Transport

    def __init__(
        self,
        machine: Machine,
        compute: Compute,
        layout: Layout,
        observer: Observer,
        save: Callable[[Save], None],
        window: int,
        stretch: Callable[[], float] | None = None,
    ) -> None:
        self.me = compute.me
        self.machine = machine
        self.observer = observer
        self.refusals: Counter[tuple[NodeId, str]] = Counter()
        self.lags = Lags()
        self._compute = compute
        self._layout = layout
        self._save = save
        self._spare = max(0, window - REPEATED)
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._uncaught)
        lane = (self._loop, self.fail)
        self._lane = SlowLane(*lane, stretch) if stretch else Lane(*lane)
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._watch = Stopwatch(time.monotonic())
        self._strangers: set[NodeId] = set()
        self._busy_s = 0.0

    def start(self, transport: Transport) -> None:
        self._transport = transport
        self.dispatch(Started())

    async def over(self) -> None:
        """Wait for the end; raises what made the node fail."""
        await self._over

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._lane.close()

    def stop(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End the node: a bug of ours, or a configuration that cannot work."""
        if not self._over.done():
            self._over.set_exception(error)

    def dispatch(self, event: Event) -> None:
        """One event through the machine, and its effects out."""
        if self._over.done():
            return
        step, phase = self.machine.step, self.machine.phase
        effects = self.machine.handle(event, self._loop.time())
        # Not the loop's time: that is of whole milliseconds.
        self._watch.enter(self.machine.phase, time.monotonic())
        if self.machine.step != step:
            busy_s = self._transport.busy_s()
            self._watch.add({"send_s": busy_s - self._busy_s})
            self._busy_s = busy_s
            self.observer.stepped(self.machine.step, self._watch.lap())
        if (self.machine.step, self.machine.phase) != (step, phase):
            self._transport.grant(self.machine.step, self.machine.kept)
        for effect in effects:
            self._perform(effect)

    def fired(self, timer: TimerFired) -> None:
        """Who waited in vain may hold only what does not help: room for what is said again."""
        self.dispatch(timer)
        if not self._over.done():
            kept = self.machine.kept
            self._transport.grant(self.machine.step, lambda peer: min(kept(peer), self._spare))

    def received(self, sender: NodeId, message: Message) -> None:
        self.lags.heard(self.machine.step, message)
        self.dispatch(Received(sender, message))

    def refused(self, sender: NodeId, error: WireError) -> None:
        """A peer's fault is counted. With more strangers than f the stranger is this node."""
        self.refusals[sender, error.reason] += 1
        if self.refusals[sender, error.reason] == 1:
            self.observer.happened("refused", {"peer": str(sender), "reason": str(error)})
        if error.reason == "run":
            self._strangers.add(sender)
            self._check_strangers()

    def linked(self, peer: NodeId, up: bool) -> None:
        self.observer.happened("link up" if up else "link down", {"peer": str(peer)})

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case SetTimer(name, step, at):
                self._set_timer(name, step, at)
            case Save(step):
                self._lane.submit(lambda: self._save(effect), lambda _: self._saved(step))
            case Done():
                # After whatever is still to be saved.
                self._lane.submit(lambda: None, lambda _: self.observer.happened("done", {}))
            case Prepare() if self._layout.nbytes < WORTH_PREPARING:
                pass
            case Prepare():
                self._lane.submit(lambda: self._compute.prepare(effect), self._watch.add)
            case computation:
                self._lane.submit(lambda: self._compute.run(computation), self._computed)

    def _send(self, effect: Send) -> None:
        """Encode once for all receivers: a view of float32, any other type is work for the lane."""
        message = effect.message
        vector = vector_of(message)
        if isinstance(message, Malformed):
            kind = KINDS[Model if self.me.role == "server" else Gradient]
            self._transport.send(effect.to, flawed(message, kind, self._layout))
        elif vector is None:
            self._ship(effect, [], 0.0)
        elif self._layout.dtype == "float32":
            self._ship(effect, *self._encode(vector))
        else:
            self._lane.submit(
                lambda: self._encode(vector), lambda encoded: self._ship(effect, *encoded)
            )

    def _encode(self, vector: Tensor) -> tuple[list[memoryview], float]:
        """The frames, and the seconds that it took."""
        start = time.perf_counter()
        frames = frames_of(vector, self._layout)
        return frames, time.perf_counter() - start

    def _ship(self, effect: Send, frames: list[memoryview], seconds: float) -> None:
        self._watch.add({"encode_s": seconds})
        message = effect.message
        parcel = Parcel(KINDS[type(message)], message.step, round_of(message), frames)
        self._transport.send(effect.to, parcel)

    def _set_timer(self, name: str, step: int, at: float) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = self._loop.call_at(at, self.fired, TimerFired(name, step))

    def _computed(self, outcome: Outcome) -> None:
        self._watch.add(outcome.measures)
        self._watch.note(outcome.notes)
        self.dispatch(outcome.event)

    def _saved(self, step: int) -> None:
        self.observer.happened("saved", {"step": step})

    def _check_strangers(self) -> None:
        cluster: Cluster = self._compute.settings.cluster
        for role, allowed in (("server", cluster.f_servers), ("worker", cluster.f_workers)):
            strangers = sorted(node for node in self._strangers if node.role == role)
            if len(strangers) > allowed:
                names = ", ".join(map(str, strangers))
                self.fail(
                    ConfigError(
                        f"{self.me} and {names} do not work on the same experiment and roster: "
                        "start all nodes with equal files (compare `byzsgd plan FILE --json`)"
                    )
                )

    def _uncaught(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.fail(context.get("exception") or AssertionError(context["message"]))
