"""Protocols that are broken in one place each: what checkers are for, and how good they are.

A mutant replaces `machine_of` of `byzsgd.experiment.build`, or wraps the answers to computations,
and knows nothing of a world. Liars are left as they are.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.experiment.build import Saved, machine_of
from byzsgd.experiment.config import Experiment
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    Change,
    Contract,
    Contracted,
    Effect,
    Event,
    Gradient,
    Machine,
    Model,
    Pull,
    Quorum,
    Received,
    Send,
    Server,
    SetTimer,
    Update,
    Updated,
    Vector,
    Worker,
)
from byzsgd.protocol.effects import Computation, Inputs
from byzsgd.protocol.filters import Filters, Verdict
from byzsgd.protocol.search import Search
from byzsgd.simulation.parts import Answers
from byzsgd.wire import Frames, stack

MakeMachine: TypeAlias = Callable[[Experiment, NodeId, Saved], Machine]
Wrap: TypeAlias = Callable[[Answers], Answers]


def _as_they_are(answers: Answers) -> Answers:
    return answers


@dataclass(frozen=True)
class Mutant:
    """`machine` makes an honest node's machine, too; `answers` wraps what computes."""

    machine: MakeMachine = machine_of
    answers: Wrap = _as_they_are


def honest(
    server: Callable[[NodeId, Cluster, Plan, Saved], Machine] | None = None,
    worker: Callable[[NodeId, Cluster, Plan], Machine] | None = None,
) -> Mutant:
    """Whose honest nodes are made so; those that are not given are as they should be."""

    def make(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
        if me not in experiment.liars:
            if me.role == "server" and server:
                return server(me, experiment.cluster, experiment.plan, saved)
            if me.role == "worker" and worker:
                return worker(me, experiment.cluster, experiment.plan)
        return machine_of(experiment, me, saved)

    return Mutant(make)


def servers(kind: type[Server]) -> Mutant:
    """Whose honest servers are of this kind."""
    return honest(
        lambda me, cluster, plan, saved: kind(me, cluster, plan, saved.params, step=saved.step)
    )


# -- quorums ---------------------------------------------------------------------------------------


def _one_gradient_short(me: NodeId, cluster: Cluster, plan: Plan, saved: Saved) -> Machine:
    quorum = max(1, cluster.q_workers - 1)
    return Server(me, cluster, plan, saved.params, quorum=quorum, step=saved.step)


def _one_model_short(me: NodeId, cluster: Cluster, plan: Plan, saved: Saved) -> Machine:
    quorum = max(1, cluster.q_servers - 1)
    return Server(me, cluster, plan, saved.params, model_quorum=quorum, step=saved.step)


def _worker_one_model_short(me: NodeId, cluster: Cluster, plan: Plan) -> Machine:
    return Worker(me, cluster, plan, quorum=max(1, cluster.q_servers - 1))


class _Messages(Quorum[Any]):
    """Counts messages, not senders."""

    def __init__(self, size: int, window: int, closed: Any) -> None:
        super().__init__(size, window, closed)
        self._again: dict[Any, list[tuple[NodeId, Vector]]] = {}

    def add(self, sender: NodeId, slot: Any, vector: Vector) -> bool:
        if self._refusal(sender, slot) == "duplicate":
            self._again.setdefault(slot, []).append((sender, vector))
            return True
        return super().add(sender, slot, vector)

    def held(self, slot: Any) -> Inputs:
        pairs = [*super().held(slot), *self._again.get(slot, ())]
        return tuple(sorted(pairs, key=lambda pair: pair[0]))

    def count(self, slot: Any) -> int:
        return super().count(slot) + len(self._again.get(slot, ()))


class CountsMessages(Server):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gradients = _Messages(self.gradients.size, self.plan.window, self.step - 1)


class _Crossed(Quorum[Any]):
    """Hands over each vector as that of the next sender."""

    def held(self, slot: Any) -> Inputs:
        pairs = super().held(slot)
        vectors = [vector for _, vector in pairs]
        senders = [sender for sender, _ in pairs]
        return tuple(zip(senders, vectors[1:] + vectors[:1], strict=True))


class CrossesSenders(Server):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gradients = _Crossed(self.gradients.size, self.plan.window, self.step - 1)


class TakesStale(Server):
    """A late gradient counts for the step that is open."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Received(sender, Gradient(step, vector)) if step < self.step:
                event = Received(sender, Gradient(self.step, vector))
        return super().handle(event, now)


class TakesEarly(Server):
    """So does one of the next step."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Received(sender, Gradient(step, vector)) if step == self.step + 1:
                event = Received(sender, Gradient(self.step, vector))
        return super().handle(event, now)


class WorkerTakesStale(Worker):
    """A late model counts for the step that is open."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Received(sender, Model(step, params, 0)) if step < self.step:
                event = Received(sender, Model(self.step, params))
        return super().handle(event, now)


# -- gathers and catching up -----------------------------------------------------------------------


class _WithoutOwn(Quorum[Any]):
    def include(self, me: NodeId, slot: Any, vector: Vector) -> None:
        pass


class GathersWithoutOwn(Server):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        closed = (0, self.plan.gather_rounds)
        self.models = _WithoutOwn(self.models.size, self.plan.window, closed)


class _OwnTwice(Quorum[Any]):
    """One's own model counts for two."""

    def __init__(self, size: int, window: int, closed: Any) -> None:
        super().__init__(size, window, closed)
        self._own: dict[Any, tuple[NodeId, Vector]] = {}

    def include(self, me: NodeId, slot: Any, vector: Vector) -> None:
        super().include(me, slot, vector)
        self._own = {slot: (me, vector)}

    def held(self, slot: Any) -> Inputs:
        pairs = [*super().held(slot), *([self._own[slot]] if slot in self._own else [])]
        return tuple(sorted(pairs, key=lambda pair: pair[0]))

    def count(self, slot: Any) -> int:
        return super().count(slot) + (slot in self._own)


class GathersOwnTwice(Server):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        closed = (0, self.plan.gather_rounds)
        self.models = _OwnTwice(self.models.size, self.plan.window, closed)


class MixesRounds(Server):
    """Any model of a step counts for the round that is open."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Received(sender, Model(step, params, _)) if self._gathers(step):
                event = Received(sender, Model(step, params, self._round))
        return super().handle(event, now)

    def _gathers(self, step: int) -> bool:
        return self.phase == "models" and step == self.step


class ShowsGathersToWorkers(Server):
    """To them it is a scatter's."""

    def _gather(self, now: float) -> list[Effect]:
        effects = super()._gather(now)
        shown = effects[0]
        assert isinstance(shown, Send)
        return [Send((*shown.to, *self.workers), shown.message), *effects[1:]]


class RejoinsFromOne(Server):
    def _impatient(self, now: float) -> list[Effect]:
        return self._catch_up(1) or super()._impatient(now)


class RejoinsFromFew(Server):
    """One model too few, all of which but one may be lies."""

    def _impatient(self, now: float) -> list[Effect]:
        return self._catch_up(self.cluster.f_servers + 1) or super()._impatient(now)


class NeverSaysAgain(Server):
    """Who has lost a message may wait for ever."""

    def _again(self) -> list[Send]:
        return []


class WorkerNeverSaysAgain(Worker):
    def _impatient(self, now: float) -> list[Effect]:
        return self._skip(now) or [self._patience(now)]


class SaysOtherwise(Server):
    """What it says again is its newest model, whatever step it is asked for."""

    def _again(self) -> list[Send]:
        sends = super()._again()
        return [Send(send.to, self._renewed(send.message)) for send in sends]

    def _renewed(self, message: Any) -> Any:
        return replace(message, params=self.params) if isinstance(message, Model) else message


# -- steps and restarts ----------------------------------------------------------------------------


class GoesBack(Worker):
    """Waits in vain, and does its last step again."""

    def _impatient(self, now: float) -> list[Effect]:
        if self.phase == "models":
            self.step = max(0, self.step - 1)
        return super()._impatient(now)


def _ends_early(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    return machine_of(_with_steps(experiment, experiment.plan.steps - 1), me, saved)


def _ends_late(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    return machine_of(_with_steps(experiment, experiment.plan.steps + 1), me, saved)


def _with_steps(experiment: Experiment, steps: int) -> Experiment:
    return experiment.model_copy(update={"plan": replace(experiment.plan, steps=max(1, steps))})


class _Forgetful:
    """Remembers of a world's beginning the initial model, and of a crash not what was saved."""

    def __init__(self, with_step: bool) -> None:
        self._with_step = with_step
        self._initial: Vector = None

    def __call__(self, experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
        if saved.step == 0:
            self._initial = saved.params
        step = saved.step if self._with_step else 0
        return machine_of(experiment, me, Saved(step, self._initial))


def _ahead_of_what_it_saved(me: NodeId, cluster: Cluster, plan: Plan, saved: Saved) -> Machine:
    step = saved.step + 1 if 0 < saved.step < plan.steps else saved.step
    return Server(me, cluster, plan, saved.params, step=step)


class SavesWhatItHad(Server):
    """Saves the model of the step before under the number of this one."""

    def _updated(self, params: Vector, now: float) -> list[Effect]:
        before = self.params
        effects = super()._updated(params, now)
        return [replace(e, params=before) if type(e).__name__ == "Save" else e for e in effects]


class Unbounded(Server):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gradients = Quorum(self.gradients.size, 10**6, self.step - 1)


class WorkerUnbounded(Worker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.models = Quorum(self.models.size, 10**6, -1)


class WorkerLagsBehind(Worker):
    """Its gradient is taken at the median of the step before."""

    _before: Vector = None

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Contracted(step, params):
                before, self._before = self._before, params
                event = Contracted(step, params if before is None else before)
        return super().handle(event, now)


# -- rounds of the synchronous variant -------------------------------------------------------------


class OneShortAtItsDeadline(Server):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._least = max(1, self._least - 1)


class WaitsForNoDeadline(Server):
    """A quorum is enough for it."""

    def _proceed(self, now: float) -> list[Effect]:
        self._overdue = True
        return super()._proceed(now)


class Hasty(Server):
    """Its deadline is over too soon."""

    def _deadline(self, now: float) -> list[SetTimer]:
        return [replace(timer, at=now) for timer in super()._deadline(now)]


class ShowsWhatItGathers(Server):
    """Whoever asks during a gather is shown what it had before."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        effects = super().handle(event, now)
        asked = isinstance(event, Received) and isinstance(event.message, Pull)
        return [*effects, *self._show()] if asked and self.phase == "models" else effects


class ShowsTheLastStep(Server):
    """Whoever asks gets the model of the step before, under the number of this one."""

    _before: Vector = None

    def _updated(self, params: Vector, now: float) -> list[Effect]:
        self._before = self.params
        return super()._updated(params, now)

    def _show(self) -> list[Send]:
        to = self.pulls.due(self.step)
        shown = self.params if self._before is None else self._before
        return [Send(to, Model(self.step, shown))] if to else []


class _Believes(Filters):
    def judge(self, step: int, change: Change, after_quorum: bool) -> Verdict:
        return "accepted"


class _BelievesWhatIsNear(Filters):
    """Only the outliers filter."""

    def _threshold(self) -> float:
        return math.inf


class _RemembersTheAccepted(Filters):
    def judge(self, step: int, change: Change, after_quorum: bool) -> Verdict:
        before = list(self._past)
        verdict = super().judge(step, change, after_quorum)
        if verdict != "accepted":
            self._past = deque(before)
        return verdict


def _filtering(kind: type[Filters]) -> Mutant:
    """Whose workers judge so."""

    def make(me: NodeId, cluster: Cluster, plan: Plan) -> Machine:
        worker = Worker(me, cluster, plan)
        worker._belief._filters = kind(cluster, plan)
        return worker

    return honest(worker=make)


class SubmitsWhatItRejects(Worker):
    def _dismiss(self, server: NodeId, why: str, now: float) -> list[Effect]:
        if why == "late":
            return super()._dismiss(server, why, now)
        return self._submit(self._rejected, now)

    def _computed(self, vector: Vector, change: Change | None, now: float) -> list[Effect]:
        self._rejected = vector
        return super()._computed(vector, change, now)


class AsksOneForEver(Worker):
    """Whoever does not answer is waited for."""

    def _dismiss(self, server: NodeId, why: str, now: float) -> list[Effect]:
        if why == "late":
            return [SetTimer("pull", self.step, now + self.plan.deadline_s)]
        return super()._dismiss(server, why, now)


class HearsWhomItDidNotAsk(Worker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._search = _Anybody(self.me, self.cluster, self.plan)


class _Anybody(Search):
    def found(self, models: Quorum[int]) -> tuple[NodeId, Vector] | None:
        self.asked[:0] = [server for server in self._servers if server not in self.asked]
        return super().found(models)


class BelievesOneAtAGather(Worker):
    def _await_models(self, now: float) -> list[Effect]:
        if self._belief.last is None:
            return super()._await_models(now)
        self._search.begin(self.step)
        return self._pull(now)


# -- computations ----------------------------------------------------------------------------------


class _Instead:
    """Answers that are changed on their way, where `change` has another."""

    def __init__(
        self, answers: Answers, change: Callable[[NodeId, Computation, Event], Event]
    ) -> None:
        self._answers = answers
        self._change = change
        self._open: dict[int, tuple[NodeId, Computation]] = {}

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        self._open[ticket] = (node, effect)
        self._answers.ask(ticket, node, effect)

    def answer(self, ticket: int) -> Outcome:
        outcome = self._answers.answer(ticket)
        return replace(outcome, event=self._change(*self._open.pop(ticket), outcome.event))

    def forget(self, ticket: int) -> None:
        self._open.pop(ticket, None)
        self._answers.forget(ticket)


def _contracting(rule: Callable[[Tensor], Tensor]) -> Mutant:
    """With another rule for models, from (n, d) rows."""

    def change(node: NodeId, effect: Computation, event: Event) -> Event:
        if isinstance(effect, Contract):
            return Contracted(effect.step, rule(_rows(effect.models)))
        return event

    return Mutant(answers=lambda answers: _Instead(answers, change))


def _aggregating(rule: Callable[[Tensor, int], Tensor], chooses: bool = False) -> Mutant:
    """With another rule for gradients, from (n, d) rows and how many of them MDA leaves out."""

    def change(node: NodeId, effect: Computation, event: Event) -> Event:
        if not isinstance(effect, Update) or not isinstance(event, Updated) or not event.chosen:
            return event
        rows, senders = _rows(effect.gradients), [sender for sender, _ in effect.gradients]
        mean = rows[[senders.index(node) for node in event.chosen]].mean(dim=0)
        moved = effect.params - event.params
        length = float(mean.norm())
        rate = float(moved.norm()) / length if length else 0.0
        params = effect.params - rate * rule(rows, len(rows) - len(event.chosen))
        chosen = tuple(senders[: len(event.chosen)]) if chooses else ()
        return Updated(effect.step, params, chosen)

    return Mutant(answers=lambda answers: _Instead(answers, change))


def _rows(inputs: Inputs) -> Tensor:
    vectors = [vector for _, vector in inputs]
    first = vectors[0]
    width = first.layout.dimension if isinstance(first, Frames) else len(first)
    return stack(vectors, torch.empty(len(vectors), width))


def _lower(rows: Tensor) -> Tensor:
    return rows.nan_to_num(nan=torch.inf).sort(dim=0).values[(len(rows) - 1) // 2]


def _upper(rows: Tensor) -> Tensor:
    return rows.nan_to_num(nan=torch.inf).sort(dim=0).values[len(rows) // 2]


def _spoilt(rows: Tensor) -> Tensor:
    return (_lower(rows) + _upper(rows)) / 2 + 0 * rows.sum(dim=0)


def _momentum() -> Mutant:
    """Servers that keep some of the last step: what they add up drifts apart."""
    last: dict[NodeId, Tensor] = {}

    def change(node: NodeId, effect: Computation, event: Event) -> Event:
        if not isinstance(event, Updated) or not isinstance(effect, Update):
            return event
        moved = event.params - effect.params
        if effect.step > 0 and node in last:
            moved = moved + 0.9 * last[node]
        last[node] = moved
        return replace(event, params=effect.params + moved)

    return Mutant(answers=lambda answers: _Instead(answers, change))


IN_ROUNDS: Final[dict[str, Mutant]] = {
    "a round that ends one gradient short": servers(OneShortAtItsDeadline),
    "a round that ends before its deadline": servers(WaitsForNoDeadline),
    "a deadline that is too soon": servers(Hasty),
    "a model shown while it is gathered": servers(ShowsWhatItGathers),
    "the last step's model shown for this one's": servers(ShowsTheLastStep),
    "no filters": _filtering(_Believes),
    "no Lipschitz filter": _filtering(_BelievesWhatIsNear),
    "a quantile of what was accepted": _filtering(_RemembersTheAccepted),
    "a rejected gradient submitted": honest(worker=SubmitsWhatItRejects),
    "one server asked for ever": honest(worker=AsksOneForEver),
    "a model believed that nobody asked for": honest(worker=HearsWhomItDidNotAsk),
    "one model believed at a gather": honest(worker=BelievesOneAtAGather),
}
"""What can be broken only where rounds have deadlines and one model is pulled."""

MUTANTS: Final[dict[str, Mutant]] = {
    "one gradient short of a quorum": honest(server=_one_gradient_short),
    "one model short of a gather": honest(server=_one_model_short),
    "one model short of a scatter": honest(worker=_worker_one_model_short),
    "a sender's gradients counted twice": servers(CountsMessages),
    "gradients taken for those of another sender": servers(CrossesSenders),
    "a stale gradient taken": servers(TakesStale),
    "an early gradient taken": servers(TakesEarly),
    "a stale model taken": honest(worker=WorkerTakesStale),
    "a gather without one's own model": servers(GathersWithoutOwn),
    "one's own model counted twice": servers(GathersOwnTwice),
    "rounds of a gather mixed up": servers(MixesRounds),
    "a gather's model shown to workers": servers(ShowsGathersToWorkers),
    "a rejoin from one model": servers(RejoinsFromOne),
    "a rejoin from f + 1 models": servers(RejoinsFromFew),
    "servers say nothing again": servers(NeverSaysAgain),
    "workers say nothing again": honest(worker=WorkerNeverSaysAgain),
    "something else said again": servers(SaysOtherwise),
    "a step done again": honest(worker=GoesBack),
    "an end one step early": Mutant(_ends_early),
    "an end one step late": Mutant(_ends_late),
    "a restart with the initial model": Mutant(_Forgetful(with_step=True)),
    "a restart from nothing": Mutant(_Forgetful(with_step=False)),
    "a restart one step ahead": honest(server=_ahead_of_what_it_saved),
    "an old model saved": servers(SavesWhatItHad),
    "a server's window without end": servers(Unbounded),
    "a worker's window without end": honest(worker=WorkerUnbounded),
    "a gradient at the last step's median": honest(worker=WorkerLagsBehind),
    "the lower median": _contracting(_lower),
    "the upper median": _contracting(_upper),
    "the mean instead of the median": _contracting(lambda rows: rows.mean(dim=0)),
    "a median that NaN spoils": _contracting(_spoilt),
    "the mean instead of MDA": _aggregating(lambda rows, f: rows.mean(dim=0)),
    "the first gradients instead of MDA's": _aggregating(
        lambda rows, f: rows[: len(rows) - f].mean(dim=0), chooses=True
    ),
    "the sum instead of the mean": _aggregating(lambda rows, f: rows[f:].sum(dim=0)),
    "momentum at the servers": _momentum(),
    **IN_ROUNDS,
}
"""What is broken, and how."""
