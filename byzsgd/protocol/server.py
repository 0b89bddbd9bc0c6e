"""A parameter server: scatter, aggregate, gather (arXiv 1905.03853, section 4, algorithm 1).

gradients ──q_w──▶ updating ─┬─────────────────────────────────▶ gradients
                             └─every T─▶ models ──q_ps──▶ contracting ──▶ gradients
gradients, models ──2 f + 1 peers ahead──▶ contracting ─┬─in a gather──▶ models
                                                        └─after it─────▶ gradients

Who waits in vain, and who is done, says its latest models again: somebody may have lost them.

In the synchronous variant it waits for the gradients of all workers, and from a round's deadline on
for q_w, and it shows its model to those workers that pull it; at a gather to all.
"""

from collections import Counter, deque
from typing import Final

from byzsgd.cluster import REPEATED, Cluster, NodeId, Plan
from byzsgd.protocol.effects import (
    Contract,
    Done,
    Effect,
    Memory,
    Prepare,
    Save,
    Send,
    SetTimer,
    Update,
)
from byzsgd.protocol.events import Contracted, Event, Received, Started, TimerFired, Updated
from byzsgd.protocol.messages import Gradient, Model, Pull, Vector, unasked
from byzsgd.protocol.pulls import Pulls
from byzsgd.protocol.quorum import Quorum

PHASES: Final = {
    "starting": {"gradients", "done"},
    "gradients": {"updating", "contracting"},
    "updating": {"models", "gradients", "done"},
    "models": {"contracting"},
    "contracting": {"models", "gradients", "done"},
    "done": set(),
}
"""From each phase, those that may follow.

Straight to `contracting` is how a server catches up, and one that is restarted may be done at once.
"""

WAITING: Final = {"gradients", "models", "done"}
"""The phases in which patience may end; in the others a computation is under way."""

SHOWING: Final = {"gradients", "updating", "done"}
"""The phases in which the model of the current step is there for whoever pulls it."""


