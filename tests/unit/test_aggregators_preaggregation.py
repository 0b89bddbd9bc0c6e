"""Steps before a rule: mixtures that are never built must act as if they were."""

import pytest
import torch
from torch import Tensor

from byzsgd.aggregators import (
    AGGREGATORS,
    PREAGGREGATIONS,
    AggregationError,
    aggregate,
    configured,
    preaggregation,
)

ROBUST = [name for name in AGGREGATORS if name != "average"]


def vectors(n: int = 15, d: int = 40, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator)


@pytest.mark.parametrize("rule", AGGREGATORS)
@pytest.mark.parametrize("pre", [["nnm"], ["bucketing"], ["clipping"], ["nnm", "bucketing"]])
def test_a_rule_sees_what_the_steps_leave(rule: str, pre: list[str]) -> None:
    x = vectors()
    seen = x
    for step in pre:
        seen = PREAGGREGATIONS[step](seen, 1)
    expected = AGGREGATORS[rule](seen, 1)
    torch.testing.assert_close(aggregate(rule, x, 1, pre=pre), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("pre", [["nnm"], ["bucketing"], ["clipping"], ["clipping", "nnm"]])
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_not_finite_is_one_lie(rule: str, pre: list[str], poison: float) -> None:
    x = vectors()
    x[4, 7] = poison
    result = aggregate(rule, x, 1, pre=pre)
    assert result.isfinite().all()
    assert result.norm() <= 2 * x[[0, 1, 2]].norm(dim=1).max()


@pytest.mark.parametrize("step", ["nnm", "clipping"])
def test_more_such_rows_than_f_are_refused(step: str) -> None:
    x = vectors(7)
    x[:3] = float("nan")
    with pytest.raises(AggregationError, match=f"{step} tolerates f=2 rows .* given 3 of n=7"):
        PREAGGREGATIONS[step](x, 2)


def test_nnm_by_hand() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [100.0]])
    mixed = PREAGGREGATIONS["nnm"](x, 1)
    near = 4 / 3
    torch.testing.assert_close(mixed, torch.tensor([[near], [near], [near], [104 / 3]]))


def test_nnm_leaves_out_who_is_infinitely_far_and_leaves_him_so() -> None:
    x = torch.tensor([[0.0], [1.0], [float("inf")], [3.0]])
    mixed = PREAGGREGATIONS["nnm"](x, 1)
    assert mixed[2].isnan().all()
    torch.testing.assert_close(mixed[[0, 1, 3]], torch.full((3, 1), 4 / 3))


def test_buckets_by_hand() -> None:
    x = torch.arange(5.0)[:, None]
    order = torch.randperm(5, generator=torch.Generator().manual_seed(3))
    means = preaggregation({"name": "bucketing", "size": 2, "seed": 3})(x, 1)
    expected = [x[order[:2]].mean(0), x[order[2:4]].mean(0), x[order[4:]].mean(0)]
    torch.testing.assert_close(means, torch.stack(expected))


def test_clipping_shortens_and_never_turns() -> None:
    x = vectors(7)
    x[2] *= 1e20
    x[5] *= 1e-3
    clipped = preaggregation({"name": "clipping", "threshold": 2.0})(x, 2)
    assert clipped.norm(dim=1).max() <= 2.0 + 1e-5
    torch.testing.assert_close(clipped[5], x[5])
    torch.testing.assert_close(clipped[2] / 2, (x[2].double() / x[2].double().norm()).float())


def test_clipping_at_the_median_norm_is_bounded_by_an_honest_norm() -> None:
    x = vectors(9)
    x[:4] *= 1e6
    assert PREAGGREGATIONS["clipping"](x, 4).norm(dim=1).max() <= x[4:].norm(dim=1).max() + 1e-4


def test_clipping_of_zeros() -> None:
    x = torch.zeros(5, 3)
    x[0] = 1.0
    assert torch.equal(PREAGGREGATIONS["clipping"](x, 2), torch.zeros(5, 3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("step", PREAGGREGATIONS)
def test_types_are_kept_and_input_is_not_touched(dtype: torch.dtype, step: str) -> None:
    x = vectors(7).to(dtype)
    before = x.clone()
    result = PREAGGREGATIONS[step](x, 2)
    assert result.dtype == dtype
    assert torch.equal(x, before)
    result.zero_()
    assert torch.equal(x, before), "nothing is aliased"


def test_a_preceded_rule_says_how_many_rows_it_needs() -> None:
    rule = configured("krum", pre=["bucketing", "nnm"])
    assert rule.name == "bucketing + nnm + krum"
    assert rule.minimum_n(2) == 13, "7 rows must be left of pairs"
    with pytest.raises(AggregationError, match=r"n ≥ 2f\+3 after bucketing \+ nnm \(at least 13"):
        rule(vectors(12), 2)
    with pytest.raises(AggregationError, match="selects no rows"):
        rule.select(vectors(13), 2)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("bucketing", {"size": 0}, "a size that is a whole number ≥ 1, was given 0"),
        ("bucketing", {"seed": -1}, "a seed that is a whole number from 0"),
        ("clipping", {"threshold": 0.0}, "clipping needs a threshold > 0, was given 0.0"),
        ("clipping", {"threshold": "far"}, "clipping cannot take {'threshold': 'far'}"),
        ("clipping", {"radius": 1.0}, "clipping has no option radius: its options are threshold"),
        ("nnm", {"k": 1}, "nnm has no option k: it has no options"),
        ("nmn", {}, "unknown preaggregation 'nmn'; did you mean 'nnm'?"),
    ],
)
def test_refused(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(AggregationError) as caught:
        preaggregation({"name": name, **options})
    assert words in str(caught.value)


def test_no_vectors_at_all() -> None:
    with pytest.raises(AggregationError, match="nnm needs a non-empty"):
        PREAGGREGATIONS["nnm"](torch.zeros(0, 3))
    with pytest.raises(AggregationError, match=r"nnm needs n ≥ 2f\+1 \(at least 5"):
        PREAGGREGATIONS["nnm"](torch.zeros(4, 3), 2)
