"""One worker, event by event. Vectors are words; 5 servers (1 may lie), 7 workers (2 may lie)."""

import pytest

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import (
    Change,
    ComputeGradient,
    Contract,
    Contracted,
    Done,
    Effect,
    Event,
    Forged,
    Gradient,
    GradientComputed,
    Message,
    Model,
    Pull,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
    Updated,
    Whisper,
    Worker,
)
from byzsgd.protocol.worker import PHASES
from tests.world import servers, workers

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
S = servers(5)
ME = workers(1)[0]


class Walker(Worker):
    """Remembers which way it went through its phases."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(ME, CLUSTER, plan)
        self.walked: list[tuple[str, str]] = []

    def _enter(self, phase: str) -> None:
        self.walked.append((self.phase, phase))
        super()._enter(phase)

    def hear(self, *events: Event, now: float = 0.0) -> list[Effect]:
        return [effect for event in events for effect in self.handle(event, now)]

    def hear_from(self, senders: tuple[NodeId, ...], message: Message) -> list[Effect]:
        return self.hear(*(Received(sender, message) for sender in senders))

    def work(self) -> list[Effect]:
        """A whole step: a quorum of models, their median, the gradient there."""
        step = self.step
        self.hear_from(S[:4], Model(step, "θ"))
        return self.hear(Contracted(step, "x"), GradientComputed(step, f"g{step}"))

    @property
    def state(self) -> tuple[object, ...]:
        """All that a refused message must not change; counters are not part of it."""
        return (self.step, self.phase, repr(self.models._held), self._belief.last, self.catch_ups)


def started(**plan: int | bool | float | str) -> Walker:
    worker = Walker(Plan(**{"steps": 6, "gather_every": 3, **plan}))  # type: ignore[arg-type]
    worker.hear(Started())
    return worker


def arrived_at(phase: str) -> Walker:
    worker = started(steps=1 if phase == "done" else 6)
    if phase in ("contracting", "gradient", "done"):
        worker.hear_from(S[:4], Model(0, "θ"))
    if phase in ("gradient", "done"):
        worker.hear(Contracted(0, "x"))
    if phase == "done":
        worker.hear(GradientComputed(0, "g"))
    assert worker.phase == phase
    return worker


def only(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


# -- a step --------------------------------------------------------------------------------------


def test_starts_by_waiting_for_models() -> None:
    worker = Walker(Plan(steps=3, patience_s=2.0))
    assert worker.hear(Started(), now=10.0) == [SetTimer("patience", 0, 12.0)]
    assert (worker.step, worker.phase) == (0, "models")


def test_takes_the_median_of_the_first_quorum_of_models() -> None:
    worker = started()
    for server in (S[4], S[1], S[3]):
        assert worker.hear(Received(server, Model(0, f"by {server}"))) == []
    expected = tuple((server, f"by {server}") for server in (S[0], S[1], S[3], S[4]))
    assert worker.hear(Received(S[0], Model(0, "by server-0"))) == [Contract(0, expected)]
    assert worker.phase == "contracting"


def test_computes_the_gradient_at_the_median() -> None:
    worker = arrived_at("contracting")
    assert worker.hear(Contracted(0, "x")) == [ComputeGradient(0, "x", None)]
    assert worker.phase == "gradient"


def test_shows_the_gradient_to_every_server_and_goes_on() -> None:
    worker = arrived_at("gradient")
    assert worker.hear(GradientComputed(0, "g"), now=5.0) == [
        Send(S, Gradient(0, "g")),
        SetTimer("patience", 1, 5.0 + worker.plan.patience_s),
    ]
    assert (worker.step, worker.phase) == (1, "models")


def test_momentum_builds_on_the_gradient_submitted_before() -> None:
    worker = started()
    worker.work()
    worker.hear_from(S[:4], Model(1, "θ"))
    assert worker.hear(Contracted(1, "y")) == [ComputeGradient(1, "y", "g0")]


def test_early_models_are_used_as_soon_as_their_step_begins() -> None:
    worker = started()
    worker.hear_from(S[:4], Model(1, "early"))
    assert only(worker.work(), Contract) == [Contract(1, tuple((s, "early") for s in S[:4]))]


def test_models_before_the_start_are_kept() -> None:
    worker = Walker(Plan(steps=2))
    assert worker.hear_from(S[:4], Model(0, "θ")) == []
    assert only(worker.hear(Started()), Contract) != []


def test_counts_distinct_servers_not_messages() -> None:
    worker = started()
    for attempt in range(5):
        worker.hear_from(S[:3], Model(0, attempt))
    assert worker.phase == "models"
    assert worker.hear_from((S[3],), Model(0, 0)) == [Contract(0, tuple((s, 0) for s in S[:4]))]
    assert worker.refused == {(s, "duplicate"): 4 for s in S[:3]}


def test_what_was_taken_is_not_changed_by_later_messages() -> None:
    worker = started()
    [contract] = worker.hear_from(S[:4], Model(0, "θ"))
    assert worker.hear_from(S, Model(0, "lie")) == []
    assert contract == Contract(0, tuple((s, "θ") for s in S[:4]))
    assert worker.refused == {(s, "late"): 1 for s in S}


def test_late_duplicate_surplus_and_early_are_counted_by_sender() -> None:
    worker = started(window=2)
    worker.hear_from((S[0], S[0]), Model(0, "θ"))
    worker.hear_from(S, Model(1, "θ"))
    worker.hear_from((S[0],), Model(2, "beyond the window: step 1 is full and gives no way"))
    worker.hear_from((S[1],), Model(-1, "late"))
    assert worker.refused == {
        (S[0], "duplicate"): 1,
        (S[4], "surplus"): 1,
        (S[0], "early"): 1,
        (S[1], "late"): 1,
    }
    assert worker.kept(S[0]) == 2


@pytest.mark.parametrize(
    "event",
    [
        Received(ME, Model(1, "a model from a worker")),
        Received(S[0], Gradient(0, "a gradient from a server")),
        Received(workers(2)[1], Gradient(0, "a gradient from a worker")),
        Received(S[0], Whisper(1, "psst")),
        Received(S[0], Pull(0)),
        Received(workers(2)[1], Pull(0)),
        Received(S[0], Model(1, "of a gather's second round", 1)),
        Received(S[0], Model(1, "of no round", -1)),
        Received(S[0], Model(7, "of no step: there are six, from 0")),
        Received(NodeId("server", 5), Model(1, "a server of another cluster")),
        Started(),
        Contracted(1, "not asked for"),
        GradientComputed(1, "not asked for"),
        Updated(0, "not a server"),
        Forged(()),
        TimerFired("patience", 7),
        TimerFired("deadline", 0),
        TimerFired("pull", 0),
    ],
    ids=lambda event: str(event)[:60],
)
@pytest.mark.parametrize("phase", ["models", "contracting", "gradient", "done"])
def test_what_is_not_for_a_worker_changes_nothing(event: Event, phase: str) -> None:
    worker = arrived_at(phase)
    before = worker.state
    assert worker.hear(event) == []
    assert worker.state == before
    if isinstance(event, Received):
        assert worker.refused == {(event.sender, "unasked"): 1}


# -- the end -------------------------------------------------------------------------------------


def test_is_done_after_its_last_gradient() -> None:
    worker = started(steps=1, patience_s=2.0)
    assert worker.work()[-3:] == [
        Send(S, Gradient(0, "g0")),
        Done(None),
        SetTimer("patience", 1, 2.0),
    ]
    assert worker.phase == "done"


def test_done_stays_done() -> None:
    worker = arrived_at("done")
    for step in range(8):
        assert worker.hear_from(S, Model(step, "θ")) == []
        events = (Contracted(step, "x"), GradientComputed(step, "g"))
        assert worker.hear(*events, *(TimerFired("patience", other) for other in (0, 2))) == []
    assert (worker.step, worker.phase) == (1, "done")


# -- patience and skipping -----------------------------------------------------------------------


def test_patience_is_renewed_while_nothing_better_is_known() -> None:
    worker = started(patience_s=2.0)
    assert worker.hear(TimerFired("patience", 0), now=7.0) == [SetTimer("patience", 0, 9.0)]


def test_shows_its_last_two_gradients_again_while_nothing_better_is_known() -> None:
    worker = started(patience_s=2.0)
    for _ in range(3):
        worker.work()
    for now in (7.0, 9.0):
        assert worker.hear(TimerFired("patience", 3), now=now) == [
            Send(S, Gradient(1, "g1")),
            Send(S, Gradient(2, "g2")),
            SetTimer("patience", 3, now + 2.0),
        ]
    assert (worker.step, worker.phase) == (3, "models")


def test_shows_its_last_gradients_again_when_done() -> None:
    worker = arrived_at("done")
    for now in (2.0, 4.0):
        assert worker.hear(TimerFired("patience", 1), now=now) == [
            Send(S, Gradient(0, "g")),
            SetTimer("patience", 1, now + worker.plan.patience_s),
        ]
    assert worker.phase == "done"


def test_skips_to_the_end_when_a_full_quorum_is_there() -> None:
    worker = started(patience_s=2.0)
    assert worker.hear_from(S[:4], Model(6, "result")) == []
    assert worker.step == 0, "but not before it has waited"
    assert worker.hear(TimerFired("patience", 0), now=7.0) == [
        Done(None),
        SetTimer("patience", 6, 9.0),
    ]
    assert (worker.step, worker.phase, worker.catch_ups) == (6, "done", 1)


@pytest.mark.parametrize("phase", ["contracting", "gradient"])
def test_never_leaves_a_computation_that_is_under_way(phase: str) -> None:
    worker = arrived_at(phase)
    worker.hear_from(S[:4], Model(3, "θ"))
    assert worker.hear(TimerFired("patience", 0)) == []
    assert (worker.step, worker.phase) == (0, phase)


def test_skips_to_a_full_quorum_but_only_after_patience() -> None:
    worker = started()
    assert worker.hear_from(S, Model(3, "θ")) == []
    assert worker.step == 0, "a slower server may wait for just this gradient"
    models = tuple((s, "θ") for s in S[:4])
    assert worker.hear(TimerFired("patience", 0)) == [Contract(3, models)]
    assert (worker.step, worker.phase, worker.catch_ups) == (3, "contracting", 1)


def test_never_skips_to_less_than_a_full_quorum() -> None:
    worker = started()
    worker.hear_from(S[:3], Model(3, "θ"))
    worker.hear_from(S[2:], Model(4, "θ"))
    worker.hear(TimerFired("patience", 0))
    assert (worker.step, worker.phase, worker.catch_ups) == (0, "models", 0)


def test_skips_to_the_newest_full_quorum() -> None:
    worker = started()
    for step in (2, 4):
        worker.hear_from(S[:4], Model(step, "θ"))
    worker.hear(TimerFired("patience", 0))
    assert worker.step == 4
    worker.hear(Contracted(4, "x"), GradientComputed(4, "g"))
    assert worker.hear_from(S, Model(3, "θ")) == [], "there is no way back"


def test_a_timer_of_another_step_or_phase_is_stale() -> None:
    worker = started()
    worker.work()
    worker.hear_from(S, Model(3, "θ"))
    assert worker.hear(TimerFired("patience", 0)) == []
    worker.hear_from(S, Model(1, "θ"))
    assert worker.hear(TimerFired("patience", 1)) == []
    assert (worker.step, worker.phase) == (1, "contracting")


def test_waits_where_catching_up_is_switched_off() -> None:
    worker = started(catch_up=False, patience_s=2.0)
    worker.work()
    worker.hear_from(S, Model(3, "θ"))
    assert worker.hear(TimerFired("patience", 1), now=3.0) == [SetTimer("patience", 1, 5.0)]
    assert (worker.step, worker.phase, worker.catch_ups) == (1, "models", 0)


# -- pulling one model ---------------------------------------------------------------------------

NEAR = Change(model=0.5, gradient=1.0, stride=1.0)
FAR = Change(model=1e9, gradient=1.0, stride=1.0)
DEADLINE_S = 2.0


def pulling(**plan: int | bool | float | str) -> Walker:
    """A worker of the synchronous variant that has just asked server 1 for its model of step 1."""
    worker = started(**{"mode": "sync", "deadline_s": DEADLINE_S, **plan})
    worker.work()
    assert (worker.step, worker.phase) == (1, "pulling")
    return worker


def pull(worker: Walker, change: Change | None = NEAR) -> list[Effect]:
    """A whole step by one model."""
    step = worker.step
    worker.hear(Received(S[step % 5], Model(step, f"θ{step}")))
    return worker.hear(GradientComputed(step, f"g{step}", change))


def test_at_step_0_it_waits_for_what_all_scatter() -> None:
    worker = started(mode="sync")
    worker.hear_from(S[:3], Model(0, "θ"))
    assert worker.phase == "models"
    assert worker.hear_from((S[3],), Model(0, "θ")) == [
        Contract(0, tuple((server, "θ") for server in S[:4]))
    ]


def test_posts_its_wish_beside_its_gradient() -> None:
    worker = started(mode="sync", deadline_s=DEADLINE_S)
    worker.hear_from(S[:4], Model(0, "θ"))
    worker.hear(Contracted(0, "x"))
    assert worker.hear(GradientComputed(0, "g0"), now=5.0) == [
        Send(S, Gradient(0, "g0")),
        Send((S[1],), Pull(1)),
        SetTimer("pull", 1, 5.0 + DEADLINE_S / 4),
    ]


def test_computes_at_the_one_model_and_has_the_change_measured() -> None:
    worker = pulling()
    assert worker.hear(Received(S[1], Model(1, "θ1"))) == [ComputeGradient(1, "θ1", "g0", "x")]
    effects = worker.hear(GradientComputed(1, "g1", NEAR))
    assert effects[:2] == [Send(S, Gradient(1, "g1")), Send((S[2],), Pull(2))]
    assert worker.judged == {(S[1], "accepted"): 1}
    assert worker.hear(Received(S[2], Model(2, "θ2"))) == [ComputeGradient(2, "θ2", "g1", "θ1")]


def test_at_a_gather_it_takes_a_quorum_and_no_single_model() -> None:
    worker = pulling()
    pull(worker)
    effects = pull(worker)
    assert (worker.step, worker.phase) == (3, "models")
    assert not [e for e in effects if isinstance(e, Send) and isinstance(e.message, Pull)]
    assert worker.hear_from(S[:3], Model(3, "θ3")) == []
    [contract] = worker.hear_from((S[3],), Model(3, "θ3"))
    assert isinstance(contract, Contract)
    assert worker.hear(Contracted(3, "x3")) == [ComputeGradient(3, "x3", "g2", None)]


@pytest.mark.parametrize(
    ("change", "why"),
    [(FAR, "outlier"), (Change(float("nan"), float("nan"), 1.0), "not finite")],
)
def test_what_it_does_not_believe_it_does_not_submit(change: Change, why: str) -> None:
    worker = pulling()
    worker.hear(Received(S[1], Model(1, "lie")))
    assert worker.hear(GradientComputed(1, "bad", change), now=3.0) == [
        Send((S[2],), Pull(1)),
        SetTimer("pull", 1, 3.0 + DEADLINE_S / 4),
    ]
    assert worker.judged == {(S[1], why): 1}
    assert worker.hear(Received(S[2], Model(1, "θ1"))) == [ComputeGradient(1, "θ1", "g0", "x")]
    effects = worker.hear(GradientComputed(1, "good", NEAR))
    assert effects[0] == Send(S, Gradient(1, "good"))


def test_a_rejected_gradient_is_no_momentum() -> None:
    worker = pulling()
    worker.hear(Received(S[1], Model(1, "lie")), GradientComputed(1, "bad", FAR))
    [asked] = only(worker.hear(Received(S[2], Model(1, "θ1"))), ComputeGradient)
    assert asked == ComputeGradient(1, "θ1", last="g0", last_params="x")


def test_asks_another_server_when_one_does_not_answer_in_time() -> None:
    worker = pulling()
    assert worker.hear(TimerFired("pull", 1), now=1.0) == [
        Send((S[2],), Pull(1)),
        SetTimer("pull", 1, 1.0 + DEADLINE_S / 4),
    ]
    assert worker.judged == {(S[1], "late"): 1}
    late = worker.hear(Received(S[1], Model(1, "after all")))
    assert late == [ComputeGradient(1, "after all", "g0", "x")]


def test_of_several_late_ones_the_next_is_tried_after_a_rejection() -> None:
    worker = pulling()
    worker.hear(TimerFired("pull", 1), Received(S[1], Model(1, "lie")))
    assert worker.hear(Received(S[2], Model(1, "θ1"))) == []
    effects = worker.hear(GradientComputed(1, "bad", FAR))
    assert effects == [ComputeGradient(1, "θ1", "g0", "x")]


@pytest.mark.parametrize("heard", [False, True])
def test_after_f_and_one_in_vain_it_asks_all_and_takes_a_quorum(heard: bool) -> None:
    worker = pulling(patience_s=9.0)
    if heard:
        worker.hear(Received(S[1], Model(1, "lie")), GradientComputed(1, "bad", FAR))
    else:
        worker.hear(TimerFired("pull", 1))
    effects = worker.hear(TimerFired("pull", 1), now=1.0)
    missing = tuple(server for server in S if not (heard and server == S[1]))
    assert effects == [Send(missing, Pull(1)), SetTimer("patience", 1, 10.0)]
    assert worker.phase == "models"
    effects = worker.hear_from(S[1:], Model(1, "θ1"))
    [contract] = only(effects, Contract)
    assert contract == Contract(
        1, tuple((s, "lie" if heard and s == S[1] else "θ1") for s in S[1:])
    )
    worker.hear(Contracted(1, "x1"))
    assert worker.hear(GradientComputed(1, "g1"))[0] == Send(S, Gradient(1, "g1"))


def test_only_a_server_that_was_asked_is_believed_alone() -> None:
    worker = pulling()
    assert worker.hear_from((S[2], S[4]), Model(1, "unasked")) == []
    assert worker.phase == "pulling"
    effects = worker.hear(TimerFired("pull", 1))
    assert only(effects, ComputeGradient) == [ComputeGradient(1, "unasked", "g0", "x")]


def test_only_a_model_of_just_this_step_is_believed_alone() -> None:
    worker = pulling()
    assert worker.hear_from((S[1],), Model(0, "θ0")) == []
    assert worker.hear_from((S[2],), Model(2, "θ2")) == []
    assert only(worker.hear_from((S[1],), Model(2, "θ2")), ComputeGradient) == []
    assert worker.phase == "pulling"


def test_who_is_ahead_has_the_model_no_more_and_the_next_is_asked_at_once() -> None:
    worker = pulling()
    asks, timer = worker.hear_from((S[1],), Model(2, "θ2"))
    assert asks == Send((S[2],), Pull(1))
    assert isinstance(timer, SetTimer)
    assert worker.judged == {(S[1], "late"): 1}


def test_a_quorum_that_is_there_anyhow_is_better_than_one() -> None:
    worker = pulling()
    assert worker.hear_from(S[2:], Model(1, "θ1")) == []
    assert worker.hear_from((S[0],), Model(1, "θ1")) == [
        Contract(1, tuple((server, "θ1") for server in (S[0], *S[2:])))
    ]


def test_who_has_no_gradient_of_the_step_before_cannot_judge() -> None:
    worker = started(mode="sync", patience_s=2.0)
    worker.hear_from(S[:4], Model(2, "θ2"))
    assert (worker.step, worker.phase, worker.catch_ups) == (2, "contracting", 1)
    skips = pulling(gather_every=6)
    skips.hear(TimerFired("pull", 1), TimerFired("pull", 1))
    [contract] = skips.hear_from(S[:4], Model(3, "θ3"))
    assert isinstance(contract, Contract)
    assert (skips.step, skips.catch_ups) == (3, 1)


def test_goes_on_at_once_where_a_round_was_missed_but_not_while_it_may_be_answered() -> None:
    worker = pulling(gather_every=6)
    assert worker.hear_from((S[0], *S[2:]), Model(3, "θ3")) == [], "who was asked is not ahead"
    assert worker.step == 1
    worker.hear(TimerFired("pull", 1))
    effects = worker.hear(TimerFired("pull", 1))
    assert only(effects, Contract) == [Contract(3, tuple((s, "θ3") for s in (S[0], *S[2:])))]


def test_who_waits_in_vain_asks_again() -> None:
    worker = pulling(patience_s=2.0)
    worker.hear(TimerFired("pull", 1), TimerFired("pull", 1), Received(S[3], Model(1, "θ1")))
    assert worker.hear(TimerFired("patience", 1), now=7.0) == [
        Send(S, Gradient(0, "g0")),
        Send(S, Pull(1)),
        SetTimer("patience", 1, 9.0),
    ]


def test_says_again_as_many_gradients_as_a_server_can_keep() -> None:
    """A few servers may be several steps ahead of the others, where one is enough to go on."""
    worker = pulling(steps=9, gather_every=9, window=4)
    for _ in range(4):
        pull(worker)
    worker.hear(TimerFired("pull", 5), TimerFired("pull", 5))
    again = only(worker.hear(TimerFired("patience", 5)), Send)
    assert [e.message for e in again if isinstance(e, Send)] == [
        *(Gradient(step, f"g{step}") for step in (2, 3, 4)),
        Pull(5),
    ]


def test_who_is_done_asks_for_nothing() -> None:
    worker = pulling(steps=2)
    pull(worker)
    assert worker.phase == "done"
    again = worker.hear(TimerFired("patience", 2))
    assert not [e for e in again if isinstance(e, Send) and isinstance(e.message, Pull)]


def test_a_pulls_time_that_is_over_is_stale() -> None:
    worker = pulling()
    for event in (TimerFired("pull", 0), TimerFired("pull", 2)):
        assert worker.hear(event) == []
    worker.hear(Received(S[1], Model(1, "θ1")))
    assert worker.hear(TimerFired("pull", 1)) == []
    assert worker.phase == "gradient"


def test_a_liar_that_waits_for_one_model_judges_none() -> None:
    liar = Worker(ME, CLUSTER, Plan(6, gather_every=3, mode="sync"), quorum=1)
    for event in (Started(), Received(S[0], Model(0, "θ")), Contracted(0, "x")):
        liar.handle(event, 0.0)
    effects = liar.handle(GradientComputed(0, "g"), 0.0)
    assert Send(S, Pull(1)) in effects
    assert liar.handle(Received(S[3], Model(1, "θ")), 0.0) == [Contract(1, ((S[3], "θ"),))]


def test_in_the_asynchronous_mode_nothing_is_pulled() -> None:
    worker = started()
    effects = [*worker.work(), *worker.work(), *worker.hear(TimerFired("patience", 2))]
    assert not [e for e in effects if isinstance(e, Send) and isinstance(e.message, Pull)]


# -- phases --------------------------------------------------------------------------------------


def test_every_way_through_the_phases_is_walked() -> None:
    worker = started(steps=2)
    worker.work()
    worker.work()
    skips = started()
    skips.hear_from(S, Model(6, "θ"))
    skips.hear(TimerFired("patience", 0))
    rejects, despairs, is_told = pulling(), pulling(), pulling()
    rejects.hear(Received(S[1], Model(1, "lie")), GradientComputed(1, "g", FAR))
    despairs.hear(TimerFired("pull", 1), TimerFired("pull", 1))
    is_told.hear_from(S[1:], Model(1, "θ1"))
    is_told.hear(GradientComputed(1, "g", FAR))
    pulls = (rejects, despairs, is_told)
    walked = {way for one in (worker, skips, *pulls) for way in one.walked}
    assert walked == {(now, next_) for now, ways in PHASES.items() for next_ in ways}


def test_a_way_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="worker-0: models → gradient"):
        started()._enter("gradient")
