"""One server, event by event. Vectors are words; 5 servers (1 may lie), 7 workers (2 may lie)."""

import pytest

from byzsgd.cluster import REPEATED, Cluster, NodeId, Plan
from byzsgd.protocol import (
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
    Prepare,
    Pull,
    Received,
    Save,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Update,
    Updated,
    Whisper,
)
from byzsgd.protocol.server import PHASES
from tests.world import servers, workers

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
S = servers(5)
W = workers(7)
ME, *PEERS = S
Q_S, Q_W = 4, 5


class Walker(Server):
    """Remembers which way it went through its phases."""

    def __init__(
        self, plan: Plan, cluster: Cluster = CLUSTER, me: NodeId = ME, step: int = 0
    ) -> None:
        super().__init__(me, cluster, plan, f"θ{step}", step=step)
        self.walked: list[tuple[str, str]] = []

    def _enter(self, phase: str) -> None:
        self.walked.append((self.phase, phase))
        super()._enter(phase)

    def hear(self, *events: Event, now: float = 0.0) -> list[Effect]:
        """What it does, but for what may be prepared: see the tests of that."""
        return [
            effect
            for event in events
            for effect in self.handle(event, now)
            if not isinstance(effect, Prepare)
        ]

    def hear_from(
        self, senders: tuple[NodeId, ...] | list[NodeId], message: Message
    ) -> list[Effect]:
        return self.hear(*(Received(sender, message) for sender in senders))

    def update(self, to: str = "") -> list[Effect]:
        """A whole step: a quorum of gradients, and its update."""
        self.hear_from(W[:Q_W], Gradient(self.step, "g"))
        return self.hear(Updated(self.step, to or f"θ{self.step + 1}"))

    @property
    def state(self) -> tuple[object, ...]:
        """All that a refused message must not change; counters are not part of it."""
        held = (self.gradients._held, self.models._held)
        return (self.step, self.phase, self.params, repr(held), self.catch_ups)


def started(**plan: int | bool | float | str) -> Walker:
    server = Walker(Plan(**{"steps": 6, "gather_every": 3, **plan}))  # type: ignore[arg-type]
    server.hear(Started())
    return server


def gathering(**plan: int | bool | float) -> Walker:
    """A server that has just shown its model of step 1 to its peers."""
    server = started(**{"gather_every": 1, **plan})
    server.update()
    return server


