"""SafeguardSGD's filter against a plain reading of algorithm 1."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from byzsgd.aggregators import (
    AGGREGATORS,
    AggregationError,
    Safeguard,
    State,
    safeguard_of,
)

M, D = 7, 20


def plain(
    gradients: list[Tensor], windows: list[int], limits: list[float]
) -> tuple[list[Tensor], list[set[int]]]:
    """Aggregates, and who is good before each step and after the last.

    Nothing is remembered but the gradients: sums are taken anew at every step.
    """
    good, history, means = set(range(M)), [set(range(M))], []
    for t, g in enumerate(gradients):
        means.append(torch.stack([g[i] for i in sorted(good)]).double().mean(0))
        caught: set[int] = set()
        for length, limit in zip(windows, limits, strict=True):
            begin = t // length * length
            a = torch.zeros(M, D, dtype=torch.float64)
            for k in range(begin, t + 1):
                for i in history[k]:
                    a[i] += gradients[k][i].double() / len(history[k])
            near = {i: sum(bool((a[i] - a[j]).norm() <= limit) for j in good) for i in good}
            median = max(sorted(near), key=lambda i: near[i])
            caught |= {i for i in good if (a[i] - a[median]).norm() > 2 * limit}
        good = good - caught
        history.append(set(good))
    return means, history


def run(rule: Safeguard, gradients: list[Tensor]) -> tuple[list[Tensor], list[set[int]]]:
    state, means = rule.start(M, D), []
    history = [set(range(M))]
    for g in gradients:
        done = rule(g, state)
        state = done.state
        means.append(done.vector)
        history.append({i for i, fine in enumerate(state.good) if fine})
    return means, history


def drifting(steps: int, seed: int, drift: float = 0.6) -> list[Tensor]:
    """The last two senders drift by a little at each step."""
    generator = torch.Generator().manual_seed(seed)
    gradients = []
    for _ in range(steps):
        g = torch.randn(M, D, generator=generator)
        g[5] += drift
        g[6] -= 2 * drift
        gradients.append(g)
    return gradients


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("windows", "limits"), [([4], [1.6]), ([6, 2], [2.0, 1.3]), ([1], [0.6])])
def test_follows_algorithm_1(windows: list[int], limits: list[float], seed: int) -> None:
    gradients = drifting(14, seed)
    rule = Safeguard(tuple(windows), tuple(limits))
    means, history = run(rule, gradients)
    expected, expected_history = plain(gradients, windows, limits)
    assert history == expected_history
    for got, want in zip(means, expected, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)


def test_the_test_above_sees_somebody_caught_late_and_somebody_never() -> None:
    _, history = run(Safeguard((6, 2), (2.0, 1.3)), drifting(14, 0))
    assert history[1] == set(range(M))
    assert history[-1] == {0, 1, 2, 3, 4} or len(history[-1]) < M


def test_thresholds_of_its_own_catch_a_drift_and_spare_the_honest() -> None:
    _, history = run(Safeguard((6, 2)), drifting(20, 1, drift=2.0))
    assert history[-1] == {0, 1, 2, 3, 4}


def test_who_is_caught_still_counts_at_that_step() -> None:
    g = torch.zeros(M, D)
    g[6] = 100.0
    rule = Safeguard((1,), (1.0,))
    done = rule(g, rule.start(M, D))
    assert done.chosen == tuple(range(M))
    torch.testing.assert_close(done.vector, torch.full((D,), 100 / M))
    assert done.state.good == (True,) * 6 + (False,)
    assert rule(g, done.state).chosen == tuple(range(6))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_who_is_not_finite_counts_no_more_and_leaves_no_trace(poison: float) -> None:
    g = torch.ones(M, D)
    g[2, 3] = poison
    rule = Safeguard((4, 2))
    done = rule(g, rule.start(M, D))
    assert torch.equal(done.vector, torch.ones(D))
    assert not done.state.good[2]
    assert all(total.isfinite().all() for total in done.state.sums)


def test_the_absent_are_taken_to_have_sent_what_the_median_sent() -> None:
    """So who is slow stays as near to the majority as it was, and liars lead nobody away."""
    rule = Safeguard((10,), (5.0,))
    state = rule(torch.zeros(M, D), rule.start(M, D)).state
    sent = torch.ones(5, D)
    sent[0] = -20.0  # the liar's, and it is the first
    sent[1] += 0.5
    done = rule(sent, state, senders=[6, 0, 2, 3, 4])
    assert done.chosen == (6, 0, 2, 3, 4)
    assert done.state.good == (True,) * 6 + (False,)
    sums = done.state.sums[0]
    assert torch.equal(sums[1], sums[2])
    assert torch.equal(sums[5], sums[2])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_nobody_honest_is_excluded_for_being_slow(share: float, seed: int) -> None:
    """Two are seldom in the quorum, two lie: what all would do with 1/3 of the gradient each."""
    generator = torch.Generator().manual_seed(seed)
    rule = Safeguard((40, 10), warm_up=10)
    state, slow = rule.start(10, 50), [8, 9]
    for step in range(100):
        g = honest(10, 50, generator) + 1.0
        g[0] = g[3] = -g[0]
        absent = [s for s in slow if float(torch.rand((), generator=generator)) >= share]
        senders = [s for s in range(10) if s not in absent]
        state = rule(g[senders], state, senders, step).state
    assert state.excluded == (0, 3)


def test_states_are_values() -> None:
    rule = Safeguard((3, 2), (9.0, 9.0))
    first = rule.start(M, D)
    second = rule(torch.ones(M, D), first).state
    kept = [total.clone() for total in second.sums]
    once, twice = rule(torch.ones(M, D), second), rule(torch.ones(M, D), second)
    assert all(torch.equal(a, b) for a, b in zip(second.sums, kept, strict=True))
    assert torch.equal(once.vector, twice.vector)
    assert (first.step, second.step) == (0, 1)
    assert all(not total.any() for total in first.sums)


def test_windows_restart_at_multiples_of_their_length() -> None:
    rule = Safeguard((3,), (1e9,))
    state = rule.start(M, D)
    sums = []
    for _ in range(7):
        state = rule(torch.full((M, D), float(M)), state).state
        sums.append(float(state.sums[0][0, 0]))
    assert sums == [1, 2, 3, 1, 2, 3, 1]


def test_noise_is_drawn_from_seed_and_step() -> None:
    state = Safeguard((1,)).start(M, D)
    x = torch.zeros(M, D)
    noisy = Safeguard((1,), noise=2.0, seed=4)
    first = noisy(x, state)
    assert torch.equal(first.vector, noisy(x, state).vector)
    assert not torch.equal(first.vector, noisy(x, first.state).vector)
    assert not torch.equal(first.vector, Safeguard((1,), noise=2.0, seed=5)(x, state).vector)
    assert 0.8 < float(first.vector.std()) < 4.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"windows": ()}, "one window or two, the longer first"),
        ({"windows": (2, 6)}, "one window or two, the longer first"),
        ({"windows": (0,)}, "one window or two"),
        ({"windows": (6, 2), "thresholds": (1.0,)}, "a threshold > 0 for each window"),
        ({"windows": (6,), "thresholds": (0.0,)}, "a threshold > 0 for each window"),
        ({"windows": (6,), "noise": -1.0}, "noise ≥ 0"),
    ],
)
def test_settings_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(AggregationError, match="safeguard needs") as caught:
        Safeguard(**settings)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_input_refused() -> None:
    rule = Safeguard((2,))
    state = rule.start(M, D)
    for bad in ([0, 0, 1], [0, 1], [0, 1, M]):
        with pytest.raises(AggregationError, match="a different sender out of 7 for each of the"):
            rule(torch.ones(3, D), state, senders=bad)
    with pytest.raises(AggregationError, match=f"vectors of d={D}"):
        rule(torch.ones(M, D + 1), state)
    with pytest.raises(AggregationError, match="safeguard needs a good sender"):
        rule(torch.full((M, D), math.nan), state)


def test_without_memory_it_is_the_mean_of_the_majority() -> None:
    x = torch.zeros(7, 3)
    x[:, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 50.0, math.nan])
    assert AGGREGATORS["safeguard"].select(x, 2) == (0, 1, 2, 3, 4)
    torch.testing.assert_close(AGGREGATORS["safeguard"](x, 2), torch.tensor([0.4, 0.0, 0.0]))


# --- thresholds of its own ------------------------------------------------------------------------


def honest(m: int, d: int, generator: torch.Generator) -> Tensor:
    return torch.randn(m, d, generator=generator)


LIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sign flip": lambda g, old, other: -g,
    "zero": lambda g, old, other: 0 * g,
    "delayed": lambda g, old, other: old,
    "label flip": lambda g, old, other: other,
    "variance": lambda g, old, other: g.mean(0) - 0.5 * g.std(0),
}


@pytest.mark.parametrize("lie", [None, *LIES])
@pytest.mark.parametrize("windows", [(100, 25), (50,)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_liars_are_out_and_the_honest_stay(
    lie: str | None, windows: tuple[int, ...], momentum: float
) -> None:
    """Four of ten lie about a gradient that turns and is hidden in noise, itself half as long."""
    generator = torch.Generator().manual_seed(len(windows))
    m, d, liars = 10, 400, [1, 2, 5, 9]
    rule = Safeguard(windows, warm_up=25)
    state, sums = rule.start(m, d), torch.zeros(m, d)
    true, old, other = torch.randn(3, d, generator=generator) / 2
    for step in range(200):
        g = honest(m, d, generator) + true
        if lie:
            instead = [honest(m, d, generator) + gradient for gradient in (old, other)]
            g[liars] = LIES[lie](g, *instead).expand(m, d)[liars]
        sums = momentum * sums + g
        done = rule(sums, state)
        state = done.state
        assert len(done.chosen) >= 5
        if step < 24:
            assert state.excluded == ()
    assert state.excluded == (tuple(liars) if lie else ())


def test_a_window_that_restarts_accuses_nobody() -> None:
    """One gradient says little: H is that of a whole window's noise from its first step on."""
    generator = torch.Generator().manual_seed(1)
    heavy = torch.randn(300, M, D, generator=generator)
    heavy *= torch.rand(300, M, 1, generator=generator) ** -0.25
    states = {}
    for warm_up in (0, 30):
        rule = Safeguard((30,), warm_up=warm_up)
        states[warm_up] = rule.start(M, D)
        for g in heavy:
            states[warm_up] = rule(g, states[warm_up]).state
    assert states[30].excluded == ()
    assert states[0].excluded != (), "without it, heavy tails are enough"


