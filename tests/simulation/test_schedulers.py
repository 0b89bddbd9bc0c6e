"""Schedulers: each does what it is called for, and none of them stops what is within bounds."""

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from statistics import mean

import pytest

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.errors import ConfigError
from byzsgd.faults import Chance, Constant, Crash, Delay, Exponential, FaultPlan
from byzsgd.protocol import Contract, Gradient, Machine, Model, Received, Update
from byzsgd.simulation.cost import UNIFORM
from byzsgd.simulation.digest import Digest
from byzsgd.simulation.parts import Checkpoint, Conditions, Make
from byzsgd.simulation.scheduler import Letter, Scheduler
from byzsgd.simulation.schedulers import SCHEDULERS, scheduler
from byzsgd.simulation.schedulers.slots import AHEAD, SLOTS_MAX, Slots
from byzsgd.simulation.schedulers.split import camp, cut_links
from byzsgd.simulation.watch import Stage
from byzsgd.simulation.world import World
from tests.simulation.numeric import DELAY_S, EIGHT, FIVE, Inputs, liars_of, numeric
from tests.simulation.worlds import Diary, Symbols, honest, world
from tests.world import Liar, random_liars

NAMES = [name for name in SCHEDULERS if name != "network"]
SHAPES = (FIVE, EIGHT, Cluster(1, 3), Cluster(3, 2), Cluster(6, 8, 1, 2, q_workers=5))
UNIT_S = 0.001


class Asked:
    """Another scheduler, and how long it holds every letter. After `peace_s` nobody may ask."""

    def __init__(self, inner: Scheduler, peace_s: float = math.inf) -> None:
        self.inner, self.peace_s = inner, peace_s
        self.due: dict[Letter, float] = {}
        self.held: dict[Letter, float] = {}

    def postpone(self, letter: Letter, world: World) -> float:
        assert world.now < self.peace_s
        due_s = self.due.setdefault(letter, world.now)
        longer_s = self.inner.postpone(letter, world)
        assert longer_s >= 0
        self.held[letter] = world.now + longer_s - due_s
        return longer_s


def made(name: str, seed: int, cluster: Cluster, liars: frozenset[NodeId]) -> Scheduler:
    found = scheduler(name, seed, cluster, liars, UNIT_S)
    assert found is not None
    return found


def hard(
    name: str, seed: int, peace_s: float = math.inf, diary: Diary | None = None
) -> tuple[World, Asked]:
    """A drawn world of symbols within its bounds, with liars or with a node that comes back."""
    random = Random(f"{seed}/hard")
    cluster = random.choice(SHAPES)
    rounds, every = random.choice((1, 2)), random.choice((1, 2, 3))
    plan = Plan(7, every, rounds, window=4, patience_s=0.03, save_every=2)
    lying = random_liars(cluster, seed) if random.random() < 0.6 else {}
    asked = Asked(made(name, seed, cluster, frozenset(lying)), peace_s)
    faults = FaultPlan(
        delays=(Delay(Exponential(UNIT_S)),),
        losses=(Chance(0.05, until_s=0.2),),
        duplicates=(Chance(0.1),),
        reorders=(Chance(0.2),),
        crashes=() if lying else _crash(cluster, random),
    )
    conditions = Conditions(faults, seed, UNIFORM, asked, peace_s, stall_s=60.0)
    running = world(
        plan,
        conditions,
        diary or Diary(),
        cluster=cluster,
        answers=Symbols(),
        honest=[node for node in cluster.nodes if node not in lying],
        make=_with(lying, cluster, plan),
    )
    return running, asked


def _crash(cluster: Cluster, random: Random) -> tuple[Crash, ...]:
    nodes = [*cluster.server_ids[: cluster.f_servers], *cluster.worker_ids[: cluster.f_workers]]
    begin_s = random.uniform(0, 0.1)
    return tuple(Crash(node, begin_s, begin_s + 0.05) for node in nodes)


def _with(lying: Mapping[NodeId, type[Liar]], cluster: Cluster, plan: Plan) -> Make:
    make = honest(cluster, plan)

    def wrapped(node: NodeId, saved: Checkpoint | None) -> Machine:
        machine = make(node, saved)
        return lying[node](machine, node) if node in lying else machine

    return wrapped


