"""Follows a local run from the first process to the last step, and says how it ended.

It only counts and decides: what it hears comes from `Processes`, what it finds goes to the record.
"""

import asyncio
from collections.abc import Callable
from statistics import fmean, median_low
from typing import Any, Final

from byzsgd.cluster import NodeId
from byzsgd.experiment.channel import Word
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.evaluations import Evaluations
from byzsgd.experiment.files import log_path
from byzsgd.experiment.processes import EVALUATOR, Processes
from byzsgd.experiment.progress import NodeProgress, Progress
from byzsgd.experiment.record import Record, Status

GRACE_S: Final = 10.0
"""How long an honest node may lag once so many are done that the result stands."""
STUCK_S: Final = 60.0
"""Without a step of any node for so long, a run is given up."""
LOG_LINES: Final = 6


class Conductor:
    """One local run. `show` is called whenever there is something new to see."""

    def __init__(
        self,
        experiment: Experiment,
        record: Record,
        processes: Processes,
        show: Callable[[Progress], None],
    ) -> None:
        self.experiment = experiment
        self.record = record
        self.progress = _progress(experiment)
        self.config_error: str | None = None
        self.interrupted_late = False
        self._processes = processes
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[Status] = self._loop.create_future()
        self._created = self._began = self._ended = self._loop.time()
        self._endpoints: dict[str, dict[str, str]] = {}
        self._more: dict[str, Any] = {}
        self._alarm: asyncio.TimerHandle | None = None
        honest = map(str, experiment.honest_servers)
        self._evaluations = Evaluations(record.path, honest, self._ask)

    async def over(self) -> Status:
        return await self._status

    def interrupt(self) -> None:
        """End the run; where it has just ended by itself, the caller is to hear of it."""
        if not self._status.done():
            self._end("interrupted", "interrupted")
        elif self._status.exception() is None and self._status.result() != "interrupted":
            self.interrupted_late = True

    def result(self) -> dict[str, Any]:
        """What the record says of the end."""
        progress = self.progress
        return {
            "accuracy": progress.accuracy,
            "steps": self._step() if self._endpoints else 0,
            "diameter": progress.diameter,
            "seconds": max(self._ended - self._began, 1e-9),
            "loss": progress.loss,
            **self._more,
        }

    def exited(self, name: str, code: int) -> None:
        """A process ended. While the run is not over that is a fault, which may be tolerable."""
        if self._status.done():
            return
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        self.record.event("died", node=name, how=how)
        if name == EVALUATOR:
            self._end("failed", f"the evaluator died ({how}); {self._log_of(name)}")
            return
        self.progress.nodes[name].state = "dead"
        self._evaluations.lost(name)
        self._say(f"{name} died ({how})")
        if name not in self._endpoints:
            self._end("failed", f"{name} died ({how}) before it was ready; {self._log_of(name)}")
        self._check_quorums(name, how)
        self._check_done()

    def broke(self, error: BaseException) -> None:
        if not self._status.done():
            self._status.set_exception(error)

    def heard(self, name: str, word: Word) -> None:
        kind = word.pop("kind")
        match kind:
            case "listening":
                self._listening(name, word)
            case "step":
                self._stepped(name, word["step"], word["loss"])
            case "saved":
                self._saved(name, word["step"])
            case "done":
                self._done(name)
            case "evaluated":
                self._evaluated(word)
            case "failed":
                self._failed(name, word["error"], word["config"])
            case _:
                self.record.event(kind, node=name, **word)

    def _listening(self, name: str, word: Word) -> None:
        if name == EVALUATOR:
            return
        self.progress.nodes[name].state = "ready"
        self._endpoints[name] = word["endpoints"]
        if len(self._endpoints) == len(self.progress.nodes):
            self._start()
        self._show(self.progress)

    def _start(self) -> None:
        """All nodes listen: tell everybody where, and training begins."""
        self._began = self._loop.time()
        self._more["ready_s"] = self._began - self._created
        self.record.event("ready", nodes=len(self._endpoints))
        for name, node in self.progress.nodes.items():
            self._processes.say(name, "roster", endpoints=self._endpoints)
            node.state = "running"
        self._rearm_stuck()

    def _stepped(self, name: str, step: int, loss: float | None) -> None:
        node = self.progress.nodes[name]
        node.step = step
        node.loss = loss if loss is not None else node.loss
        progress, elapsed = self.progress, self._loop.time() - self._began
        progress.step = self._step()
        progress.steps_per_second = progress.step / elapsed if elapsed > 0 else None
        losses = [n.loss for n in self._honest("worker") if n.loss is not None]
        progress.loss = fmean(losses) if losses else None
        if not self._result_stands():
            self._rearm_stuck()
        self._show(progress)

    def _saved(self, name: str, step: int) -> None:
        if name in self._evaluations.expected:
            self._evaluations.saved(name, step)

    def _done(self, name: str) -> None:
        node = self.progress.nodes[name]
        node.state, node.step = "done", self.experiment.plan.steps
        self._ended = self._loop.time()
        self.progress.step = self._step()
        if self._result_stands():
            self._rearm(GRACE_S, None)
        self._check_done()
        self._show(self.progress)

    def _result_stands(self) -> bool:
        """Whether so many servers are done that a liar among them could not have the last word."""
        servers = self._honest("server")
        done = sum(server.state == "done" for server in servers)
        return done >= min(self.experiment.cluster.rejoin_quorum, len(servers))

    def _evaluated(self, word: Word) -> None:
        progress, elapsed = self.progress, self._loop.time() - self._began
        progress.accuracy, progress.diameter = word["accuracy"], word["diameter"]
        self.record.evaluation(seconds=elapsed, **word)
        self._evaluations.answered(word["step"])
        self._check_done()
        self._show(progress)

    def _failed(self, name: str, error: str, config: bool) -> None:
        self.record.event("failed", node=name, error=error)
        if config:
            self.config_error = error
            self._end("failed", f"{name}: {error}")

    def _check_quorums(self, name: str, how: str) -> None:
        cluster = self.experiment.cluster
        for role, least in (("server", cluster.q_servers), ("worker", cluster.q_workers)):
            alive = [
                node
                for node, progress in self.progress.nodes.items()
                if NodeId.parse(node).role == role and progress.state != "dead"
            ]
            if len(alive) < least:
                why = f"{name} died ({how}), and {least} {role}s are needed: {len(alive)} are left"
                self._end("failed", f"{why}; {self._log_of(name)}")
                return

    def _check_done(self) -> None:
        """Over when every honest node that lives has done its last step and it was evaluated."""
        honest = self._honest()
        if honest and all(n.state == "done" for n in honest):
            self._finish()

    def _finish(self) -> None:
        if self._evaluations.last == self.experiment.plan.steps:
            self._end("finished", "")

    def _rearm_stuck(self) -> None:
        dead = [name for name, node in self.progress.nodes.items() if node.state == "dead"]
        liars = len(self.experiment.liars)
        why = f"no node has made a step for {STUCK_S:.0f} s"
        lost = f" ({', '.join(dead)} died, and {liars} lie)" if dead else ""
        self._rearm(STUCK_S, why + lost)

    def _rearm(self, delay_s: float, failure: str | None) -> None:
        """Set the one alarm: with a `failure` a run is given up, else stragglers are."""
        if self._alarm:
            self._alarm.cancel()
        if failure:
            self._alarm = self._loop.call_later(delay_s, self._end, "failed", failure)
        else:
            self._alarm = self._loop.call_later(delay_s, self._leave_behind)

    def _leave_behind(self) -> None:
        """The result stands without those who are still on their way."""
        for node in self._honest():
            if node.state != "done":
                self.record.event("left behind", node=node.node, step=node.step)
                self._evaluations.lost(node.node)
                node.state = "dead"
        self._check_done()

    def _end(self, status: Status, message: str) -> None:
        if self._status.done():
            return
        if self._alarm:
            self._alarm.cancel()
        self._more |= self._processes.pss_bytes()
        self._more["message"] = message
        if status != "finished":
            self._ended = self._loop.time()
        self._say(message)
        self._status.set_result(status)

    def _ask(self, step: int, files: Any) -> None:
        self._processes.say(EVALUATOR, "evaluate", step=step, files=list(files))

    def _say(self, message: str) -> None:
        self.progress.message = message
        self._show(self.progress)

    def _step(self) -> int:
        steps = [n.step for n in self._honest("server")]
        return median_low(steps) if steps else 0

    def _honest(self, role: str | None = None) -> list[NodeProgress]:
        """The honest nodes that live, of one side or of both."""
        return [
            self.progress.nodes[str(node)]
            for node in self.experiment.honest
            if role in (None, node.role) and self.progress.nodes[str(node)].state != "dead"
        ]

    def _log_of(self, name: str) -> str:
        """Where it will be once this run has ended, and what it says last."""
        path = log_path(self.record.path, name)
        lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:] if path.exists() else []
        said = " ends with\n  " + "\n  ".join(lines) if lines else " is empty"
        return f"its log {log_path(self.record.final_path, name)}{said}"


def _progress(experiment: Experiment) -> Progress:
    nodes = {
        str(node): NodeProgress(
            str(node), experiment.liars[node].attack if node in experiment.liars else None
        )
        for node in experiment.cluster.nodes
    }
    return Progress(experiment.name, experiment.plan.steps, nodes)
