"""Rows that arrive one at a time give the result that they give at once, to the bit."""

import pytest
import torch
from torch import Tensor

from byzsgd.aggregators import AGGREGATORS, AggregationError, Arrivals, Rule, compiled, configured

N, F, D = 11, 2, 1500
RULES = [
    *AGGREGATORS.values(),
    configured("krum", pre=["nnm"]),
    configured("median", pre=["nnm"]),
    configured("mda", pre=["clipping"]),
]


def vectors() -> Tensor:
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(5))
    x[7] = x[3]
    x[1] *= 1e6
    return x


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("kernels", [True, False])
def test_the_order_of_arrival_does_not_matter(
    rule: Rule, kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels:
        monkeypatch.setattr(compiled, "AVAILABLE", False)
    x = vectors()
    expected = rule.apply(x, F)
    for seed in range(3):
        arrivals = Arrivals(rule, N + 1, D)
        order = torch.randperm(N, generator=torch.Generator().manual_seed(seed)).tolist()
        row_of = {sender: arrivals.add(x[sender]) for sender in order}
        got = arrivals.aggregate(F, [row_of[sender] for sender in range(N)])
        assert torch.equal(got.vector, expected.vector)
        assert got.choice == expected.choice


@pytest.mark.parametrize("bunches", [[11], [1, 10], [4, 1, 6], [9, 2]])
def test_rows_that_come_together_give_the_same_bits(bunches: list[int]) -> None:
    rule, x = AGGREGATORS["mda"], vectors()
    arrivals, done = Arrivals(rule, N, D), 0
    for count in bunches:
        arrivals.free_rows(count).copy_(x[done : done + count])
        assert arrivals.added(count) == done
        done += count
    assert torch.equal(arrivals.aggregate(F).vector, rule(x, F))
    with pytest.raises(AggregationError, match="room for 11 rows"):
        arrivals.free_rows(1)


def test_only_the_rows_that_are_asked_for_count() -> None:
    x = vectors()
    arrivals = Arrivals(AGGREGATORS["mda"], N, D)
    for row in x:
        arrivals.add(row)
    some = [8, 0, 5, 2, 4, 6, 10]
    got = arrivals.aggregate(F, some)
    expected = AGGREGATORS["mda"].apply(x[some], F)
    assert torch.equal(got.vector, expected.vector)
    assert got.choice == expected.choice


def test_a_row_that_is_not_finite_is_a_lie() -> None:
    x = vectors()
    x[4, 3] = float("nan")
    arrivals = Arrivals(AGGREGATORS["krum"], N, D)
    for row in x:
        arrivals.add(row)
    got = arrivals.aggregate(F)
    assert got.vector.isfinite().all()
    assert torch.equal(got.vector, AGGREGATORS["krum"](x, F))
    with pytest.raises(AggregationError, match="krum tolerates f=0 rows with NaN"):
        arrivals.aggregate(0)


def test_memory_is_used_again() -> None:
    x = vectors()
    arrivals = Arrivals(AGGREGATORS["mda"], N, D)
    for row in 1e9 * x:
        arrivals.add(row)
    arrivals.clear()
    assert len(arrivals) == 0
    for row in x[:7]:
        arrivals.add(row)
    assert torch.equal(arrivals.aggregate(F).vector, AGGREGATORS["mda"](x[:7], F))


def test_a_result_is_not_touched_by_what_comes_later() -> None:
    arrivals = Arrivals(AGGREGATORS["average"], 2, 3)
    arrivals.add(torch.ones(3))
    result = arrivals.aggregate(0).vector
    arrivals.clear()
    arrivals.add(torch.zeros(3))
    assert torch.equal(result, torch.ones(3))


def test_refused() -> None:
    arrivals = Arrivals(AGGREGATORS["mda"], 2, 3)
    with pytest.raises(AggregationError, match="mda was given no rows"):
        arrivals.aggregate(0)
    with pytest.raises(AggregationError, match=r"arrivals of d=3 were given .* shape \(4,\)"):
        arrivals.add(torch.zeros(4))
    arrivals.add(torch.zeros(3))
    arrivals.add(torch.zeros(3))
    with pytest.raises(AggregationError, match="room for 2 rows, and all of it is used"):
        arrivals.add(torch.zeros(3))
