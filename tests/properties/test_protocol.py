"""What holds of the protocol in every world, and of each machine whatever happens to it."""

import os
import subprocess
import sys
from collections import defaultdict
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import (
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
    Quorum,
    Received,
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
from tests.reference import Reference
from tests.world import (
    INITIAL,
    LIARS,
    Babbler,
    Equivocator,
    Fickle,
    Liar,
    Machines,
    Mute,
    Network,
    Turncoat,
    World,
    check,
    check_quorums,
    check_repeats,
    draw,
    honest,
    machine,
    random_liars,
    servers,
    symbol,
    symbolic,
    with_liars,
    workers,
)

S, W = servers(8), workers(10)
PLAIN = Cluster(1, 1)
SMALL = Cluster(5, 4, f_servers=1, f_workers=1)
MIDDLE = Cluster(5, 7, f_servers=1, f_workers=2)
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


def references(cluster: Cluster, plan: Plan) -> Machines:
    return {node: Reference(node, cluster, plan, INITIAL) for node in cluster.nodes}


def catch_ups(world: World) -> dict[NodeId, int]:
    return {
        node: one.catch_ups
        for node, one in world.machines.items()
        if isinstance(one, Server | Worker) and one.catch_ups
    }


# -- against the specification -------------------------------------------------------------------


@pytest.mark.parametrize("gather_every", [1, 3, 50])
@pytest.mark.parametrize("cluster", SHAPES, ids=shape)
def test_machines_say_what_the_specification_says(cluster: Cluster, gather_every: int) -> None:
    """Message by message: content, receivers, order and time, with and without liars."""
    plan = Plan(steps=7, gather_every=gather_every, catch_up=False, window=20)
    for seed in range(4):
        liars = random_liars(cluster, seed, (Mute, Equivocator)) if seed % 2 else {}
        network = Network(duplication=0.3 if seed > 1 else 0.0)
        ours = World(with_liars(honest(cluster, plan), liars), seed, network).run()
        theirs = World(with_liars(references(cluster, plan), liars), seed, network).run()
        assert ours.unfinished == theirs.unfinished == {}
        assert ours.said == theirs.said
        check_quorums(ours, cluster)


@pytest.mark.parametrize("cluster", SHAPES, ids=shape)
def test_catching_up_changes_nothing_while_nobody_is_behind(cluster: Cluster) -> None:
    compared = 0
    for seed in range(8):
        plan = Plan(steps=6, gather_every=2)
        ours = World(honest(cluster, plan), seed).run()
        if not catch_ups(ours):
            theirs = World(references(cluster, plan), seed).run()
            assert ours.said == theirs.said
            compared += 1
    assert compared > 0


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
        world = World(with_liars(honest(cluster, plan), liars), seed).run()
        assert world.unfinished == {}, (seed, liars)
        check_quorums(world, cluster)


@pytest.mark.parametrize("kind", LIARS)
def test_all_honest_nodes_finish_with_as_many_liars_of_one_kind_as_declared(
    kind: type[Liar],
) -> None:
    liars = dict.fromkeys((S[0], W[0], W[6]), kind)
    for gather_every, rounds in ((1, 1), (3, 2)):
        plan = Plan(steps=6, gather_every=gather_every, gather_rounds=rounds, patience_s=0.5)
        for seed in range(3):
            world = World(with_liars(honest(MIDDLE, plan), liars), seed).run()
            assert world.unfinished == {}
            check_quorums(world, MIDDLE)


@pytest.mark.parametrize("catch_up", [True, False])
def test_nothing_comes_of_messages_after_the_end(catch_up: bool) -> None:
    """But that what was said last is said again, where messages are lost."""
    plan = Plan(steps=4, gather_every=2, catch_up=catch_up)
    liars = {S[1]: Babbler, W[1]: Babbler}
    world = World(with_liars(honest(MIDDLE, plan), liars), 3).run()
    assert check_repeats(world, plan) == 0
    results, said = dict(world.done), len([s for s in world.said if s[1] not in liars])
    world.drain(until_s=10)
    assert {node: world.done[node] for node in results} == results
    new = len([s for s in world.said if s[1] not in liars]) - said
    assert new == check_repeats(world, plan)
    assert (new > 0) == catch_up


def test_one_mute_node_more_than_declared_stops_everybody() -> None:
    """The bound is sharp: so these worlds can tell a live protocol from a dead one."""
    plan = Plan(steps=4, gather_every=2, patience_s=0.5)
    world = World(with_liars(honest(MIDDLE, plan), {S[0]: Mute, S[1]: Mute}), 0).run()
    assert set(world.unfinished.values()) == {(0, "models"), (0, "gradients")}


def test_a_server_that_was_deaf_for_a_while_catches_up() -> None:
    plan = Plan(steps=24, gather_every=3, patience_s=0.5)
    for cluster in UNTRUSTED:
        for seed in range(3):
            deaf = S[seed + 1]
            network = Network(deaf={deaf: (0.05, 0.4)})
            world = World(with_liars(honest(cluster, plan), {S[0]: Equivocator}), seed, network)
            assert world.run().unfinished == {}
            assert catch_ups(world)[deaf] > 0
            check_quorums(world, cluster)


def test_a_worker_that_was_deaf_for_a_while_skips() -> None:
    plan = Plan(steps=60, gather_every=3, patience_s=0.2)
    for seed in range(3):
        network = Network(deaf={W[1]: (0.05, 0.5)})
        world = World(with_liars(honest(MIDDLE, plan), {W[0]: Equivocator}), seed, network).run()
        assert world.unfinished == {}
        assert catch_ups(world)[W[1]] > 0
        check_quorums(world, MIDDLE)


def losing(receiver: NodeId, step: int, kind: type[Message] = Gradient) -> Network:
    """A network that loses what one node first hears of each sender for one step."""
    said: set[NodeId] = set()

    def lost(sender: NodeId, to: NodeId, message: Message) -> bool:
        concerned = to == receiver and message.step == step and isinstance(message, kind)
        first = concerned and sender not in said
        if first:
            said.add(sender)
        return first

    return Network(lost=lost)


MUTE_SERVER = {S[0]: Mute}
"""All four others are needed for every quorum of theirs."""


def test_a_server_that_lost_a_step_rejoins_and_frees_those_that_wait_for_it() -> None:
    """Three peers wait in the gather for a fourth model: waiting for four of them is a deadlock."""
    plan = Plan(steps=8, gather_every=2, patience_s=0.5)
    for seed in range(4):
        network = losing(S[2], step=3)
        world = World(with_liars(honest(MIDDLE, plan), MUTE_SERVER), seed, network).run()
        assert world.unfinished == {}
        assert catch_ups(world) == {S[2]: 1}
        check_quorums(world, MIDDLE)


def test_without_catching_up_all_wait_for_the_server_that_lost_a_step() -> None:
    plan = Plan(steps=8, gather_every=2, patience_s=0.5, catch_up=False)
    world = World(with_liars(honest(MIDDLE, plan), MUTE_SERVER), 0, losing(S[2], step=3)).run()
    assert world.unfinished[S[2]] == (3, "gradients")
    assert all(world.unfinished[peer] == (4, "models") for peer in (S[1], S[3], S[4]))


def test_a_server_that_lost_the_first_round_of_a_gather_joins_the_second() -> None:
    plan = Plan(steps=8, gather_every=2, gather_rounds=2, patience_s=0.5)
    network = Network(lost=lambda _, to, message: to == S[2] and message == _first_round(message))
    for seed in range(4):
        world = World(with_liars(honest(MIDDLE, plan), MUTE_SERVER), seed, network).run()
        assert world.unfinished == {}
        assert catch_ups(world) == {S[2]: 1}


def _first_round(message: Message) -> Message | None:
    return (
        message if isinstance(message, Model) and (message.step, message.round) == (4, 0) else None
    )


def test_a_step_lost_long_before_the_gather_stops_nobody() -> None:
    plan = Plan(steps=8, gather_every=4, patience_s=0.5)
    world = World(with_liars(honest(MIDDLE, plan), MUTE_SERVER), 0, losing(S[2], step=1)).run()
    assert world.unfinished == {}
    assert check_repeats(world, plan) > 0


def test_a_step_that_one_worker_lost_stops_nobody() -> None:
    plan = Plan(steps=8, gather_every=4, patience_s=0.5)
    liars = {W[0]: Mute, W[1]: Mute}
    network = losing(W[2], step=1, kind=Model)
    world = World(with_liars(honest(MIDDLE, plan), liars), 0, network).run()
    assert world.unfinished == {}
    assert check_repeats(world, plan) > 0


def test_a_server_that_lost_the_last_step_finishes() -> None:
    plan = Plan(steps=7, gather_every=4, patience_s=0.5)
    world = World(honest(MIDDLE, plan), 0, losing(S[2], step=6)).run()
    assert world.unfinished == {}


@pytest.mark.parametrize("slow", [S[1], W[1]])
def test_a_slow_node_finishes_though_it_falls_behind_by_more_than_its_window(slow: NodeId) -> None:
    plan = Plan(steps=20, gather_every=7, patience_s=0.5)
    world = World(honest(MIDDLE, plan), 0, Network(slow={slow: 20.0})).run()
    assert world.unfinished == {}


def test_a_slow_node_finishes_where_the_window_is_as_long_as_the_run() -> None:
    plan = Plan(steps=10, gather_every=3, patience_s=0.5, window=10)
    for slow in (S[1], W[1]):
        for seed in range(2):
            world = World(honest(MIDDLE, plan), seed, Network(slow={slow: 20.0})).run()
            assert world.unfinished == {}


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
        world = World(with_liars(honest(cluster, plan), liars), seed, Network(loss=loss))
        assert world.run().unfinished == {}, (seed, liars)
        repeats += check_repeats(world, plan)
        check_quorums(world, cluster)
    assert repeats > 0


def test_a_front_that_is_split_closes_up() -> None:
    """What the fast said one step ago is needed: to repeat but the last is a deadlock here."""
    cluster = Cluster(9, 7, f_servers=2, f_workers=2)
    plan = Plan(steps=10, patience_s=0.3)
    liars = dict.fromkeys((*S[:2], *W[:2]), Fickle)
    for seed in range(6):
        world = World(with_liars(honest(cluster, plan), liars), seed, Network(loss=0.1)).run()
        assert world.unfinished == {}, seed


def test_without_catching_up_nothing_is_said_twice() -> None:
    plan = Plan(steps=8, gather_every=2, patience_s=0.5, catch_up=False)
    for seed in range(3):
        world = World(honest(MIDDLE, plan), seed, Network(loss=0.2)).run(until_s=10)
        assert world.unfinished != {}
        assert check_repeats(world, plan) == 0


# -- safety --------------------------------------------------------------------------------------


def numbers(node: NodeId, effect: Computation) -> Event:
    """Descent on x² / 2 with noise, a robust mean for the rule."""
    match effect:
        case Update(step, params, gradients):
            return Updated(step, params - 0.1 * median(vector for _, vector in gradients))
        case Contract(step, models):
            return Contracted(step, median(params for _, params in models))
        case ComputeGradient(step, params):
            return GradientComputed(step, params + draw("noise", node, step) - 0.5)
        case Forge():
            raise AssertionError


class Extremist(Equivocator):
    """Enormous numbers, of either sign, as differs most from receiver to receiver."""

    def _lie(self, to: NodeId, message: Message) -> Message:
        far = 1e9 if to.index % 2 else -1e9
        return Gradient(message.step, far) if self.node in W else Model(message.step, far)


@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_medians_stay_between_the_models_that_honest_servers_showed(cluster: Cluster) -> None:
    """G3: scatter, gather and rejoin alike."""
    plan = Plan(steps=16, gather_every=2, patience_s=0.1)
    liars = dict.fromkeys(S[: cluster.f_servers] + W[: cluster.f_workers], Extremist)
    for seed in range(3):
        deaf = Network(deaf={S[3]: (0.05, 0.3)})
        machines = with_liars(honest(cluster, plan, params=1.0), liars)
        world = World(machines, seed, deaf, numbers).run()
        assert catch_ups(world).get(S[3], 0) > 0
        shown = shown_by_the_honest(world)
        for _, node, effect in world.history:
            if isinstance(effect, Contract) and node not in liars:
                honest_ones = shown[node.role, effect.step]
                middle = median(params for _, params in effect.models)
                assert min(honest_ones) <= middle <= max(honest_ones)


@pytest.mark.parametrize("cluster", UNTRUSTED, ids=shape)
def test_medians_of_what_was_shown_again_stay_between_them_too(cluster: Cluster) -> None:
    """G3 where a server goes on at a step that has no gather."""
    plan = Plan(steps=16, gather_every=8, patience_s=0.1)
    liars = dict.fromkeys(S[: cluster.f_servers] + W[: cluster.f_workers], Extremist)
    between = 0
    for seed in range(3):
        network = Network(loss=0.1, deaf={S[3]: (0.05, 0.2)})
        machines = with_liars(honest(cluster, plan, params=1.0), liars)
        world = World(machines, seed, network, numbers).run()
        assert world.unfinished == {}
        shown = shown_by_the_honest(world)
        for _, node, effect in world.history:
            if isinstance(effect, Contract) and node not in liars:
                honest_ones = shown[node.role, effect.step]
                middle = median(params for _, params in effect.models)
                assert min(honest_ones) <= middle <= max(honest_ones)
                between += node.role == "server" and not plan.gathers_at(effect.step)
    assert between > 0


def shown_by_the_honest(world: World) -> dict[tuple[str, int], list[float]]:
    """Models by the role of who was shown them, and by step."""
    shown: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _, node, effect in world.history:
        match effect:
            case Send((to, *_), Model(step, params)) if not isinstance(world.machines[node], Liar):
                shown[to.role, step].append(params)
    return shown


# -- determinism ---------------------------------------------------------------------------------


def history(seed: int) -> str:
    """A digest of all that happened in an eventful world."""
    plan = Plan(steps=10, gather_every=2, patience_s=0.2)
    network = Network(loss=0.02, duplication=0.1, slow={S[3]: 5.0})
    liars = {S[0]: Babbler, W[0]: Equivocator, W[1]: Turncoat}
    world = World(with_liars(honest(MIDDLE, plan), liars), seed, network).run(until_s=3)
    return symbol("history", world.history)


def test_one_seed_has_one_history_and_another_has_another() -> None:
    assert history(1) == history(1) != history(2)


def test_a_history_is_the_same_in_every_process() -> None:
    def elsewhere(hash_seed: str) -> str:
        code = "from tests.properties.test_protocol import history; print(history(1))"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    assert elsewhere("1") == elsewhere("2") == history(1)


# -- one machine, whatever happens to it ---------------------------------------------------------

STRANGERS = (NodeId("server", 9), NodeId("worker", 99))
STEPS = st.one_of(st.integers(-2, 9), st.sampled_from([1000, 10**9]))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Model, STEPS, st.just("m"), st.integers(-1, 3)),
    st.builds(Gradient, STEPS, st.just("g")),
    st.builds(Whisper, STEPS, st.just("w")),
)
ANSWER, TIMER = "answer", "timer"
"""Stand for the answer to the latest computation asked for, so that machines get anywhere, and for
the latest timer."""

EVENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Received, st.sampled_from(MIDDLE.nodes + STRANGERS), MESSAGES),
    st.builds(Updated, STEPS, st.just("u")),
    st.builds(Contracted, STEPS, st.just("c")),
    st.builds(GradientComputed, STEPS, st.just("d")),
    st.builds(TimerFired, st.sampled_from(["patience", "other"]), STEPS),
    st.just(Started()),
    st.sampled_from([ANSWER, TIMER]),
)
PLANS = st.builds(
    Plan,
    steps=st.integers(1, 6),
    gather_every=st.integers(1, 3),
    gather_rounds=st.integers(1, 2),
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
    one = machine(node, MIDDLE, plan)
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
        check(one, actual)
        assert before <= one.step <= plan.steps
        assert all(one.kept(sender) <= plan.window for sender in MIDDLE.nodes + STRANGERS)
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