def test_one_huge_vector_does_not_ruin_the_warm_up() -> None:
    g = torch.ones(M, D)
    g[2] = 1e30
    rule = Safeguard((4,), warm_up=4)
    state = rule.start(M, D)
    for _ in range(4):
        done = rule(g, state)
        assert torch.equal(done.vector, torch.ones(D))
        assert 2 not in done.chosen
        state = done.state
    assert state.excluded == (2,)


# --- steps, windows, checkpoints ------------------------------------------------------------------


def test_who_skipped_steps_forgets_the_windows_that_restarted() -> None:
    rule = Safeguard((6, 3), (9.0, 9.0))
    state = rule(torch.full((M, D), float(M)), rule.start(M, D), step=1).state
    assert state.step == 2
    for step, sums in ((2, (2, 2)), (4, (2, 1)), (5, (2, 1)), (6, (1, 1)), (60, (1, 1))):
        after = rule(torch.full((M, D), float(M)), state, step=step).state
        assert after.step == step + 1
        assert tuple(float(total[0, 0]) for total in after.sums) == pytest.approx(sums)
    with pytest.raises(AggregationError, match="safeguard needs a step of 2 or later, was given 1"):
        rule(torch.ones(M, D), state, step=1)


@pytest.mark.parametrize(("readmit", "back"), [(True, 6), (False, None)])
def test_who_was_excluded_may_be_back_when_the_long_window_restarts(
    readmit: bool, back: int | None
) -> None:
    rule = Safeguard((6, 2), (2.0, 1.0), readmit=readmit)
    state, counted = rule.start(M, D), []
    for step in range(9):
        g = torch.zeros(M, D)
        g[4] = 9.0 if step == 1 else 0.0
        done = rule(g, state)
        state = done.state
        counted.append(4 in done.chosen)
    assert counted.index(False) == 2
    assert (counted.index(True, 2) if True in counted[2:] else None) == back