def only(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


# -- restarted -------------------------------------------------------------------------------------


def test_a_restarted_server_goes_on_where_it_had_saved() -> None:
    server = Walker(Plan(steps=6, gather_every=3), step=4)
    assert only(server.hear(Started()), Send) == [Send(W, Model(4, "θ4"))]
    server.hear_from(W, Gradient(3, "late"))
    assert server.kept(W[0]) == 0
    [update] = server.hear_from(W[:Q_W], Gradient(4, "g"))
    assert update == Update(4, "θ4", tuple((worker, "g") for worker in W[:Q_W]))


def test_a_restarted_server_takes_no_model_of_a_step_that_it_has_done() -> None:
    server = Walker(Plan(steps=9, gather_every=1, patience_s=1.0), step=4)
    server.hear(Started())
    server.hear_from(PEERS, Model(4, "old"))
    assert (server.step, server.phase) == (4, "gradients")
    server.hear_from(PEERS, Model(6, "p"))
    assert (server.step, server.phase) == (6, "contracting")


def test_one_that_had_saved_its_last_step_is_done_at_once() -> None:
    server = Walker(Plan(steps=4), step=4)
    effects = server.hear(Started())
    assert [type(effect) for effect in effects] == [Save, Done, SetTimer]
    assert server.phase == "done"


# -- scatter and update --------------------------------------------------------------------------


def test_starts_by_showing_its_model_to_every_worker() -> None:
    server = Walker(Plan(steps=3, patience_s=2.0))
    assert server.hear(Started(), now=10.0) == [
        Send(W, Model(0, "θ0")),
        SetTimer("patience", 0, 12.0),
    ]
    assert (server.step, server.phase) == (0, "gradients")


def test_updates_at_the_first_quorum_of_gradients() -> None:
    server = started()
    arrived = [W[6], W[0], W[3], W[2]]
    for sender in arrived:
        assert server.hear(Received(sender, Gradient(0, f"by {sender}"))) == []
    expected = tuple((sender, f"by {sender}") for sender in (W[0], W[2], W[3], W[5], W[6]))
    assert server.hear(Received(W[5], Gradient(0, "by worker-5"))) == [Update(0, "θ0", expected)]
    assert server.phase == "updating"


def test_has_gradients_prepared_as_they_come() -> None:
    server = started()
    [prepare] = server.handle(Received(W[3], Gradient(0, "g")), now=0.0)
    assert prepare == Prepare(0, W[3], "g")
    assert server.handle(Received(W[3], Gradient(0, "twice")), now=0.0) == []
    assert server.handle(Received(W[2], Gradient(1, "early")), now=0.0) == []
    server.hear_from(W[4:], Gradient(0, "g"))
    last, update = server.handle(Received(W[0], Gradient(0, "last")), now=0.0)
    assert last == Prepare(0, W[0], "last")
    assert isinstance(update, Update)


def test_has_those_prepared_that_came_before_their_step() -> None:
    server = started()
    server.hear_from([W[5], W[1]], Gradient(1, "early"))
    server.hear_from(W[:Q_W], Gradient(0, "g"))
    effects = server.handle(Updated(0, "θ1"), now=0.0)
    assert only(effects, Prepare) == [Prepare(1, W[1], "early"), Prepare(1, W[5], "early")]


def test_prepares_nothing_while_it_computes() -> None:
    server = started()
    server.hear_from(W[:Q_W], Gradient(0, "g"))
    assert server.handle(Received(W[6], Gradient(0, "late")), now=0.0) == []
    assert server.handle(Received(W[6], Gradient(1, "early")), now=0.0) == []


def test_goes_on_to_the_next_step_with_the_updated_model() -> None:
    server = started()
    server.hear_from(W[:5], Gradient(0, "g"))
    assert only(server.hear(Updated(0, "θ1")), Send) == [Send(W, Model(1, "θ1"))]
    assert (server.step, server.phase, server.params) == (1, "gradients", "θ1")


def test_early_gradients_are_used_as_soon_as_their_step_begins() -> None:
    server = started()
    server.hear_from(W[:5], Gradient(1, "early"))
    assert server.phase == "gradients"
    effects = server.update()
    assert only(effects, Update) == [Update(1, "θ1", tuple((w, "early") for w in W[:5]))]


def test_models_and_gradients_before_the_start_are_kept() -> None:
    server = Walker(Plan(steps=2))
    assert server.hear_from(W[:5], Gradient(0, "g")) == []
    assert server.phase == "starting"
    assert only(server.hear(Started()), Update) != []


def test_counts_distinct_workers_not_messages() -> None:
    server = started()
    for attempt in range(5):
        server.hear_from(W[:4], Gradient(0, attempt))
    assert server.phase == "gradients"
    assert server.hear_from([W[4]], Gradient(0, 0)) == [
        Update(0, "θ0", tuple((w, 0) for w in W[:5]))
    ]
    assert server.refused == {(w, "duplicate"): 4 for w in W[:4]}


def test_what_was_taken_is_not_changed_by_later_messages() -> None:
    server = started()
    [update] = server.hear_from(W[:5], Gradient(0, "g"))
    assert server.hear_from(W, Gradient(0, "lie")) == []
    assert update == Update(0, "θ0", tuple((w, "g") for w in W[:5]))
    assert server.refused == {(w, "late"): 1 for w in W}


# -- gather --------------------------------------------------------------------------------------


def test_gathers_every_period_and_scatters_the_median() -> None:
    server = started(gather_every=2, patience_s=2.0)
    assert only(server.update(), Send) == [Send(W, Model(1, "θ1"))]
    assert server.update() == [
        Send(tuple(PEERS), Model(2, "θ2")),
        SetTimer("patience", 2, 2.0),
    ]
    assert server.phase == "models"
    mine_and_theirs = ((ME, "θ2"), *((peer, "p") for peer in PEERS[:3]))
    assert server.hear_from(PEERS[:3], Model(2, "p")) == [Contract(2, mine_and_theirs)]
    assert only(server.hear(Contracted(2, "median")), Send) == [Send(W, Model(2, "median"))]
    assert (server.step, server.phase) == (2, "gradients")


def test_own_model_counts_once_though_a_whole_quorum_of_peers_was_faster() -> None:
    server = started(gather_every=1, catch_up=False)
    server.hear_from(PEERS, Model(1, "p"))
    [contract] = only(server.update(), Contract)
    assert contract == Contract(1, ((ME, "θ1"), *((peer, "p") for peer in PEERS[:3])))


def test_own_model_sent_back_by_a_reflection_is_ignored() -> None:
    server = gathering()
    before = server.state
    assert server.hear_from([ME], Model(1, "θ1")) == []
    assert server.state == before


def test_own_models_sent_back_are_no_evidence_that_others_are_ahead() -> None:
    server = started()
    server.hear_from([ME, *PEERS[:2]], Model(3, "p"))
    server.hear(TimerFired("patience", 0))
    assert (server.step, server.catch_ups) == (0, 0)


def test_three_peers_are_needed_besides_the_own_model() -> None:
    server = gathering()
    server.hear_from(PEERS[:2] * 3, Model(1, "p"))
    assert server.phase == "models"


def test_a_lone_server_never_gathers() -> None:
    server = Walker(Plan(steps=2, gather_every=1), Cluster(1, 1))
    server.hear(Started(), Received(W[0], Gradient(0, "g")))
    assert only(server.hear(Updated(0, "θ1")), Send) == [Send((W[0],), Model(1, "θ1"))]


def test_gathers_several_rounds_in_a_row_when_asked() -> None:
    server = gathering(gather_rounds=2)
    server.hear_from(PEERS[:3], Model(1, "p"))
    effects = server.hear(Contracted(1, "m"))
    assert only(effects, Send) == [Send(tuple(PEERS), Model(1, "m", 1))]
    server.hear_from(PEERS[:3], Model(1, "p"))
    assert server.phase == "models", "models of the first round are late"
    expected = ((ME, "m"), *((peer, "q") for peer in PEERS[:3]))
    assert server.hear_from(PEERS[:3], Model(1, "q", 1)) == [Contract(1, expected)]
    assert only(server.hear(Contracted(1, "n")), Send) == [Send(W, Model(1, "n"))]


def test_the_second_round_of_one_gather_is_not_the_first_of_the_next() -> None:
    server = gathering(gather_rounds=2)
    server.hear_from(PEERS[:3], Model(1, "p"))
    server.hear(Contracted(1, "m"))
    server.hear_from(PEERS[:3], Model(1, "q", 1))
    server.hear(Contracted(1, "n"))
    effects = server.update()
    assert only(effects, Send) == [Send(tuple(PEERS), Model(2, "θ2", 0))]


@pytest.mark.parametrize(
    ("step", "round_"),
    [(1, 0), (2, 0), (4, 0), (0, 0), (-3, 0), (3, 2), (3, -1), (9, 0), (0, 1), (-1, 1), (7, 1)],
)
def test_a_model_of_no_round_is_refused(step: int, round_: int) -> None:
    server = started(steps=6, gather_every=3, gather_rounds=1)
    before = server.state
    assert server.hear_from(PEERS, Model(step, "p", round_)) == []
    assert server.state == before
    assert server.refused == {(peer, "unasked"): 1 for peer in PEERS}


# -- refused -------------------------------------------------------------------------------------


NOT_FOR_A_SERVER: list[Event] = [
    Received(W[0], Model(1, "a model from a worker")),
    Received(PEERS[0], Gradient(0, "a gradient from a server")),
    Received(ME, Gradient(0, "a gradient from oneself")),
    Received(W[0], Whisper(0, "psst")),
    Received(PEERS[0], Whisper(1, "psst")),
    Received(W[0], Gradient(-1, "before the first step")),
    Received(NodeId("server", 5), Model(1, "a server of another cluster")),
    Received(NodeId("worker", 7), Gradient(0, "a worker of another cluster")),
    Started(),
    Updated(0, "not asked for"),
    Contracted(1, "not asked for"),
    GradientComputed(0, "not a worker"),
    Forged(()),
    TimerFired("patience", 7),
    TimerFired("deadline", 0),
]
ANSWERS: dict[str, type[Event]] = {"updating": Updated, "contracting": Contracted}


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        (phase, event)
        for phase in ("gradients", "updating", "models", "contracting", "done")
        for event in NOT_FOR_A_SERVER
        if type(event) is not ANSWERS.get(phase)
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_not_for_a_server_changes_nothing(phase: str, event: Event) -> None:
    server = arrived_at(phase)
    before = server.state
    assert server.hear(event) == []
    assert server.state == before
    if isinstance(event, Received):
        assert server.refused.total() == 1, "and what was said in vain is counted"


def arrived_at(phase: str) -> Walker:
    """A server at step 0 or 1, gathering at every step."""
    server = started(gather_every=1, steps=1 if phase == "done" else 6)
    if phase != "gradients":
        server.hear_from(W[:5], Gradient(0, "g"))
    if phase in ("models", "contracting", "done"):
        server.hear(Updated(0, "θ1"))
    if phase in ("contracting", "done"):
        server.hear_from(PEERS[:3], Model(1, "p"))
    if phase == "done":
        server.hear(Contracted(1, "m"))
    assert server.phase == phase
    return server


def test_late_duplicate_surplus_and_early_are_counted_by_sender() -> None:
    server = started(window=2)
    server.hear_from([W[0], W[0]], Gradient(0, "g"))
    server.hear_from(W[1:7], Gradient(1, "g"))
    server.hear_from([W[1]], Gradient(3, "g"))
    server.hear_from([W[1]], Gradient(2, "beyond the window, and not the newest"))
    server.hear_from(PEERS[:1], Model(3, "p"))
    server.hear_from(PEERS[:1], Model(3, "p"))
    server.hear_from([W[5]], Gradient(-1, "late"))
    assert server.refused == {
        (W[0], "duplicate"): 1,
        (W[6], "surplus"): 1,
        (W[1], "early"): 1,
        (PEERS[0], "duplicate"): 1,
        (W[5], "late"): 1,
    }
    assert server.kept(W[1]) == 2


@pytest.mark.parametrize("answer", [Updated(1, "x"), Updated(-1, "x"), Contracted(0, "x")])
def test_an_answer_to_another_question_is_ignored(answer: Event) -> None:
    server = arrived_at("updating")
    assert server.hear(answer) == []
    assert server.phase == "updating"


# -- the end -------------------------------------------------------------------------------------


def test_is_done_after_the_last_step_and_saves_its_model() -> None:
    server = started(steps=1, patience_s=2.0)
    assert server.update() == [Save(1, "θ1"), Done("θ1"), SetTimer("patience", 1, 2.0)]
    assert server.phase == "done"


def test_gathers_once_more_when_the_last_step_ends_a_period() -> None:
    server = arrived_at("models")
    finishing = started(gather_every=1, steps=1, patience_s=2.0)
    finishing.update()
    finishing.hear_from(PEERS[:3], Model(1, "p"))
    assert finishing.hear(Contracted(1, "m")) == [
        Save(1, "m"),
        Done("m"),
        SetTimer("patience", 1, 2.0),
    ]
    assert server.phase == "models"


def test_saves_when_asked() -> None:
    server = started(steps=4, save_every=2)
    assert [only(server.update(), Save) for _ in range(2)] == [[], [Save(2, "θ2")]]


def test_done_stays_done() -> None:
    server = started(steps=1, gather_every=1)
    server.update()
    server.hear_from(PEERS[:3], Model(1, "p"))
    server.hear(Contracted(1, "m"))
    assert server.phase == "done"
    for step in range(8):
        assert server.hear_from(W, Gradient(step, "g")) == []
        assert server.hear_from(PEERS, Model(step, "p")) == []
        assert server.hear_from(PEERS, Model(step, "p", 1)) == []
        events = (Updated(step, "x"), Contracted(step, "x"), TimerFired("patience", step + 2))
        assert server.hear(*events, TimerFired("patience", 0)) == []
    assert (server.step, server.phase, server.params) == (1, "done", "m")


# -- patience and catching up --------------------------------------------------------------------


def test_shows_its_model_again_and_renews_its_patience_while_nothing_better_is_known() -> None:
    server = started(patience_s=2.0)
    for now in (7.0, 9.0):
        assert server.hear(TimerFired("patience", 0), now=now) == [
            Send(W, Model(0, "θ0")),
            SetTimer("patience", 0, now + 2.0),
        ]
    assert server.phase == "gradients"


def test_shows_its_last_two_models_again_to_peers_as_the_round_after_the_last() -> None:
    server = started()
    server.update()
    server.update()
    assert only(server.hear(TimerFired("patience", 2)), Send) == [
        Send(W, Model(1, "θ1")),
        Send(tuple(PEERS), Model(1, "θ1", 1)),
        Send(W, Model(2, "θ2")),
        Send(tuple(PEERS), Model(2, "θ2", 1)),
    ]


def test_shows_again_what_it_showed_in_the_last_two_rounds_of_a_gather() -> None:
    server = gathering(gather_rounds=2)
    assert only(server.hear(TimerFired("patience", 1)), Send) == [
        Send(W, Model(0, "θ0")),
        Send(tuple(PEERS), Model(1, "θ1")),
    ]
    server.hear_from(PEERS[:3], Model(1, "p"))
    server.hear(Contracted(1, "m"))
    assert only(server.hear(TimerFired("patience", 1)), Send) == [
        Send(tuple(PEERS), Model(1, "θ1")),
        Send(tuple(PEERS), Model(1, "m", 1)),
    ]
    server.hear_from(PEERS[:3], Model(1, "q", 1))
    server.hear(Contracted(1, "n"))
    assert only(server.hear(TimerFired("patience", 1)), Send) == [
        Send(tuple(PEERS), Model(1, "m", 1)),
        Send(W, Model(1, "n")),
        Send(tuple(PEERS), Model(1, "n", 2)),
    ]


def test_shows_its_result_again_when_done() -> None:
    server = arrived_at("done")
    for now in (2.0, 4.0):
        assert server.hear(TimerFired("patience", 1), now=now) == [
            Send(tuple(PEERS), Model(1, "θ1")),
            Send(W, Model(1, "m")),
            Send(tuple(PEERS), Model(1, "m", 1)),
            SetTimer("patience", 1, now + server.plan.patience_s),
        ]
    assert server.phase == "done"


def test_a_lone_server_shows_its_model_again_to_the_workers_only() -> None:
    server = Walker(Plan(steps=2), Cluster(1, 1))
    server.hear(Started(), Received(W[0], Gradient(0, "g")), Updated(0, "θ1"))
    again = only(server.hear(TimerFired("patience", 1)), Send)
    assert again == [Send((W[0],), Model(0, "θ0")), Send((W[0],), Model(1, "θ1"))]


def test_a_timer_of_an_earlier_step_is_stale() -> None:
    server = started()
    server.update()
    server.hear_from(PEERS[:3], Model(3, "p"))
    assert server.hear(TimerFired("patience", 0)) == []
    assert (server.step, server.catch_ups) == (1, 0)


def test_adopts_the_median_of_two_f_and_one_peers_after_patience() -> None:
    server = started()
    assert server.hear_from(PEERS[:3], Model(3, "p")) == []
    assert server.catch_ups == 0, "not at once: three are no quorum of four"
    models = tuple((peer, "p") for peer in PEERS[:3])
    assert server.hear(TimerFired("patience", 0)) == [Contract(3, models)]
    assert (server.step, server.phase, server.catch_ups) == (3, "contracting", 1)


def test_two_peers_are_too_few_even_after_patience() -> None:
    server = started()
    server.hear_from(PEERS[:2], Model(3, "p"))
    server.hear_from(PEERS[2:], Model(6, "p"))
    server.hear(TimerFired("patience", 0))
    assert (server.step, server.phase, server.catch_ups) == (0, "gradients", 0)


def test_a_rejoined_server_shows_the_median_as_its_own_model() -> None:
    server = started()
    server.hear_from(PEERS[:3], Model(3, "p"))
    server.hear(TimerFired("patience", 0))
    effects = server.hear(Contracted(3, "median"))
    assert only(effects, Send) == [Send(tuple(PEERS), Model(3, "median"))]
    quorum = ((ME, "median"), *((peer, "p") for peer in PEERS[:3]))
    assert only(effects, Contract) == [Contract(3, quorum)], "and takes part like any other"
    assert only(server.hear(Contracted(3, "m")), Send) == [Send(W, Model(3, "m"))]
    assert (server.step, server.phase) == (3, "gradients")


def test_joins_at_once_when_a_whole_quorum_of_peers_is_ahead() -> None:
    server = started()
    server.hear_from(PEERS[:3], Model(3, "p"))
    models = tuple((peer, "p") for peer in PEERS)
    assert server.hear_from(PEERS[3:], Model(3, "p")) == [Contract(3, models)]


def test_joins_the_newest_gather_that_enough_have_reached() -> None:
    server = started(gather_every=1, steps=9)
    server.hear_from(PEERS[:3], Model(2, "p"))
    server.hear_from(PEERS[:3], Model(4, "q"))
    server.hear_from(PEERS[:2], Model(5, "r"))
    server.hear(TimerFired("patience", 0))
    assert (server.step, server.phase) == (4, "contracting")


def test_a_server_that_waits_in_a_gather_may_join_a_later_one() -> None:
    server = gathering()
    server.hear_from(PEERS[:2], Model(1, "p"))
    server.hear_from(PEERS[:3], Model(2, "q"))
    [contract] = server.hear(TimerFired("patience", 1))
    assert contract == Contract(2, tuple((peer, "q") for peer in PEERS[:3]))


def test_a_later_round_of_the_same_gather_may_be_joined() -> None:
    server = gathering(gather_rounds=2)
    server.hear_from(PEERS[:3], Model(1, "q", 1))
    assert only(server.hear(TimerFired("patience", 1)), Contract) == [
        Contract(1, tuple((peer, "q") for peer in PEERS[:3]))
    ]
    effects = server.hear(Contracted(1, "median"))
    assert only(effects, Send) == [Send(tuple(PEERS), Model(1, "median", 1))]


@pytest.mark.parametrize("step", [2, 3])
def test_the_median_of_models_shown_after_the_last_round_goes_to_the_workers(step: int) -> None:
    server = started()
    server.hear_from(PEERS[:3], Model(step, "p", 1))
    assert server.catch_ups == 0
    models = tuple((peer, "p") for peer in PEERS[:3])
    assert server.hear(TimerFired("patience", 0)) == [Contract(step, models)]
    effects = server.hear(Contracted(step, "median"))
    assert only(effects, Send) == [Send(W, Model(step, "median"))]
    assert (server.step, server.phase, server.params) == (step, "gradients", "median")
    assert only(server.update(), Update) == [], "and goes on as after any other scatter"
    assert server.step == step + 1


def test_two_peers_after_the_last_round_are_too_few() -> None:
    server = started()
    server.hear_from(PEERS[:2], Model(2, "p", 1))
    server.hear_from(PEERS[2:], Model(1, "p", 1))
    server.hear(TimerFired("patience", 0))
    assert (server.step, server.phase, server.catch_ups) == (0, "gradients", 0)


def test_who_waits_in_a_gather_may_go_on_from_after_it() -> None:
    server = gathering()
    server.hear_from(PEERS[:3], Model(1, "q", 1))
    assert only(server.hear(TimerFired("patience", 1)), Contract) != []
    assert only(server.hear(Contracted(1, "median")), Send) == [Send(W, Model(1, "median"))]


def test_ones_own_step_is_not_joined_again() -> None:
    server = started()
    server.update()
    server.hear_from(PEERS, Model(1, "p", 1))
    assert only(server.hear(TimerFired("patience", 1)), Contract) == []
    assert server.refused == {(peer, "late"): 1 for peer in PEERS}


def test_the_last_step_may_be_joined_after_its_gather() -> None:
    server = started(steps=4)
    server.hear_from(PEERS[:3], Model(4, "p", 1))
    server.hear(TimerFired("patience", 0))
    assert server.hear(Contracted(4, "m"))[:2] == [Save(4, "m"), Done("m")]


def test_gradients_that_came_before_the_server_rejoined_are_used() -> None:
    server = started()
    server.hear_from(W[:5], Gradient(3, "g"))
    server.hear_from(PEERS, Model(3, "p"))
    server.hear(Contracted(3, "median"))
    effects = server.hear(Contracted(3, "m"))
    assert only(effects, Update) == [Update(3, "m", tuple((w, "g") for w in W[:5]))]


def test_gradients_of_steps_it_skipped_are_late() -> None:
    server = started()
    server.hear_from(PEERS, Model(3, "p"))
    server.hear_from([W[0]], Gradient(2, "g"))
    assert server.refused[W[0], "late"] == 1


def test_rejoining_at_the_last_step_ends_there() -> None:
    server = started(steps=3)
    server.hear_from(PEERS, Model(3, "p"))
    server.hear(Contracted(3, "median"))
    assert server.hear(Contracted(3, "m"))[:2] == [Save(3, "m"), Done("m")]


def test_waits_where_catching_up_is_switched_off() -> None:
    server = started(catch_up=False, patience_s=2.0)
    for step in (3, 6):
        assert server.hear_from(PEERS, Model(step, "p")) == []
        assert server.hear_from(PEERS, Model(step, "p", 1)) == []
    assert server.hear(TimerFired("patience", 0), now=3.0) == [SetTimer("patience", 0, 5.0)]
    assert (server.step, server.phase, server.catch_ups) == (0, "gradients", 0)


@pytest.mark.parametrize("phase", ["updating", "contracting"])
def test_never_leaves_a_computation_that_is_under_way(phase: str) -> None:
    server = arrived_at(phase)
    step = server.step
    server.hear_from(PEERS, Model(step + 2, "p"))
    assert server.hear(TimerFired("patience", step)) == []
    assert (server.step, server.phase) == (step, phase)


# -- rounds with a deadline ----------------------------------------------------------------------


def in_rounds(**plan: int | bool | float | str) -> Walker:
    """A server of the synchronous variant; nothing is scattered at steps 1 and 2."""
    return started(**{"mode": "sync", "deadline_s": 2.0, **plan})


def wish(worker: NodeId, step: int) -> Received:
    return Received(worker, Pull(step))


def shown(effects: list[Effect]) -> list[Effect]:
    return [e for e in effects if isinstance(e, Send) and e.to[0].role == "worker"]


def a_round(server: Walker) -> list[Effect]:
    """All workers' gradients, and the update."""
    step = server.step
    server.hear_from(W, Gradient(step, "g"))
    return server.hear(Updated(step, f"θ{step + 1}"), now=5.0)


def test_a_round_begins_with_a_deadline() -> None:
    server = Walker(Plan(steps=3, mode="sync", patience_s=9.0, deadline_s=2.0))
    assert server.hear(Started(), now=10.0) == [
        Send(W, Model(0, "θ0")),
        SetTimer("patience", 0, 19.0),
        SetTimer("deadline", 0, 12.0),
    ]


def test_waits_for_all_gradients_and_not_just_for_a_quorum() -> None:
    server = in_rounds()
    assert server.hear_from(W[1:], Gradient(0, "g")) == []
    assert server.hear_from((W[0],), Gradient(0, "g")) == [
        Update(0, "θ0", tuple((worker, "g") for worker in W))
    ]


@pytest.mark.parametrize("count", [Q_W, Q_W + 1])
def test_from_the_deadline_on_goes_on_with_a_quorum_or_more(count: int) -> None:
    server = in_rounds()
    server.hear_from(W[:count], Gradient(0, "g"))
    assert server.hear(TimerFired("deadline", 0)) == [
        Update(0, "θ0", tuple((worker, "g") for worker in W[:count]))
    ]
    assert server.hear_from(W[count:], Gradient(0, "late")) == []
    assert server.refused == {(worker, "late"): 1 for worker in W[count:]}


def test_with_less_than_a_quorum_it_waits_whatever_the_time() -> None:
    server = in_rounds()
    server.hear_from(W[: Q_W - 1], Gradient(0, "g"))
    assert server.hear(TimerFired("deadline", 0)) == []
    [update] = server.hear_from((W[6],), Gradient(0, "g"))
    assert update == Update(0, "θ0", tuple((worker, "g") for worker in (*W[: Q_W - 1], W[6])))


def test_a_deadline_of_one_round_is_none_of_the_next() -> None:
    server = in_rounds()
    server.hear(TimerFired("deadline", 0))
    a_round(server)
    assert server.hear(TimerFired("deadline", 0)) == []
    assert server.hear_from(W[:Q_W], Gradient(1, "g")) == []
    assert server.phase == "gradients"
    assert only(server.hear(TimerFired("deadline", 1)), Update) != []


def test_gradients_that_were_early_are_a_quorum_only_once_the_deadline_is_over() -> None:
    server = in_rounds()
    server.hear_from(W[:6], Gradient(1, "early"))
    server.hear_from(W, Gradient(0, "g"))
    effects = server.hear(Updated(0, "θ1"))
    assert only(effects, Update) == []
    assert only(server.hear(TimerFired("deadline", 1)), Update) == [
        Update(1, "θ1", tuple((worker, "early") for worker in W[:6]))
    ]


def test_who_has_rejoined_waits_for_a_deadline_of_its_own() -> None:
    server = in_rounds(gather_every=1)
    server.hear(TimerFired("deadline", 0))
    server.hear_from(PEERS, Model(3, "p", 1))
    effects = server.hear(Contracted(3, "m"), now=8.0)
    assert SetTimer("deadline", 3, 10.0) in effects
    assert server.hear_from(W[:Q_W], Gradient(3, "g")) == []


def test_in_the_asynchronous_mode_there_is_no_deadline() -> None:
    server = Walker(Plan(steps=3, deadline_s=2.0))
    effects = [*server.hear(Started()), *server.update()]
    assert {effect.name for effect in effects if isinstance(effect, SetTimer)} == {"patience"}


# -- showing a model to those who pull it ----------------------------------------------------------


def test_between_gathers_a_model_is_shown_to_those_who_asked_for_it() -> None:
    server = in_rounds()
    assert server.hear(wish(W[4], 1), wish(W[2], 1), wish(W[3], 2)) == []
    effects = a_round(server)
    assert shown(effects) == [Send((W[2], W[4]), Model(1, "θ1"))]
    assert shown(a_round(server)) == [Send((W[3],), Model(2, "θ2"))]


@pytest.mark.parametrize("phase", ["gradients", "updating"])
def test_who_asks_for_a_model_that_is_there_is_answered_at_once(phase: str) -> None:
    server = in_rounds()
    a_round(server)
    if phase == "updating":
        server.hear_from(W, Gradient(1, "g"))
    assert server.phase == phase
    for worker, step in ((W[0], 0), (W[1], 1), (W[2], -3)):
        assert server.hear(wish(worker, step)) == [Send((worker,), Model(1, "θ1"))]
    assert server.hear(wish(W[0], 2)) == []


def test_a_model_is_shown_twice_to_who_asks_again_and_no_more() -> None:
    server = in_rounds()
    a_round(server)
    answers = [server.hear(wish(W[0], 1)) for _ in range(50)]
    assert [len(answer) for answer in answers] == [1] * REPEATED + [0] * (50 - REPEATED)
    a_round(server)
    assert server.hear(wish(W[0], 1)) == [Send((W[0],), Model(2, "θ2"))]


@pytest.mark.parametrize("phase", ["models", "contracting"])
def test_who_asks_during_a_gather_is_answered_after_it(phase: str) -> None:
    server = in_rounds(gather_every=2)
    a_round(server)
    a_round(server)
    if phase == "contracting":
        server.hear_from(PEERS[:3], Model(2, "p"))
    assert server.phase == phase
    assert server.hear(wish(W[0], 1), wish(W[1], 3)) == []
    server.hear_from(PEERS[:3], Model(2, "p"))
    effects = server.hear(Contracted(2, "m"))
    assert shown(effects) == [Send(W, Model(2, "m"))], "as everybody is"
    assert server.hear(TimerFired("patience", 1)) == []
    assert shown(a_round(server)) == [Send((W[1],), Model(3, "θ3"))]


def test_who_asks_after_the_end_is_shown_the_result() -> None:
    server = in_rounds(steps=1)
    server.hear(wish(W[5], 0))
    effects = a_round(server)
    assert shown(effects) == []
    assert server.hear(wish(W[5], 0)) == [Send((W[5],), Model(1, "θ1"))]


@pytest.mark.parametrize("sender", [S[1], NodeId("worker", 7), NodeId("server", 5)])
def test_only_workers_of_this_cluster_are_answered(sender: NodeId) -> None:
    server = in_rounds()
    assert server.hear(wish(sender, 0)) == []
    assert server.refused == {(sender, "unasked"): 1}


@pytest.mark.parametrize("step", [6, 7, 10**9])
def test_what_is_no_step_that_anybody_computes_at_cannot_be_asked_for(step: int) -> None:
    server = in_rounds()
    assert server.hear(wish(W[0], step)) == []
    assert server.refused == {(W[0], "unasked"): 1}


def test_in_the_asynchronous_mode_nobody_is_answered() -> None:
    server = started()
    assert server.hear(wish(W[0], 0)) == []
    assert server.refused == {(W[0], "unasked"): 1}


def test_who_waits_in_vain_shows_its_models_to_all() -> None:
    server = in_rounds()
    a_round(server)
    again = server.hear(TimerFired("patience", 1))
    assert shown(again) == [Send(W, Model(0, "θ0")), Send(W, Model(1, "θ1"))]


# -- phases --------------------------------------------------------------------------------------


def test_every_way_through_the_phases_is_walked() -> None:
    plain = started(steps=2, gather_every=9)
    plain.update()
    plain.update()
    gathers = arrived_at("done")
    rounds = gathering(gather_rounds=2)
    rounds.hear_from(PEERS[:3], Model(1, "p"))
    rounds.hear(Contracted(1, "m"))
    rounds.hear_from(PEERS[:3], Model(1, "p", 1))
    rounds.hear(Contracted(1, "m"))
    rejoins = started()
    rejoins.hear_from(PEERS, Model(3, "p"))
    over = Walker(Plan(steps=2), step=2)
    over.hear(Started())
    walked = {way for server in (plain, gathers, rounds, rejoins, over) for way in server.walked}
    assert walked == {(phase, after) for phase, ways in PHASES.items() for after in ways}


def test_a_way_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="server-0: gradients → done"):
        started()._enter("done")
