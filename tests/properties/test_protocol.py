"""What holds of the protocol in every world, and of each machine whatever happens to it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.faults import Chance, Delay, Exponential, FaultPlan, Partition, Slow
from byzsgd.protocol import (
    Change,
    ComputeGradient,
    Contract,
    Contracted,
    Effect,
    Event,
    Forge,
    Gradient,
    GradientComputed,
    Message,
    Model,
    Pull,
    Quorum,
    Received,
    Recompute,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Update,
    Updated,
    Whisper,
    Worker,
)
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.parts import Carry, Conditions
from byzsgd.simulation.world import World
from tests.reference import Reference
from tests.simulation.played import History, Played
from tests.simulation.worlds import (
    COST,
    DELAY_S,
    MIDDLE,
    NETWORK,
    NOBODY,
    SMALL,
    Symbols,
    honest,
    with_liars,
)
from tests.world import (
    INITIAL,
    LIARS,
    Babbler,
    Equivocator,
    Fickle,
    Liar,
    Mute,
    Turncoat,
    draw,
    random_liars,
    servers,
    symbolic,
    workers,
)

S, W = servers(8), workers(10)
PLAIN = Cluster(1, 1)
LARGE = Cluster(8, 7, f_servers=2, f_workers=2)
UNTRUSTED = (SMALL, MIDDLE, LARGE)
SHAPES = (
    PLAIN,
    Cluster(1, 3),
    Cluster(3, 2),
    *UNTRUSTED,
    Cluster(7, 8, f_servers=1, f_workers=1, q_servers=4, q_workers=3),
)


def shape(cluster: Cluster) -> str:
    return f"{cluster.servers}-{cluster.workers}-q{cluster.q_servers}-q{cluster.q_workers}"


def losing(probability: float) -> FaultPlan:
    return replace(NETWORK, losses=(Chance(probability),))


def deaf(node: NodeId, from_s: float, until_s: float, faults: FaultPlan = NETWORK) -> FaultPlan:
    cut = Partition((node,), "in", "lose", from_s=from_s, until_s=until_s)
    return replace(faults, partitions=(cut,))


def slow(node: NodeId, factor: float) -> FaultPlan:
    """It computes slowly, and takes long to hear anything."""
    late = Delay(Exponential(factor * DELAY_S), receivers=(node,))
    return replace(NETWORK, delays=(*NETWORK.delays, late), slow=(Slow((node,), factor),))


# -- against the specification -------------------------------------------------------------------


def specified(
    cluster: Cluster,
    plan: Plan,
    seed: int,
    liars: Mapping[NodeId, type[Liar]] = NOBODY,
    faults: FaultPlan = NETWORK,
) -> History:
    """What happens in the same world where the specification itself is at work."""
    make = with_liars(lambda node, _: Reference(node, cluster, plan, INITIAL), liars)
    awaited = [node for node in cluster.nodes if node not in liars]
    conditions, history = Conditions(faults, seed, COST), History(plan)
    world = World(cluster.nodes, make, Symbols(), conditions, awaited, [history])
    assert world.run().why == "done"
    return history


@pytest.mark.parametrize("gather_every", [1, 3, 50])
@pytest.mark.parametrize("cluster", SHAPES, ids=shape)
def test_machines_say_what_the_specification_says(cluster: Cluster, gather_every: int) -> None:
    """Message by message: content, receivers, order and time, with and without liars."""
    plan = Plan(steps=7, gather_every=gather_every, catch_up=False, window=20)
    for seed in range(4):
        liars = random_liars(cluster, seed, (Mute, Equivocator)) if seed % 2 else {}
        faults = replace(NETWORK, duplicates=(Chance(0.3),)) if seed > 1 else NETWORK
        ours = Played(cluster, plan, seed, liars, faults)
        assert ours.unfinished == {}
        assert ours.history.said == specified(cluster, plan, seed, liars, faults).said


@pytest.mark.parametrize("cluster", SHAPES, ids=shape)
def test_catching_up_changes_nothing_while_nobody_is_behind(cluster: Cluster) -> None:
    plan, compared = Plan(steps=6, gather_every=2), 0
    for seed in range(8):
        ours = Played(cluster, plan, seed)
        if not ours.catch_ups:
            assert ours.history.said == specified(cluster, plan, seed).said
            compared += 1
    assert compared >= 7, "nobody is behind without a reason"


# -- liveness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("catch_up", [True, False])
@pytest.mark.parametrize("gather_every", [1, 4])
@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_all_honest_nodes_finish_whatever_the_declared_liars_do(
    cluster: Cluster, gather_every: int, catch_up: bool
) -> None:
    plan = Plan(steps=8, gather_every=gather_every, patience_s=0.5, catch_up=catch_up)
    for seed in range(5):
        liars = random_liars(cluster, seed)
        assert Played(cluster, plan, seed, liars).unfinished == {}, (seed, liars)


@pytest.mark.parametrize("kind", LIARS)
def test_all_honest_nodes_finish_with_as_many_liars_of_one_kind_as_declared(
    kind: type[Liar],
) -> None:
    liars = dict.fromkeys((S[0], W[0], W[6]), kind)
    for gather_every, rounds in ((1, 1), (3, 2)):
        plan = Plan(steps=6, gather_every=gather_every, gather_rounds=rounds, patience_s=0.5)
        for seed in range(3):
            assert Played(MIDDLE, plan, seed, liars).unfinished == {}


@pytest.mark.parametrize("catch_up", [True, False])
def test_nothing_comes_of_messages_after_the_end(catch_up: bool) -> None:
    """But that what was said last is said again, where messages are lost."""
    plan = Plan(steps=4, gather_every=2, catch_up=catch_up)
    liars = {S[1]: Babbler, W[1]: Babbler}
    world = Played(MIDDLE, plan, 3, liars)
    results, said = dict(world.done), said_by_the_honest(world)
    assert world.history.repeats == 0
    world.drain(until_s=10)
    assert {node: world.done[node] for node in results} == results
    assert said_by_the_honest(world) == said + world.history.repeats
    assert (world.history.repeats > 0) == catch_up


def said_by_the_honest(world: Played) -> int:
    return sum(node in world.honest for _, node, _ in world.history.said)


def test_one_mute_node_more_than_declared_stops_everybody() -> None:
    """The bound is sharp: so these worlds can tell a live protocol from a dead one."""
    plan = Plan(steps=4, gather_every=2, patience_s=0.5)
    world = Played(MIDDLE, plan, liars={S[0]: Mute, S[1]: Mute})
    assert set(world.unfinished.values()) == {(0, "models"), (0, "gradients")}


def test_a_server_that_was_deaf_for_a_while_catches_up() -> None:
    plan = Plan(steps=24, gather_every=3, patience_s=0.5)
    for cluster in UNTRUSTED:
        for seed in range(3):
            victim = S[seed + 1]
            faults = deaf(victim, 0.05, 0.4)
            world = Played(cluster, plan, seed, {S[0]: Equivocator}, faults)
            assert world.unfinished == {}
            assert world.catch_ups[victim] > 0


def test_a_worker_that_was_deaf_for_a_while_skips() -> None:
    plan = Plan(steps=60, gather_every=3, patience_s=0.2)
    for seed in range(3):
        world = Played(MIDDLE, plan, seed, {W[0]: Equivocator}, deaf(W[1], 0.05, 0.5))
        assert world.unfinished == {}
        assert world.catch_ups[W[1]] > 0


def missing(receiver: NodeId, step: int, kind: type[Message] = Gradient) -> Carry:
    """What one node first hears of each sender for one step is lost."""
    said: set[NodeId] = set()

    def carry(sender: NodeId, to: NodeId, message: Message) -> Message | None:
        concerned = to == receiver and message.step == step and isinstance(message, kind)
        if concerned and sender not in said:
            said.add(sender)
            return None
        return message

    return carry


MUTE_SERVER = {S[0]: Mute}
"""All four others are needed for every quorum of theirs."""


def test_a_server_that_lost_a_step_rejoins_and_frees_those_that_wait_for_it() -> None:
    """Three peers wait in the gather for a fourth model: waiting for four of them is a deadlock."""
    plan = Plan(steps=8, gather_every=2, patience_s=0.5)
    for seed in range(4):
        world = Played(MIDDLE, plan, seed, MUTE_SERVER, carry=missing(S[2], step=3))
        assert world.unfinished == {}
        assert world.catch_ups == {S[2]: 1}


def test_without_catching_up_all_wait_for_the_server_that_lost_a_step() -> None:
    plan = Plan(steps=8, gather_every=2, patience_s=0.5, catch_up=False)
    world = Played(MIDDLE, plan, liars=MUTE_SERVER, carry=missing(S[2], step=3))
    assert world.unfinished[S[2]] == (3, "gradients")
    assert all(world.unfinished[peer] == (4, "models") for peer in (S[1], S[3], S[4]))


def test_a_server_that_lost_the_first_round_of_a_gather_joins_the_second() -> None:
    def carry(sender: NodeId, to: NodeId, message: Message) -> Message | None:
        first = isinstance(message, Model) and (message.step, message.round) == (4, 0)
        return None if to == S[2] and first else message

    plan = Plan(steps=8, gather_every=2, gather_rounds=2, patience_s=0.5)
    for seed in range(4):
        world = Played(MIDDLE, plan, seed, MUTE_SERVER, carry=carry)
        assert world.unfinished == {}
        assert world.catch_ups == {S[2]: 1}


def test_a_step_lost_long_before_the_gather_stops_nobody() -> None:
    plan = Plan(steps=8, gather_every=4, patience_s=0.5)
    world = Played(MIDDLE, plan, liars=MUTE_SERVER, carry=missing(S[2], step=1))
    assert world.unfinished == {}
    assert world.history.repeats > 0


def test_a_step_that_one_worker_lost_stops_nobody() -> None:
    plan = Plan(steps=8, gather_every=4, patience_s=0.5)
    carry = missing(W[2], step=1, kind=Model)
    world = Played(MIDDLE, plan, liars={W[0]: Mute, W[1]: Mute}, carry=carry)
    assert world.unfinished == {}
    assert world.history.repeats > 0


def test_a_server_that_lost_the_last_step_finishes() -> None:
    plan = Plan(steps=7, gather_every=4, patience_s=0.5)
    assert Played(MIDDLE, plan, carry=missing(S[2], step=6)).unfinished == {}


@pytest.mark.parametrize("node", [S[1], W[1]])
def test_a_slow_node_finishes_though_it_falls_behind_by_more_than_its_window(node: NodeId) -> None:
    plan = Plan(steps=20, gather_every=7, patience_s=0.5)
    assert Played(MIDDLE, plan, faults=slow(node, 20.0)).unfinished == {}


def test_a_slow_node_finishes_where_the_window_is_as_long_as_the_run() -> None:
    plan = Plan(steps=10, gather_every=3, patience_s=0.5, window=10)
    for node in (S[1], W[1]):
        for seed in range(2):
            assert Played(MIDDLE, plan, seed, faults=slow(node, 20.0)).unfinished == {}


@pytest.mark.parametrize("loss", [0.02, 0.1])
@pytest.mark.parametrize("kinds", [(Mute, Turncoat, Equivocator), (Fickle,)], ids=["any", "fickle"])
@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_all_honest_nodes_finish_though_messages_are_lost(
    cluster: Cluster, kinds: tuple[type[Liar], ...], loss: float
) -> None:
    """With as many liars as are declared, so that whatever one honest node lost is needed."""
    repeats = 0
    lying = (*cluster.server_ids[: cluster.f_servers], *cluster.worker_ids[: cluster.f_workers])
    for seed, (gather_every, rounds) in enumerate(((1, 1), (3, 2), (50, 1))):
        plan = Plan(steps=12, gather_every=gather_every, gather_rounds=rounds, patience_s=0.3)
        liars = {node: kinds[(node.index + seed) % len(kinds)] for node in lying}
        world = Played(cluster, plan, seed, liars, losing(loss))
        assert world.unfinished == {}, (seed, liars)
        repeats += world.history.repeats
    assert repeats > 0


def test_a_front_that_is_split_closes_up() -> None:
    """What the fast said one step ago is needed: to repeat but the last is a deadlock here."""
    cluster = Cluster(9, 7, f_servers=2, f_workers=2)
    plan = Plan(steps=10, patience_s=0.3)
    liars = dict.fromkeys((*S[:2], *W[:2]), Fickle)
    for seed in range(6):
        assert Played(cluster, plan, seed, liars, losing(0.1)).unfinished == {}, seed


def test_without_catching_up_nothing_is_said_twice() -> None:
    plan = Plan(steps=8, gather_every=2, patience_s=0.5, catch_up=False)
    for seed in range(3):
        world = Played(MIDDLE, plan, seed, faults=losing(0.2))
        assert world.unfinished != {}
        assert world.history.repeats == 0


# -- rounds with a deadline ------------------------------------------------------------------------


def in_rounds(steps: int, gather_every: int, **more: Any) -> Plan:
    """Rounds that last long enough for two delays, and not much longer."""
    return Plan(steps, gather_every, mode="sync", deadline_s=0.2, **{"patience_s": 0.5, **more})


def judged(world: Played) -> Counter[str]:
    """What became of the models that honest workers pulled."""
    machines = [world.machines[node] for node in world.honest]
    workers = [one for one in machines if isinstance(one, Worker)]
    return sum((Counter(verdict for _, verdict in w.judged.elements()) for w in workers), Counter())


@pytest.mark.parametrize("cluster", SHAPES, ids=shape)
def test_all_finish_and_one_model_is_enough_where_nobody_lies(cluster: Cluster) -> None:
    fates = Counter[str]()
    for seed, gather_every in enumerate((1, 3, 50)):
        world = Played(cluster, in_rounds(9, gather_every, patience_s=9.0), seed)
        assert world.unfinished == {}
        pulls = gather_every > 1 and cluster.servers > 1  # else one model is a quorum
        assert (judged(world)["accepted"] > 0) == pulls
        fates += judged(world)
    assert fates["accepted"] >= fates["lipschitz"] + fates["outlier"]


@pytest.mark.parametrize("kind", LIARS)
@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_all_finish_with_as_many_liars_of_one_kind_as_declared(
    cluster: Cluster, kind: type[Liar]
) -> None:
    lying = (*cluster.server_ids[: cluster.f_servers], *cluster.worker_ids[: cluster.f_workers])
    for seed, (gather_every, rounds) in enumerate(((1, 1), (3, 2), (50, 1))):
        plan = in_rounds(8, gather_every, gather_rounds=rounds)
        world = Played(cluster, plan, seed, dict.fromkeys(lying, kind))
        assert world.unfinished == {}, (seed, kind)


@pytest.mark.parametrize("loss", [0.02, 0.1])
@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_all_finish_though_wishes_models_and_gradients_are_lost(
    cluster: Cluster, loss: float
) -> None:
    lying = (*cluster.server_ids[: cluster.f_servers], *cluster.worker_ids[: cluster.f_workers])
    for seed, gather_every in enumerate((1, 3, 50)):
        liars = {node: LIARS[(node.index + seed) % len(LIARS)] for node in lying}
        world = Played(
            cluster, in_rounds(10, gather_every, patience_s=0.3), seed, liars, losing(loss)
        )
        assert world.unfinished == {}, (seed, liars)


@pytest.mark.parametrize("node", [S[1], W[1]])
@pytest.mark.parametrize("gather_every", [3, 50])
def test_who_is_slower_than_a_round_finishes_too(node: NodeId, gather_every: int) -> None:
    """A worker that is left behind skips, a server catches up; nobody waits for ever."""
    liars = {S[0]: Mute, W[0]: Mute}
    plan = in_rounds(16, gather_every)
    for seed in range(2):
        world = Played(MIDDLE, plan, seed, liars, slow(node, 20.0))
        assert world.unfinished == {}


def test_without_catching_up_all_finish_as_long_as_nothing_is_lost() -> None:
    for cluster in UNTRUSTED:
        world = Played(cluster, in_rounds(9, 3, catch_up=False), 1, random_liars(cluster, 1))
        assert world.unfinished == {}


@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_medians_stay_between_honest_models_in_rounds_too(cluster: Cluster) -> None:
    """And no extreme model that was pulled is believed (the checkers look)."""
    fates = Counter[str]()
    for seed in range(3):
        world = extreme(cluster, in_rounds(24, 6), seed, NETWORK)
        fates += judged(world)
    assert fates["outlier"] + fates["lipschitz"] > 0
    assert fates["accepted"] > 0


# -- safety --------------------------------------------------------------------------------------


def numbers(node: NodeId, effect: Computation) -> Event:
    """Descent on x² / 2 with noise, a robust mean for the rule."""
    match effect:
        case Update(step, params, gradients):
            return Updated(step, params - 0.1 * median(vector for _, vector in gradients))
        case Contract(step, models):
            return Contracted(step, median(params for _, params in models))
        case ComputeGradient(step, params, last, last_params):
            gradient = params + draw("noise", node, step) - 0.5
            return GradientComputed(step, gradient, measured(gradient, params, last, last_params))
        case Forge() | Recompute():
            raise AssertionError


def measured(gradient: float, params: float, last: Any, last_params: Any) -> Change | None:
    if last_params is None:
        return None
    guess = last_params - 0.1 * last
    return Change(abs(guess - params), abs(gradient - last), abs(0.1 * last))


class Extremist(Equivocator):
    """Enormous numbers, of either sign, as differs most from receiver to receiver."""

    def _lie(self, to: NodeId, message: Message) -> Message:
        far = 1e9 if to.index % 2 else -1e9
        return Gradient(message.step, far) if self.node in W else Model(message.step, far)


def extreme(cluster: Cluster, plan: Plan, seed: int, faults: FaultPlan) -> Played:
    """A world in which every median is judged: it stays between the honest models (G3)."""
    liars = dict.fromkeys(S[: cluster.f_servers] + W[: cluster.f_workers], Extremist)
    answers = Symbols(numbers)
    return Played(cluster, plan, seed, liars, faults, answers, initial=1.0, values=True)


@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_medians_stay_between_the_models_that_honest_servers_showed(cluster: Cluster) -> None:
    """Scatter, gather and rejoin alike."""
    plan = Plan(steps=16, gather_every=2, patience_s=0.1)
    for seed in range(3):
        world = extreme(cluster, plan, seed, deaf(S[3], 0.05, 0.3))
        assert world.catch_ups.get(S[3], 0) > 0


@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_medians_of_what_was_shown_again_stay_between_them_too(cluster: Cluster) -> None:
    """Also where a server goes on at a step that has no gather."""
    plan = Plan(steps=16, gather_every=8, patience_s=0.05)
    between = 0
    for seed in range(3):
        world = extreme(cluster, plan, seed, deaf(S[3], 0.05, 0.3, losing(0.1)))
        assert world.unfinished == {}
        between += sum(
            isinstance(effect, Contract) and not plan.gathers_at(effect.step)
            for _, node, effect in world.history.effects
            if node.role == "server" and node in world.honest
        )
    assert between > 0


# -- one machine, whatever happens to it ---------------------------------------------------------

STRANGERS = (NodeId("server", 9), NodeId("worker", 99))
STEPS = st.one_of(st.integers(-2, 9), st.sampled_from([1000, 10**9]))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Model, STEPS, st.just("m"), st.integers(-1, 3)),
    st.builds(Gradient, STEPS, st.just("g")),
    st.builds(Whisper, STEPS, st.just("w")),
    st.builds(Pull, STEPS),
)
ANSWER, TIMER = "answer", "timer"
"""Stand for the answer to the latest computation asked for, so that machines get anywhere, and for
the latest timer."""

EVENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Received, st.sampled_from(MIDDLE.nodes + STRANGERS), MESSAGES),
    st.builds(Updated, STEPS, st.just("u")),
    st.builds(Contracted, STEPS, st.just("c")),
    st.builds(GradientComputed, STEPS, st.just("d")),
    st.builds(TimerFired, st.sampled_from(["patience", "deadline", "pull", "other"]), STEPS),
    st.just(Started()),
    st.sampled_from([ANSWER, TIMER]),
)
PLANS = st.builds(
    Plan,
    steps=st.integers(1, 6),
    gather_every=st.integers(1, 3),
    gather_rounds=st.integers(1, 2),
    mode=st.sampled_from(["async", "sync"]),
    window=st.integers(1, 4),
    catch_up=st.booleans(),
)
BURSTS = st.builds(
    lambda senders, message: [Received(sender, message) for sender in senders],
    st.permutations(MIDDLE.nodes),
    MESSAGES,
)
SCRIPTS = st.lists(st.one_of(EVENTS.map(lambda event: [event]), BURSTS), max_size=40).map(
    lambda parts: [event for part in parts for event in part]
)


@settings(max_examples=150, deadline=None)
@given(node=st.sampled_from([S[0], W[0]]), plan=PLANS, script=SCRIPTS)
def test_no_event_in_any_state_breaks_a_machine(
    node: NodeId, plan: Plan, script: list[Event | str]
) -> None:
    one = honest(MIDDLE, plan)(node, None)
    assert isinstance(one, Server | Worker)
    said: dict[object, object] = {}
    question: Computation | None = None
    timer: TimerFired | None = None
    for event in [Started(), *script]:
        actual = event
        if event == ANSWER:
            actual = symbolic(node, question) if question else event
        elif event == TIMER:
            actual = timer or event
        if isinstance(actual, str):
            continue
        before = one.step
        effects = one.handle(actual, now=0.0)
        assert before <= one.step <= plan.steps
        assert all(one.kept(sender) <= plan.window for sender in MIDDLE.nodes + STRANGERS)
        for quorum in (one.models, one.gradients) if isinstance(one, Server) else (one.models,):
            assert all(quorum._held.values()), "a slot that nobody is in is no slot"
        asked = [e for e in effects if isinstance(e, Update | Contract | ComputeGradient)]
        assert len(asked) <= 1, "one computation at a time"
        question = asked[0] if asked else question
        timers = [TimerFired(e.name, e.step) for e in effects if isinstance(e, SetTimer)]
        timer = timers[-1] if timers else timer
        new = publish(said, effects)
        if isinstance(actual, TimerFired) and not plan.catch_up:
            assert new == 0 == len([effect for effect in effects if isinstance(effect, Send)])


def publish(said: dict[object, object], effects: list[Effect]) -> int:
    """G6: nobody says two things of one kind, step and round to one side. Returns what is new."""
    before = len(said)
    for effect in effects:
        if isinstance(effect, Send):
            message = effect.message
            round_ = message.round if isinstance(message, Model) else 0
            key = (effect.to[0].role, type(message), message.step, round_)
            assert said.setdefault(key, message) == message
    return len(said) - before


# -- the quorum against a naive twin -------------------------------------------------------------


class Twin:
    """A log of what was accepted, searched anew for every question."""

    def __init__(self, size: int, window: int) -> None:
        self.size = size
        self.window = window
        self.closed = -1
        self.log: list[tuple[NodeId, int, int]] = []

    def at(self, slot: int) -> list[tuple[NodeId, int, int]]:
        return [entry for entry in self.log if entry[1] == slot]

    def add(self, sender: NodeId, slot: int, vector: int) -> bool:
        wanted = (
            slot > self.closed
            and not any(entry[0] == sender for entry in self.at(slot))
            and len(self.at(slot)) < self.size
            and self.has_room(sender, slot)
        )
        if wanted:
            self.log.append((sender, slot, vector))
        return wanted

    def has_room(self, sender: NodeId, slot: int) -> bool:
        """Whether there was room, or the oldest of the newer half of a full window made it."""
        mine = sorted((entry for entry in self.log if entry[0] == sender), key=lambda e: e[1])
        if len(mine) < self.window:
            return True
        newer_half = mine[self.window // 2 :]
        gives_way = newer_half[0]
        if slot < gives_way[1] or len(self.at(gives_way[1])) >= self.size:
            return False
        self.log.remove(gives_way)
        return True

    def held(self, slot: int) -> tuple[tuple[NodeId, int], ...]:
        return tuple(sorted((sender, vector) for sender, _, vector in self.at(slot)))

    def close(self, slot: int) -> None:
        self.closed = max(self.closed, slot)
        self.log = [entry for entry in self.log if entry[1] > self.closed]


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add"] * 8 + ["take", "close"]), st.sampled_from(S[:5]), STEPS),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(size=st.integers(1, 5), window=st.integers(1, 4), operations=OPERATIONS)
def test_a_quorum_does_what_its_naive_twin_does(
    size: int, window: int, operations: list[tuple[str, NodeId, int]]
) -> None:
    quorum: Quorum[int] = Quorum(size, window, closed=-1)
    twin = Twin(size, window)
    refusals = 0
    for count, (what, sender, slot) in enumerate(operations):
        match what:
            case "add":
                kept = quorum.add(sender, slot, count)
                assert kept == twin.add(sender, slot, count)
                refusals += not kept
            case "take" if quorum.full(slot):
                assert quorum.take(slot) == twin.held(slot)
                twin.close(slot)
            case "close":
                quorum.close(slot)
                twin.close(slot)
        assert quorum.held(slot) == twin.held(slot)
        assert quorum.full(slot) == (len(twin.at(slot)) >= size)
        assert quorum.kept(sender) == sum(entry[0] == sender for entry in twin.log) <= window
        assert quorum._held.keys() == {entry[1] for entry in twin.log}, "and no empty slots"
        for least in range(1, size + 1):
            slots = [s for _, s, _ in twin.log if s > slot and len(twin.at(s)) >= least]
            assert quorum.newest(least, after=slot) == max(slots, default=None)
    assert quorum.refused.total() == refusals