# --- what holds of all ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_letter_is_held_for_ever_and_every_world_within_bounds_ends(name: str) -> None:
    longest_s = 0.0
    for seed in range(25):
        running, asked = hard(name, seed)
        assert running.run().why == "done", seed
        longest_s = max(longest_s, *asked.held.values())
    assert 0 < longest_s <= SCHEDULERS[name].units_max * UNIT_S * (1 + 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_once_there_is_peace_nobody_asks_and_what_was_held_arrives(name: str) -> None:
    for seed in range(4):
        running, asked = hard(name, seed, peace_s=0.02)
        assert running.run().why == "done", seed
        running.run(until_s=running.now + 1)
        assert asked.due
        assert running.now > 0.02


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_liars_are_told_everything_at_once(name: str) -> None:
    for seed in range(5):
        _, asked = _numeric(name, FIVE, seed)
        late = [letter for letter, held_s in asked.held.items() if held_s]
        assert late
        assert not any(letter.receiver in liars_of(FIVE) for letter in late)


@pytest.mark.parametrize("name", NAMES)
def test_two_worlds_of_one_seed_are_alike_and_those_of_two_seeds_are_not(name: str) -> None:
    assert _entries(name, 3) == _entries(name, 3)
    assert _entries(name, 3) != _entries(name, 4)


def _entries(name: str, seed: int) -> list[object]:
    diary = Diary()
    hard(name, seed, diary=diary)[0].run()
    return list(diary.entries)


def histories() -> str:
    """One word for a world under each scheduler."""
    words = []
    for name in SCHEDULERS:
        digest = Digest(lambda vector: repr(vector).encode())
        inner = scheduler(name, 5, EIGHT, liars_of(EIGHT), UNIT_S)
        running, _ = numeric(EIGHT, inner, 5, liars_of(EIGHT), Plan(3, 1), noise=1.0)
        rest = running.run()
        digest.ended(running, rest)
        words.append(f"{digest.hexdigest()[:12]}-{rest.events}-{rest.at_s!r}")
    return " ".join(words)


def test_histories_do_not_depend_on_the_order_of_sets() -> None:
    question = f"from {__name__} import histories; print(histories())"
    answer = subprocess.run(
        [sys.executable, "-c", question],
        env={**os.environ, "PYTHONHASHSEED": "12345"},  # here it is another one
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert answer == histories()
    words = answer.split()
    assert len({*words}) == len(words) == len(SCHEDULERS)


# --- random ---------------------------------------------------------------------------------------


def test_without_an_order_the_senders_of_each_step_come_in_another() -> None:
    diary = Diary()
    faults = FaultPlan(delays=(Delay(Constant(UNIT_S)),))
    conditions = Conditions(faults, scheduler=made("random", 1, FIVE, frozenset()))
    world(Plan(20, 100), conditions, diary, cluster=FIVE).run()
    heard = [event for _, event in diary.events_of(FIVE.server_ids[0])]
    orders = {
        tuple(e.sender.index for e in heard if isinstance(e, Received) and e.message.step == step)
        for step in range(19)
    }
    assert len(orders) > 10


# --- liars first ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", [FIVE, EIGHT])
def test_all_lies_are_in_nearly_every_quorum(cluster: Cluster) -> None:
    with_lies = _share_with_all_lies("liars_first", cluster)
    assert with_lies > 0.97
    assert with_lies > _share_with_all_lies("network", cluster) + 0.1


def _share_with_all_lies(name: str, cluster: Cluster) -> float:
    liars = liars_of(cluster)
    shares = []
    for seed in range(4):
        inputs, _ = _numeric(name, cluster, seed)
        for _, effect in inputs.taken:
            side = "worker" if isinstance(effect, Update) else "server"
            taken = effect.gradients if isinstance(effect, Update) else effect.models
            expected = {liar for liar in liars if liar.role == side}
            shares.append(expected <= {sender for sender, _ in taken})
    return mean(shares)


def _numeric(name: str, cluster: Cluster, seed: int) -> tuple[Inputs, Asked]:
    liars = liars_of(cluster)
    inner = scheduler(name, seed, cluster, liars, DELAY_S)
    asked = Asked(inner) if inner else None
    plan = Plan(10, gather_every=2, patience_s=1.0)
    running, inputs = numeric(cluster, asked, seed, liars, plan, noise=1.0)
    assert running.run().why == "done"
    return inputs, asked or Asked(Silent())


class Silent:
    def postpone(self, letter: Letter, world: World) -> float:
        return 0.0


# --- starve ---------------------------------------------------------------------------------------


def test_quorums_close_without_whoever_is_starved() -> None:
    victim = NodeId("server", 3)
    starved = _share_with(victim, {"name": "starve", "node": str(victim)})
    assert starved < 0.1
    assert _share_with(victim, "network") > 0.6


def test_a_starved_server_lags_all_the_time() -> None:
    behind = []

    class Lag(Diary):
        def began(self, stage: Stage) -> None:
            self.stage = stage

        def handled(self, now: float, node: NodeId, *_: object) -> None:
            steps = [self.stage.machines[server].step for server in FIVE.server_ids]
            if min(steps) > 2 and max(steps) < 18:
                behind.append(max(steps) - steps[1])

    starve = scheduler({"name": "starve", "node": "server-1"}, 1, FIVE, frozenset(), UNIT_S)
    faults = FaultPlan(delays=(Delay(Exponential(UNIT_S)),))
    conditions = Conditions(faults, cost=UNIFORM, scheduler=starve)
    assert world(Plan(20, 5), conditions, Lag(), cluster=FIVE).run().why == "done"
    assert mean(behind) > 1.5


def _share_with(victim: NodeId, named: str | Mapping[str, object]) -> float:
    """Of the quorums of models that others take."""
    shares = []
    for seed in range(4):
        liars = liars_of(FIVE)
        inner = scheduler(named, seed, FIVE, liars, DELAY_S)
        running, inputs = numeric(FIVE, inner, seed, liars, Plan(10, 2), noise=1.0)
        assert running.run().why == "done"
        for node, effect in inputs.taken:
            if isinstance(effect, Contract) and node != victim:
                shares.append(victim in [sender for sender, _ in effect.models])
    return mean(shares)


def test_the_seed_picks_an_honest_victim_and_time_another() -> None:
    liars = frozenset(FIVE.server_ids[:3])
    first = {_victims("starve", seed, liars, at=(0.0,)) for seed in range(20)}
    assert first == {((NodeId("server", 3),)), ((NodeId("server", 4),))}
    turns = _victims(
        {"name": "starve", "every_s": 2.0, "node": "server-2"}, 0, frozenset(), (0, 1.9, 2, 5, 10)
    )
    assert [victim.index for victim in turns] == [2, 2, 3, 4, 2]


def _victims(
    named: str | Mapping[str, object], seed: int, liars: frozenset[NodeId], at: tuple[float, ...]
) -> tuple[NodeId, ...]:
    """Who is neither heard nor told anything in time, at some times."""
    starve = scheduler(named, seed, FIVE, liars, UNIT_S)
    assert starve is not None
    running = world(Plan(3), Conditions(FaultPlan()), cluster=FIVE)
    running.run(events=0)
    found = []
    for running.now in at:
        for server in FIVE.server_ids:
            told = Letter(FIVE.worker_ids[0], server, Gradient(0, "g"))
            heard = Letter(server, FIVE.worker_ids[0], Model(0, "m"))
            held = {starve.postpone(letter, running) > 0 for letter in (told, heard)}
            assert len(held) == 1
            found += [server] if True in held else []
    return tuple(found)


# --- split ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", SHAPES)
@pytest.mark.parametrize("lying", [False, True])
def test_of_every_quorum_as_many_are_left_out_as_can_be(cluster: Cluster, lying: bool) -> None:
    liars = liars_of(cluster) if lying else frozenset()
    cut = list(cut_links(cluster, liars))
    assert len(set(cut)) == len(cut)
    for receiver in cluster.nodes:
        left_out = [sender for sender, to in cut if to == receiver]
        assert receiver not in left_out
        assert liars.isdisjoint(left_out)
        servers = cluster.servers - cluster.q_servers
        workers = cluster.workers - cluster.q_workers if receiver.role == "server" else 0
        expected = 0 if receiver in liars else servers + workers
        assert len(left_out) == expected


def test_a_camp_leaves_out_members_of_the_other_one() -> None:
    side = {"server": list(EIGHT.server_ids), "worker": list(EIGHT.worker_ids)}
    for sender, receiver in cut_links(EIGHT, frozenset()):
        assert camp(sender, side[sender.role]) != camp(receiver, side[receiver.role])


# --- contraction ----------------------------------------------------------------------------------


def after(name: str, gathers: int, cluster: Cluster, lying: bool, noise: float = 0.0) -> float:
    """The mean diameter of the honest servers after some gathers."""
    liars = liars_of(cluster) if lying else frozenset()
    found = []
    for seed in range(8):
        inner = scheduler(name, seed, cluster, liars, DELAY_S)
        plan = Plan(gathers, gather_every=1, patience_s=1.0)
        running, inputs = numeric(cluster, inner, seed, liars, plan, noise)
        assert running.run().why == "done"
        found.append(inputs.diameter(gathers))
    return mean(found)


@pytest.mark.parametrize("cluster", [FIVE, EIGHT])
@pytest.mark.parametrize("lying", [False, True])
def test_different_quorums_slow_the_contraction_down(cluster: Cluster, lying: bool) -> None:
    usual = max(after("network", 4, cluster, lying), after("random", 4, cluster, lying))
    assert after("split", 4, cluster, lying) > 1.2 * usual
    assert after("greedy", 4, cluster, lying) > 1.4 * usual


@pytest.mark.parametrize("cluster", [FIVE, EIGHT])
def test_two_camps_and_lies_for_each_stop_it_for_ever(cluster: Cluster) -> None:
    """No bound of the theory is broken: it promises contraction where any quorum may come about."""
    early, late = after("split", 2, cluster, lying=True), after("split", 8, cluster, lying=True)
    assert late == pytest.approx(early)
    assert after("network", 8, cluster, lying=True) < 0.5 * late


@pytest.mark.parametrize("cluster", [FIVE, EIGHT])
def test_who_looks_at_gradients_drives_equal_replicas_apart(cluster: Cluster) -> None:
    usual = after("random", 8, cluster, lying=True, noise=1.0)
    assert after("greedy", 8, cluster, lying=True, noise=1.0) > 2.5 * usual


# --- by name, and small parts ---------------------------------------------------------------------


def test_the_network_alone_is_no_scheduler_and_every_other_one_has_a_line() -> None:
    assert scheduler("network", 0, FIVE, frozenset(), UNIT_S) is None
    for name, order in SCHEDULERS.items():
        assert order.name == name
        assert order.summary
    assert SCHEDULERS["starve"].options == ("node", "every_s")


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("spilt", "did you mean 'split'"),
        ({"node": "server-0"}, "must be a name"),
        ({"name": "split", "node": "server-0"}, "unknown option of scheduler split 'node'"),
        ({"name": "starve", "node": "server-9"}, "not in this cluster"),
        ({"name": "starve", "node": 3}, "is no node"),
        ({"name": "starve", "every_s": 0}, "every_s = 0"),
        ({"name": "starve", "every_s": math.nan}, "every_s = nan"),
        ({"name": "greedy", "rate": -1.0}, "rate = -1.0"),
        ({"name": "greedy", "rate": True}, "rate = True"),
    ],
)
def test_what_cannot_be_is_said(named: str | Mapping[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        scheduler(named, 0, FIVE, frozenset(), UNIT_S)


def test_what_is_kept_of_receivers_is_bounded_whatever_liars_talk_of() -> None:
    slots: Slots[list[int]] = Slots()
    me = NodeId("server", 0)
    for step in range(50):
        for ahead in (-1, 0, 1, AHEAD, AHEAD + 1, 10**9):
            for round_ in range(100):
                slots.at(me, (Model, step + ahead, round_), step, list)
        assert len(slots._kept[me]) <= SLOTS_MAX
    assert slots.at(me, (Model, 10**9, 0), 60, list) is None
    assert slots.at(me, (Model, 59, 0), 60, list) is None
    first = slots.at(me, (Model, 60, 0), 60, list)
    assert first is not None
    assert slots.at(me, (Model, 60, 0), 61, list) is first
    assert len(slots._kept[me]) == 1


def test_nothing_is_held_for_who_is_down() -> None:
    victim = NodeId("server", 1)
    faults = replace(FaultPlan(), crashes=(Crash(victim, 0.0, 5.0),))
    running = world(Plan(3), Conditions(faults), cluster=FIVE)
    running.run(until_s=0.0, events=20)
    assert victim in running.down
    for named in ({"name": "starve", "node": "server-1"}, "split", "greedy"):
        held = scheduler(named, 0, FIVE, frozenset(), UNIT_S)
        assert held is not None
        letters = [Letter(sender, victim, Gradient(0, 1.0)) for sender in FIVE.worker_ids]
        assert [held.postpone(letter, running) for letter in letters] == [0, 0, 0, 0]
