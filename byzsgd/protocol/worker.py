"""A worker: the median of q_ps models, a gradient there (arXiv 1905.03853, section 4, algorithm 1).

models ──q_ps──▶ contracting ──▶ gradient ──▶ models
   └─q_ps of the last step──▶ done

Who waits in vain, and who is done, says its latest gradients again: somebody may have lost them.
"""

from collections import Counter, deque
from typing import Final

from byzsgd.cluster import REPEATED, Cluster, NodeId, Plan
from byzsgd.protocol.effects import ComputeGradient, Contract, Done, Effect, Send, SetTimer
from byzsgd.protocol.events import (
    Contracted,
    Event,
    GradientComputed,
    Received,
    Started,
    TimerFired,
)
from byzsgd.protocol.messages import Gradient, Model, Vector
from byzsgd.protocol.quorum import Quorum

PHASES: Final = {
    "starting": {"models"},
    "models": {"contracting", "done"},
    "contracting": {"gradient"},
    "gradient": {"models", "done"},
    "done": set(),
}
"""From each phase, those that may follow. Straight to `done` is how a worker skips the rest."""

WAITING: Final = {"models", "done"}
"""The phases in which patience may end; in the others a computation is under way."""


class Worker:
    """One worker. All it holds are the vectors it submitted lately; momentum builds on the last.

    What is no server's model, or is for no step of the plan, counts in `refused` as unasked.
    `quorum` is how many models it waits for; only a liar takes fewer than the cluster's.
    """

    def __init__(self, me: NodeId, cluster: Cluster, plan: Plan, quorum: int | None = None) -> None:
        self.me = me
        self.cluster = cluster
        self.plan = plan
        self.step = 0
        self.phase = "starting"
        self.servers = cluster.server_ids
        self.models: Quorum[int] = Quorum(quorum or cluster.q_servers, plan.window, closed=-1)
        self.catch_ups = 0
        self._last: Vector | None = None
        self._lately: deque[Send] = deque(maxlen=REPEATED)
        self._unasked: Counter[tuple[NodeId, str]] = Counter()

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Started() if self.phase == "starting":
                return self._await_models(now)
            case Received(sender, Model(step, params, 0)) if (
                sender in self.servers and step <= self.plan.steps
            ):
                self.models.add(sender, step, params)
                return self._proceed()
            case Received(sender, _):
                self._unasked[sender, "unasked"] += 1
                return []
            case Contracted(step, params) if self.phase == "contracting" and step == self.step:
                self._enter("gradient")
                return [ComputeGradient(step, params, self._last)]
            case GradientComputed(step, vector) if self.phase == "gradient" and step == self.step:
                return self._computed(vector, now)
            case TimerFired("patience", step) if step == self.step and self.phase in WAITING:
                return self._impatient(now)
            case _:
                return []

    def kept(self, sender: NodeId) -> int:
        """How many vectors of `sender` are held, at most the plan's window."""
        return self.models.kept(sender)

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.models.refused + self._unasked

    def _proceed(self) -> list[Effect]:
        if self.phase != "models" or not self.models.full(self.step):
            return []
        self._enter("contracting")
        return [Contract(self.step, self.models.take(self.step))]

    def _computed(self, vector: Vector, now: float) -> list[Effect]:
        self._last = vector
        shown = Send(self.servers, Gradient(self.step, vector))
        self._lately.append(shown)
        self.step += 1
        if self.step < self.plan.steps:
            return [shown, *self._await_models(now)]
        return [shown, *self._finish(now)]

    def _await_models(self, now: float) -> list[Effect]:
        self._enter("models")
        return [self._patience(now), *self._proceed()]

    def _finish(self, now: float) -> list[Effect]:
        self._enter("done")
        return [Done(None), self._patience(now)]

    def _impatient(self, now: float) -> list[Effect]:
        if not self.plan.catch_up:
            return [self._patience(now)]
        return self._skip(now) or [*self._lately, self._patience(now)]

    def _skip(self, now: float) -> list[Effect]:
        """Models of this step were lost: go on at the newest step that a quorum has shown.

        A worker may skip steps safely, it holds no state that others rely on; but it skips none
        while it need not, since a slower server may still be waiting for just that gradient.
        """
        later = self.models.newest(self.models.size, after=self.step)
        if later is None:
            return []
        self.step = later
        self.catch_ups += 1
        return self._finish(now) if later == self.plan.steps else self._proceed()

    def _patience(self, now: float) -> SetTimer:
        return SetTimer("patience", self.step, now + self.plan.patience_s)

    def _enter(self, phase: str) -> None:
        assert phase in PHASES[self.phase], f"{self.me}: {self.phase} → {phase}"
        self.phase = phase