def test_a_checkpoint_holds_all_of_a_state() -> None:
    rule = Safeguard((6, 4), warm_up=3)
    state = rule.start(M, D)
    for step, g in enumerate(drifting(9, 3, drift=3.0)):
        again = State.of({name: tensor.clone() for name, tensor in state.tensors().items()})
        assert again.scales == state.scales
        twin, done = rule(g, again), rule(g, state)
        assert torch.equal(twin.vector, done.vector)
        assert twin.state.good == done.state.good
        assert all(map(torch.equal, twin.state.sums, done.state.sums))
        assert twin.state.step == done.state.step == step + 1
        state = done.state
    assert state.excluded


# --- by the names of a file -----------------------------------------------------------------------


def test_options_are_the_settings() -> None:
    double = safeguard_of({"window": 100, "long_window": 600}, seed=3)
    assert double == Safeguard((600, 100), None, 0.0, 3, warm_up=100)
    given = {"window": 5, "long_window": 9, "h0": 2, "h1": 3.5, "noise": 0.1}
    assert safeguard_of(given) == Safeguard((9, 5), (3.5, 2), 0.1)
    bold = {"window": 5, "warm_up": 0, "readmit": True}
    assert safeguard_of(bold) == Safeguard((5,), readmit=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"warm_up": 3}, "needs window"),
        ({"window": 0}, "window = 0: must be a whole number, ≥ 1"),
        ({"window": 2.0}, "window = 2.0: must be a whole number"),
        ({"window": True}, "window = True: must be a whole number"),
        ({"window": 6, "long_window": 6}, "long_window = 6: must be above window = 6"),
        ({"window": 6, "warm_up": -1}, "warm_up = -1: must be a whole number, ≥ 0"),
        ({"window": 6, "h1": 2.0}, "h1 is the threshold of long_window"),
        ({"window": 6, "long_window": 9, "h0": 2.0}, "h0 and h1 must be given both"),
        ({"window": 6, "long_window": 9, "h0": 2.0, "h1": 2.0}, "h1 = 2.0: must be above h0"),
        ({"window": 6, "h0": 2.0, "warm_up": 6}, "warm_up has no effect where h0 is given"),
        ({"window": 6, "h0": -2.0}, "a threshold > 0"),
        ({"window": 6, "h0": "2"}, "h0 = '2': must be a number"),
        ({"window": 6, "readmit": 1}, "readmit = 1: must be true or false"),
        ({"window": 4, "long_window": 6, "readmit": True}, "must be a multiple of window = 4"),
        ({"window": 4, "windw": 6}, "safeguard has no option windw: its options are window, long"),
    ],
)
def test_options_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(AggregationError) as caught:
        safeguard_of(options)
    assert words in str(caught.value)
