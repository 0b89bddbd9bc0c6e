"""Follows a local run from the first process to the last step, and says how it ended.

It only counts and decides: what it hears comes from `Processes`, what it finds goes to the record.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from byzsgd.experiment.channel import Word
from byzsgd.experiment.children import EVALUATOR
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.crashes import Crashes
from byzsgd.experiment.evaluations import Evaluations
from byzsgd.experiment.files import log_path
from byzsgd.experiment.processes import Processes
from byzsgd.experiment.progress import Progress, progress_of
from byzsgd.experiment.record import Record, Status
from byzsgd.experiment.tally import Tally

GRACE_S: Final = 10.0
"""How long an honest node may lag once so many are done that the result stands."""
STUCK_S: Final = 60.0
"""Without a step of any node for so long, a run is given up, once no fault is to end any more."""
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
        self.progress = progress_of(experiment)
        self._tally = Tally(experiment, self.progress.nodes)
        self.config_error: str | None = None
        self.interrupted_late = False
        self._processes = processes
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[Status] = self._loop.create_future()
        self._created = self._began = self._ended = self._loop.time()
        self._endpoints: dict[str, dict[str, str]] = {}
        self._mistakes: dict[str, str] = {}
        self._more: dict[str, Any] = {}
        self._alarm: asyncio.TimerHandle | None = None
        honest = map(str, experiment.honest_servers)
        self._evaluations = Evaluations(record.path, honest, self._ask, self._loop.time)
        self._faults = experiment.fault_plan
        self._crashes = Crashes(self._faults.crashes, processes, self)

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
            "steps": self._tally.step(),
            "diameter": progress.diameter,
            "seconds": max(self._ended - self._began, 1e-9),
            "loss": progress.loss,
            **self._more,
        }

    def exited(self, name: str, code: int) -> None:
        """A process ended. While the run is not over that is a fault, which may be tolerable."""
        mistake = self._mistakes.pop(name, None)
        if self._status.done() or self._crashes.exited(name):
            return
        how = mistake or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")
        self.record.event("died", node=name, how=how)
        if name == EVALUATOR:
            self._end("failed", f"the evaluator died ({how}); {self._log_of(name)}")
            return
        self._say(f"{name} died ({how})")
        if name not in self._endpoints:
            self._end("failed", f"{name} died ({how}) before it was ready; {self._log_of(name)}")
        self._lose(name, how)

    def counts(self, name: str) -> bool:
        return self.progress.nodes[name].state != "dead"

    def crashed(self, name: str, returns: bool) -> None:
        """By plan: who is to come back is still waited for, unless it has done its last step."""
        node = self.progress.nodes[name]
        self.record.event("crashed by plan", node=name, step=node.step)
        self._say(f"{name} crashed by plan")
        if not returns:
            self._lose(name, "crashed by plan")
            return
        node.state = "done" if node.state == "done" else "down"
        self._evaluations.lost(name)

    def stays_away(self, name: str) -> None:
        how = "nothing is left to start it again"
        self.record.event("died", node=name, how=how)
        self._lose(name, how)

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
            case "restarted":
                self._restarted(name, word["step"])
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
        if self._ready:
            self._start()
        self._show(self.progress)

    @property
    def _ready(self) -> bool:
        """Whether all nodes listen, or did."""
        return len(self._endpoints) == len(self.progress.nodes)

    def _start(self) -> None:
        """All nodes listen: tell everybody where, and training begins."""
        self._began = self._loop.time()
        self._more["ready_s"] = self._began - self._created
        self.record.event("ready", nodes=len(self._endpoints), began_s=self._began)
        for name, node in self.progress.nodes.items():
            self._processes.say(name, "roster", endpoints=self._endpoints, began_s=self._began)
            node.state = "running"
        self._crashes.begin(self._loop, self._began, self._endpoints)
        self._rearm_stuck()

    def _stepped(self, name: str, step: int, loss: float | None) -> None:
        node = self.progress.nodes[name]
        node.step = step
        node.loss = loss if loss is not None else node.loss
        progress, elapsed = self.progress, self._loop.time() - self._began
        progress.step = self._tally.step()
        progress.steps_per_second = progress.step / elapsed if elapsed > 0 else None
        progress.loss = self._tally.loss()
        if not self._tally.stands():
            self._rearm_stuck()
        self._show(progress)

    def _saved(self, name: str, step: int) -> None:
        if name in self._evaluations.expected:
            self._evaluations.saved(name, step)

    def _done(self, name: str) -> None:
        node = self.progress.nodes[name]
        if node.state == "done":
            return  # it came back after that
        node.state, node.step = "done", self.experiment.plan.steps
        self._ended = self._loop.time()
        self.progress.step = self._tally.step()
        if self._tally.stands():
            self._rearm(GRACE_S, None)
        self._check_done()
        self._show(self.progress)

    def _evaluated(self, word: Word) -> None:
        progress = self.progress
        progress.accuracy, progress.diameter = word["accuracy"], word["diameter"]
        models_there = self._evaluations.answered(word["step"])
        self.record.evaluation(seconds=models_there - self._began, **word)
        self._check_done()
        self._show(progress)

    def _failed(self, name: str, error: str, config: bool) -> None:
        """The experimenter's mistake ends the run, until all listen: then a node's is its own.

        What fails later, such as a restart on a port that is taken by now, is that node's death.
        """
        self.record.event("failed", node=name, error=error)
        if config and self._ready and name != EVALUATOR:
            self._mistakes[name] = error
        elif config:
            self.config_error = error
            self._end("failed", f"{name}: {error}")

    def _lose(self, name: str, how: str) -> None:
        """Go on without a node, if that can be."""
        self.progress.nodes[name].state = "dead"
        self._evaluations.lost(name)
        self._check_quorums(name, how)
        self._check_done()

    def _restarted(self, name: str, step: int) -> None:
        self.record.event("restarted", node=name, step=step)
        self._crashes.restarted(name)
        self._evaluations.returned(name)
        node = self.progress.nodes[name]
        if node.state == "down":
            node.state, node.step = "running", step
        self._say(f"{name} restarted at step {step}")

    def _check_quorums(self, name: str, how: str) -> None:
        if missing := self._tally.missing():
            self._end("failed", f"{name} died ({how}), and {missing}; {self._log_of(name)}")

    def _check_done(self) -> None:
        """Over when every honest node that lives has done its last step and it was evaluated.

        Where every server lies there is nothing to evaluate.
        """
        steps, evaluable = self.experiment.plan.steps, self.experiment.honest_servers
        if self._tally.all_done() and (not evaluable or self._evaluations.last == steps):
            self._end("finished", "")

    def _rearm_stuck(self) -> None:
        dead = self._tally.dead()
        liars = len(self.experiment.liars)
        why = f"no node has made a step for {STUCK_S:.0f} s"
        lost = f" ({', '.join(dead)} died, and {liars} lie)" if dead else ""
        faults_s = max(0.0, self._began + self._faults.ends_s - self._loop.time())
        self._rearm(faults_s + STUCK_S, why + lost)

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
        for node in self._tally.honest():
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
        self._crashes.close()
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

    def _log_of(self, name: str) -> str:
        """Where it will be once this run has ended, and what it says last."""
        path = log_path(self.record.path, name)
        lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:] if path.exists() else []
        said = " ends with\n  " + "\n  ".join(lines) if lines else " is empty"
        return f"its log {log_path(self.record.final_path, name)}{said}"
