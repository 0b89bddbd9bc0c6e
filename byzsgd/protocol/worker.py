"""A worker: the median of q_ps models, a gradient there (arXiv 1905.03853, section 4, algorithm 1).

models ──q_ps──▶ contracting ──▶ gradient ──▶ models
   └─q_ps of the last step──▶ done

In the synchronous variant, between gathers, it pulls one server's model and judges it, and takes a
quorum where it can believe none:

pulling ──one──▶ gradient ─┬─accepted──▶ pulling
   │                       └─rejected──▶ pulling, of another server
   └─none of f + 1──▶ models

Who waits in vain, and who is done, says its latest gradients again: somebody may have lost them.
"""

from collections import Counter, deque
from typing import Final

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol.belief import Belief
from byzsgd.protocol.effects import Contract, Done, Effect, Send, SetTimer
from byzsgd.protocol.events import (
    Change,
    Contracted,
    Event,
    GradientComputed,
    Received,
    Started,
    TimerFired,
)
from byzsgd.protocol.messages import Gradient, Model, Pull, Vector, unasked
from byzsgd.protocol.quorum import Quorum
from byzsgd.protocol.search import Search

PHASES: Final = {
    "starting": {"models"},
    "models": {"contracting", "done"},
    "contracting": {"gradient"},
    "pulling": {"gradient", "contracting", "models", "pulling"},
    "gradient": {"models", "pulling", "done"},
    "done": set(),
}
"""From each phase, those that may follow. Straight to `done` is how a worker skips the rest."""

WAITING: Final = {"models", "done"}
"""The phases in which patience may end; in the others a computation is under way."""


