"""SafeguardSGD's filter against a plain reading of algorithm 1."""

import math

import pytest
import torch
from torch import Tensor

from byzsgd.aggregators import AGGREGATORS, AggregationError, Safeguard

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


def test_the_absent_keep_their_sums_and_their_place() -> None:
    rule = Safeguard((10,), (5.0,))
    state = rule(torch.ones(M, D), rule.start(M, D)).state
    done = rule(torch.ones(3, D), state, senders=[6, 0, 2])
    assert done.chosen == (6, 0, 2)
    assert done.state.good == (True,) * M
    assert torch.equal(done.state.sums[0][1], state.sums[0][1])
    torch.testing.assert_close(done.state.sums[0][6], 2 * state.sums[0][6])


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
