"""The scheduler that looks into letters: what it sees, when it decides, and what harm it does."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch

from byzsgd.cluster import NodeId, Plan
from byzsgd.faults import Chance, Crash, Delay, Exponential, FaultPlan
from byzsgd.protocol import Gradient, Model
from byzsgd.simulation.parts import Conditions
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.schedulers import SCHEDULERS, scheduler
from byzsgd.simulation.schedulers.gathering import FIRST_UNITS, LAST_UNITS, UNITS_MAX, Gathering
from byzsgd.simulation.schedulers.sight import COORDINATES, LARGEST, Sight
from byzsgd.simulation.schedulers.worst import median, robust_mean, worst
from byzsgd.wire import Frames, Layout, frames_of
from tests.simulation.numeric import DELAY_S, EIGHT, FIVE, liars_of, numeric
from tests.simulation.test_schedulers import Asked
from tests.simulation.worlds import world

W = [NodeId("worker", index) for index in range(10)]


# --- sight ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vector", "seen"),
    [
        (torch.tensor([1.0, -2.5]), [1.0, -2.5]),
        ((1, 2.5), [1.0, 2.5]),
        ([3.0], [3.0]),
        (4, [4.0]),
        (torch.tensor([math.nan, math.inf, -math.inf]), [LARGEST, LARGEST, -LARGEST]),
        (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), [1.0, 2.0]),
        ("a symbol", None),
        (("a", 1.0), None),
        (None, None),
        (torch.ones(2, 2), None),
    ],
)
def test_it_sees_numbers_and_nothing_else(vector: Any, seen: list[float] | None) -> None:
    found = Sight(1).of(vector)
    assert (None if found is None else found.tolist()) == seen


def test_of_long_vectors_it_sees_the_same_coordinates_in_whatever_form_they_come() -> None:
    vector = torch.arange(5000.0)
    layout = Layout(5000, chunk_bytes=4096)
    frames = Frames(layout, frames_of(vector, layout))
    sight = Sight(1)
    seen = sight.of(vector)
    assert seen is not None
    assert len(set(seen.tolist())) == COORDINATES
    assert seen.max() > 4000
    for other in (sight.of(frames), sight.of(vector), Sight(1).of(frames)):
        np.testing.assert_array_equal(other, seen)
    assert Sight(2).of(vector).tolist() != seen.tolist()  # type: ignore[union-attr]


# --- when -----------------------------------------------------------------------------------------


def test_it_decides_after_a_while_or_later_if_there_is_nothing_to_choose_from() -> None:
    gathering = Gathering(now_s=10.0, unit_s=1.0)
    gathering.hand = {worker: np.zeros(1) for worker in W[:4]}
    assert not gathering.due(10.0 + FIRST_UNITS - 0.1, need=3)
    assert gathering.held_s(11.0, W[0]) == FIRST_UNITS - 1
    assert gathering.due(10.0 + FIRST_UNITS, need=3)
    assert not gathering.due(10.0 + FIRST_UNITS, need=4)
    assert not gathering.due(10.0 + LAST_UNITS - 0.1, need=4)
    assert gathering.due(10.0 + LAST_UNITS, need=10)


def test_who_is_not_among_the_first_comes_late_and_then_like_all_others() -> None:
    gathering = Gathering(now_s=0.0, unit_s=1.0)
    gathering.first = (W[1],)
    assert gathering.held_s(5.0, W[1]) == 0
    assert gathering.held_s(5.0, W[2]) == UNITS_MAX - 5
    assert gathering.held_s(UNITS_MAX + 5.0, W[2]) == 0


# --- what -----------------------------------------------------------------------------------------


def harm(hand: Mapping[NodeId, Any], senders: Sequence[NodeId], others: Any) -> float:
    outcome = np.median(np.stack([hand[sender] for sender in senders]), axis=0)
    return sum(math.dist(outcome, other) for other in others)


@pytest.mark.parametrize(("n", "f", "share"), [(4, 1, 1.0), (7, 2, 1.0), (10, 3, 0.94)])
@pytest.mark.parametrize("dimension", [1, 3])
def test_its_guess_does_nearly_the_most_harm_that_can_be(
    n: int, f: int, share: float, dimension: int
) -> None:
    liars, shares = frozenset(W[:f]), []
    for seed in range(40):
        random = np.random.default_rng([seed, n, dimension])
        hand = {worker: random.standard_normal(dimension) for worker in W[:n]}
        hand |= {worker: 4 * random.standard_normal(dimension) for worker in W[:f]}
        others = random.standard_normal((4, dimension))
        away = random.standard_normal(dimension) - others.mean(axis=0)
        guess = worst(hand, liars, n - f, median, others, away)
        np.testing.assert_allclose(guess.outcome, np.median([hand[w] for w in guess.senders], 0))
        most = max(harm(hand, subset, others) for subset in combinations(W[:n], n - f))
        shares.append(harm(hand, guess.senders, others) / most)
    assert share - 1e-9 <= mean(shares) <= 1 + 1e-9


def test_the_mean_leaves_out_what_is_most_out_of_the_way() -> None:
    rows = np.array([[0.0], [1.0], [2.0], [100.0]])
    assert robust_mean(rows, 1).tolist() == [1.0]
    assert robust_mean(rows[:1], 3).tolist() == [0.0]
    assert median(rows).tolist() == [1.5]


# --- in a world -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", [FIVE, EIGHT])
@pytest.mark.parametrize("rounds", [1, 2])
def test_worlds_of_numbers_end_whatever_else_goes_wrong(cluster: Any, rounds: int) -> None:
    for seed in range(6):
        random = Random(f"{seed}/greedy")
        liars = liars_of(cluster) if seed % 2 else frozenset()
        begin_s = random.uniform(0, 0.1)
        down = [cluster.server_ids[2], cluster.worker_ids[0]]
        faults = FaultPlan(
            delays=(Delay(Exponential(DELAY_S)),),
            losses=(Chance(0.05, until_s=0.2),),
            duplicates=(Chance(0.1),),
            crashes=() if liars else tuple(Crash(node, begin_s, begin_s + 0.05) for node in down),
        )
        inner = scheduler("greedy", seed, cluster, liars, DELAY_S)
        assert inner is not None
        asked = Asked(inner)
        plan = Plan(8, 2, rounds, patience_s=0.05, save_every=2)
        running, _ = numeric(cluster, asked, seed, liars, plan, noise=1.0, faults=faults)
        assert running.run().why == "done", seed
        longest_s = max(asked.held.values())
        assert 0 < longest_s <= SCHEDULERS["greedy"].units_max * DELAY_S * (1 + 1e-9)


def test_where_it_sees_nothing_it_holds_what_two_camps_would() -> None:
    running = world(Plan(3), Conditions(FaultPlan()), cluster=FIVE)
    running.run(events=0)
    held = {}
    for name in ("greedy", "split"):
        judge = scheduler(name, 1, FIVE, frozenset(), 1.0)
        assert judge is not None
        letters = [
            Letter(sender, receiver, message)
            for message, senders in ((Model(0, "m"), FIVE.server_ids), (Gradient(0, "g"), W[:4]))
            for sender in senders
            for receiver in FIVE.nodes
            if receiver != sender and "server" in (sender.role, receiver.role)
        ]
        held[name] = [judge.postpone(letter, running) for letter in letters]
    assert held["greedy"] == held["split"]
    assert any(held["split"])