class Worker:
    """One worker. All it holds are the vectors it submitted lately; momentum builds on the last.

    What is no server's model, or is for no step of the plan, counts in `refused` as unasked.
    `judged` counts what became of the models that it pulled, by server. `quorum` is how many models
    it waits for; only a liar takes fewer than the cluster's, and pulls from all at once.
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
        self._belief = Belief(cluster, plan, pulls=plan.mode == "sync" and quorum is None)
        self._search = Search(me, cluster, plan)
        self._lately: deque[Send] = deque(maxlen=plan.gradients_repeated)
        self._unasked: Counter[tuple[NodeId, str]] = Counter()

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Started() if self.phase == "starting":
                return self._await_models(now)
            case Received(sender, Model(step, params, 0)) if (
                sender in self.servers and step <= self.plan.steps
            ):
                self._search.heard(sender, step, now)
                self.models.add(sender, step, params)
                return self._proceed(now) or self._turn_from(sender, step, now)
            case Received(sender, message):
                self._unasked[sender, unasked(message)] += 1
                return []
            case Contracted(step, params) if self.phase == "contracting" and step == self.step:
                return self._compute(params, source=None)
            case GradientComputed(step, vector, change) if (
                self.phase == "gradient" and step == self.step
            ):
                return self._computed(vector, change, now)
            case TimerFired("pull", step) if step == self.step and self.phase == "pulling":
                return self._dismiss(self._search.last, "late", now)
            case TimerFired("patience", step) if step == self.step and self.phase in WAITING:
                return self._impatient(now)
            case _:
                return []

    def kept(self, sender: NodeId) -> int:
        """How many vectors of `sender` are held, at most the plan's window."""
        return self.models.kept(sender)

    @property
    def judged(self) -> Counter[tuple[NodeId, str]]:
        return self._belief.judged

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.models.refused + self._unasked

    def _await_models(self, now: float) -> list[Effect]:
        """Wait for a quorum's, or for one that can be judged by the step before."""
        self._search.begin(self.step)
        if self.plan.scatters_at(self.step):
            return self._await_quorum(now)
        if self._belief.can_judge(self.step):
            return self._pull(now)
        return [*self._pull_all(), *self._await_quorum(now)]

    def _await_quorum(self, now: float) -> list[Effect]:
        self._enter("models")
        return [self._patience(now), *self._proceed(now)]

    def _pull(self, now: float) -> list[Effect]:
        """Ask the next server; once there were enough of them a quorum has to decide."""
        self._enter("pulling")
        if self._search.found(self.models):
            return self._proceed(now)
        found = self._search.next(now)
        if found is None:
            return [*self._pull_all(), *self._await_quorum(now)]
        server, until = found
        return [
            Send((server,), Pull(self.step)),
            SetTimer("pull", self.step, until),
            *self._proceed(now),
        ]

    def _pull_all(self) -> list[Send]:
        """Ask every server whose model of this step is not there."""
        to = tuple(node for node in self.servers if self.models.of(node, self.step) is None)
        return [Send(to, Pull(self.step))] if to else []

    def _proceed(self, now: float) -> list[Effect]:
        if self.phase in ("models", "pulling") and self.models.full(self.step):
            self._enter("contracting")
            return [Contract(self.step, self.models.take(self.step))]
        if self.phase == "pulling" and (found := self._search.found(self.models)):
            server, params = found
            return self._compute(params, source=server)
        if self.phase == "models" and self.plan.mode == "sync":
            return self._skip(now)
        return []

    def _compute(self, params: Vector, source: NodeId | None) -> list[Effect]:
        self._enter("gradient")
        return [self._belief.compute(self.step, params, source)]

    def _computed(self, vector: Vector, change: Change | None, now: float) -> list[Effect]:
        """Believe the model that this was computed at, or ask somebody else."""
        if doubted := self._belief.doubted(self.step, change):
            return self._dismiss(*doubted, now)
        return self._submit(vector, now)

    def _turn_from(self, server: NodeId, step: int, now: float) -> list[Effect]:
        """The server that was asked last is ahead, and has the model of this step no more."""
        ahead = self.phase == "pulling" and step > self.step
        return self._dismiss(server, "late", now) if ahead and server == self._search.last else []

    def _dismiss(self, server: NodeId, why: str, now: float) -> list[Effect]:
        """Its model was not believed, or it has not come in time."""
        self.judged[server, why] += 1
        if why == "late":
            self._search.gave_up(server)
        else:
            self._search.dismiss(server)
        return self._pull(now)

    def _submit(self, vector: Vector, now: float) -> list[Effect]:
        self._belief.submitted(self.step, vector)
        self.models.close(self.step)
        shown = Send(self.servers, Gradient(self.step, vector))
        self._lately.append(shown)
        self.step += 1
        if self.step < self.plan.steps:
            return [shown, *self._await_models(now)]
        return [shown, *self._finish(now)]

    def _finish(self, now: float) -> list[Effect]:
        self._enter("done")
        return [Done(None), self._patience(now)]

    def _impatient(self, now: float) -> list[Effect]:
        if not self.plan.catch_up:
            return [self._patience(now)]
        waits = self.plan.mode == "sync" and self.phase != "done"
        again = [Send(self.servers, Pull(self.step))] if waits else []
        return self._skip(now) or [*self._lately, *again, self._patience(now)]

    def _skip(self, now: float) -> list[Effect]:
        """Models of this step were lost: go on at the newest step that a quorum has shown.

        A worker may skip steps safely, it holds no state that others rely on; but it skips none
        while it need not, since a slower server may still be waiting for just that gradient. Where
        rounds have deadlines whoever missed one goes on at once.
        """
        later = self.models.newest(self.models.size, after=self.step)
        if later is None:
            return []
        self.step = later
        self.catch_ups += 1
        return self._finish(now) if later == self.plan.steps else self._proceed(now)

    def _patience(self, now: float) -> SetTimer:
        return SetTimer("patience", self.step, now + self.plan.patience_s)

    def _enter(self, phase: str) -> None:
        assert phase in PHASES[self.phase], f"{self.me}: {self.phase} → {phase}"
        self.phase = phase