class Server:
    """One replica. `params` is the initial model, equal at all correct servers.

    A server that was restarted is given the `step` it last saved, and the model and the `memory` it
    saved there. The memory is what one update leaves to the next, whatever that is: it is this
    replica's own, no other is ever told, and a gather leaves it as it is.
    `step` counts the updates done. The machine never waits for a particular node, only for the
    first q of a side; a liar's message changes nothing but a counter in `refused` unless it is a
    first vector for a step that is still open. What strangers say, what is of another kind and what
    is for no round of the plan counts there as unasked. `quorum` is how many gradients it waits
    for, and `model_quorum` how many models, its own included; only a liar takes fewer than the
    cluster's.
    """

    def __init__(
        self,
        me: NodeId,
        cluster: Cluster,
        plan: Plan,
        params: Vector,
        quorum: int | None = None,
        model_quorum: int | None = None,
        step: int = 0,
        memory: Memory = None,
    ) -> None:
        self.me = me
        self.cluster = cluster
        self.plan = plan
        self.params = params
        self.step = step
        self.memory = memory
        self.phase = "starting"
        self.peers = tuple(server for server in cluster.server_ids if server != me)
        self.workers = cluster.worker_ids
        self.pulls = Pulls()
        self.gradients: Quorum[int] = Quorum(
            quorum or cluster.gradients_awaited(plan.mode), plan.window, closed=step - 1
        )
        self.models: Quorum[tuple[int, int]] = Quorum(
            model_quorum or cluster.q_servers, plan.window, closed=(0, plan.gather_rounds)
        )
        self.catch_ups = 0
        self._least = quorum or cluster.q_workers
        self._overdue = False
        self._round = 0
        self._rejoining = False
        self._lately: deque[tuple[Send, ...]] = deque(maxlen=REPEATED)
        self._unasked: Counter[tuple[NodeId, str]] = Counter()

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Started() if self.phase == "starting":
                return self._scatter(now)
            case Received(sender, Gradient(step, vector)) if (
                sender in self.workers and step < self.plan.steps
            ):
                kept = self.gradients.add(sender, step, vector)
                useful = kept and self.phase == "gradients" and step == self.step
                prepared = [Prepare(step, sender, vector)] if useful else []
                return [*prepared, *self._proceed(now)]
            case Received(sender, Model(step, params, round_)) if (
                sender in self.peers and self._is_planned(step, round_)
            ):
                self.models.add(sender, (step, round_), params)
                return self._proceed(now)
            case Received(sender, Pull(step)) if (
                sender in self.workers and self.plan.mode == "sync" and step < self.plan.steps
            ):
                self.pulls.ask(sender, step)
                return [*self._show()] if self.phase in SHOWING else []
            case Received(sender, message):
                self._unasked[sender, unasked(message)] += 1
                return []
            case Updated(step) if self.phase == "updating" and step == self.step:
                return self._updated(event, now)
            case Contracted(step, params) if self.phase == "contracting" and step == self.step:
                return self._contracted(params, now)
            case TimerFired("deadline", step) if step == self.step and self.phase == "gradients":
                self._overdue = True
                return self._proceed(now)
            case TimerFired("patience", step) if step == self.step and self.phase in WAITING:
                return self._impatient(now)
            case _:
                return []

    def kept(self, sender: NodeId) -> int:
        """How many vectors of `sender` are held, at most the plan's window."""
        return self.gradients.kept(sender) + self.models.kept(sender)

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.gradients.refused + self.models.refused + self._unasked

    def _proceed(self, now: float) -> list[Effect]:
        """Take a quorum that is complete, or catch up when a whole quorum of peers is ahead."""
        slot = (self.step, self._round)
        least = self._least if self._overdue else self.gradients.size
        if self.phase == "gradients" and self.gradients.count(self.step) >= least:
            self._enter("updating")
            gradients = self.gradients.take(self.step, least)
            return [Update(self.step, self.params, gradients, self.memory)]
        if self.phase == "models" and self.models.full(slot):
            self._enter("contracting")
            return [Contract(self.step, self.models.take(slot))]
        return self._catch_up(self.models.size)

    def _updated(self, updated: Updated, now: float) -> list[Effect]:
        self.step += 1
        self.params, self.memory = updated.params, updated.memory
        self._round = 0
        if self.plan.gathers_at(self.step) and self.peers:
            return self._gather(now)
        return self._scatter(now)

    def _contracted(self, params: Vector, now: float) -> list[Effect]:
        self.params = params
        if not self._rejoining:
            self._round += 1
        self._rejoining = False
        if self._round < self.plan.gather_rounds:
            return self._gather(now)
        return self._scatter(now)

    def _gather(self, now: float) -> list[Effect]:
        """Show this model to the other servers and wait for theirs."""
        self._enter("models")
        self.models.include(self.me, (self.step, self._round), self.params)
        shown = Send(self.peers, Model(self.step, self.params, self._round))
        self._lately.append((shown,))
        return [shown, self._patience(now), *self._proceed(now)]

    def _scatter(self, now: float) -> list[Effect]:
        """Show this model to the workers and wait for their gradients.

        To peers it is the round after the last, of whatever step. They are shown it only by those
        who wait in vain, and not at step 0: nobody is behind that.
        """
        after = self.plan.gather_rounds
        self.models.close((self.step, after))
        self._round = 0
        behind = self.peers if self.step > 0 else ()
        to_all = Send(self.workers, Model(self.step, self.params))
        self._lately.append((to_all, Send(behind, Model(self.step, self.params, after))))
        saved: list[Effect] = [Save(self.step, self.params, self.memory)] if self._saves() else []
        pulled = self._show()
        if self.step == self.plan.steps:
            self._enter("done")
            return [*pulled, *saved, Done(self.params), self._patience(now)]
        self._enter("gradients")
        shown = [to_all] if self.plan.scatters_at(self.step) else pulled
        early = [Prepare(self.step, *pair) for pair in self.gradients.held(self.step)]
        timers = [self._patience(now), *self._deadline(now)]
        return [*shown, *saved, *timers, *early, *self._proceed(now)]

    def _show(self) -> list[Send]:
        """The model of this step, to those workers that have asked for it or for an earlier one."""
        to = self.pulls.due(self.step)
        return [Send(to, Model(self.step, self.params))] if to else []

    def _catch_up(self, least: int) -> list[Effect]:
        """Join the newest later round that at least `least` peers have shown their models of.

        The workers have moved on, so a server whose messages were lost can never complete its own
        step. The median of 2 f + 1 others stays within the honest range, so it becomes this
        server's own model there. In a gather it is its contribution, f + 1 of the others may even
        be waiting for it; after one it goes to the workers.
        """
        slot = self.models.newest(least, after=(self.step, self._round))
        if not self.plan.catch_up or self.phase not in ("gradients", "models") or not slot:
            return []
        self.step, self._round = slot
        self._rejoining = True
        self.catch_ups += 1
        self.gradients.close(self.step - 1)
        self._enter("contracting")
        return [Contract(self.step, self.models.held(slot))]

    def _impatient(self, now: float) -> list[Effect]:
        caught_up = self._catch_up(self.cluster.rejoin_quorum)
        return caught_up or [*self._again(), self._patience(now)]

    def _again(self) -> list[Send]:
        """The same words once more: while the liars are silent everybody has to hear everybody."""
        if not self.plan.catch_up:
            return []
        return [send for sends in self._lately for send in sends if send.to]

    def _patience(self, now: float) -> SetTimer:
        return SetTimer("patience", self.step, now + self.plan.patience_s)

    def _deadline(self, now: float) -> list[SetTimer]:
        """A round is over when all gradients are in, or after this time with a quorum of them."""
        self._overdue = False
        if self.plan.mode == "async":
            return []
        return [SetTimer("deadline", self.step, now + self.plan.deadline_s)]

    def _saves(self) -> bool:
        return self.plan.saves_at(self.step) or self.step == self.plan.steps

    def _is_planned(self, step: int, round_: int) -> bool:
        """Whether there is such a round: some in a gather, and at each step one after it."""
        if not 0 < step <= self.plan.steps:
            return False
        after = self.plan.gather_rounds
        return round_ == after or (0 <= round_ < after and self.plan.gathers_at(step))

    def _enter(self, phase: str) -> None:
        assert phase in PHASES[self.phase], f"{self.me}: {self.phase} → {phase}"
        self.phase = phase
