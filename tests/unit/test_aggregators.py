"""What all rules promise: totality, purity, `out`, names, and errors one can act on."""

import math
import re
from typing import Any

import pytest
import torch

from byzsgd.aggregators import AGGREGATORS, AggregationError, aggregate, configured, resolve

RULES = sorted(AGGREGATORS)
FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("more", "f"), [(0, 0), (1, 0), (0, 2), (1, 3)])
def test_a_rule_neither_changes_nor_aliases_its_input(
    rule: str, dtype: torch.dtype, more: int, f: int
) -> None:
    vectors = torch.randn(AGGREGATORS[rule].minimum_n(f) + more, 70).to(dtype)
    before = vectors.clone()
    result = aggregate(rule, vectors, f)
    assert (result.shape, result.dtype) == ((70,), dtype)
    result.fill_(math.nan)
    assert torch.equal(vectors, before)


@pytest.mark.parametrize("name", RULES)
def test_as_many_are_tolerable_as_the_rows_allow_and_no_more_than_asked(name: str) -> None:
    rule = AGGREGATORS[name]
    for n in range(30):
        for f in range(12):
            found = rule.tolerable(n, f)
            assert found == 0 or rule.minimum_n(found) <= n
            assert found == f or (found < f and rule.minimum_n(found + 1) > n)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_deterministic_and_fills_the_out_it_is_given(rule: str) -> None:
    vectors = torch.randn(11, 100_001)
    out = torch.full((100_001,), math.nan)
    assert aggregate(rule, vectors, 2, out=out) is out
    assert torch.equal(out, aggregate(rule, vectors, 2))


@pytest.mark.parametrize("rule", RULES)
def test_rows_of_any_stride_are_read_right(rule: str) -> None:
    vectors = torch.randn(7, 300)
    expected = aggregate(rule, vectors, 1)
    for strided in (vectors.T.contiguous().T, vectors.repeat_interleave(2, 1)[:, ::2]):
        torch.testing.assert_close(aggregate(rule, strided, 1), expected)


@pytest.mark.parametrize("rule", RULES)
def test_a_sequence_of_vectors_is_a_matrix(rule: str) -> None:
    vectors = torch.randn(7, 30)
    for sequence in (list(vectors), tuple(vectors)):
        assert torch.equal(aggregate(rule, sequence, 1), aggregate(rule, vectors, 1))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "average"])
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_more_rows_that_are_not_finite_than_f_are_refused(rule: str, poison: float) -> None:
    vectors = torch.randn(11, 40)
    vectors[[1, 4], 3] = poison
    assert bool(aggregate(rule, vectors, 2).isfinite().all())
    vectors[7, 39] = poison
    _refused(f"{rule} tolerates f=2 rows with NaN or Inf in them, was given 3", rule, vectors, 2)


@pytest.mark.parametrize("rule", RULES)
def test_gradients_do_not_follow(rule: str) -> None:
    vectors = torch.randn(7, 3, requires_grad=True)
    parameter = torch.nn.Parameter(torch.zeros(3))
    assert aggregate(rule, vectors, 1, out=parameter) is parameter
    assert torch.equal(parameter.detach(), aggregate(rule, vectors, 1))
    assert not aggregate(rule, vectors, 1).requires_grad


@pytest.mark.parametrize("rule", ["median", "mda"])
@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf, 3e38, -3e38])
@pytest.mark.parametrize("n", [3, 4, 7, 8])
def test_f_rows_of_anything_leave_the_result_finite_and_near(rule: str, lie: float, n: int) -> None:
    f = (n - 1) // 2
    vectors = torch.rand(n, 50_000)
    vectors[:f] = lie
    vectors[0, ::2] = -vectors[0, ::2]
    result = aggregate(rule, vectors, f)
    assert bool((result >= 0).all())
    assert bool((result <= 1).all())


@pytest.mark.parametrize("rule", ["average", "median", "mda"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_finite_values_do_not_overflow(rule: str, dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    vectors = torch.full((5, 10), most, dtype=dtype)
    for n in (4, 5):
        result = aggregate(rule, vectors[:n], 1)
        assert bool(result.isfinite().all())
        torch.testing.assert_close(result, vectors[0])


def test_the_average_is_the_mean_whatever_f_and_tolerates_none() -> None:
    vectors = torch.randn(4, 100_000)
    torch.testing.assert_close(aggregate("average", vectors, 9), vectors.mean(0))
    vectors[1, 99_999] = math.nan
    vectors[2, 0] = math.inf
    result = aggregate("average", vectors)
    assert math.isinf(result[0])
    assert math.isnan(result[-1])
    assert bool(result[1:-1].isfinite().all())


def test_aliases_lead_to_the_same_rule() -> None:
    assert resolve("mean") is AGGREGATORS["average"]
    assert resolve("cwmed") is AGGREGATORS["median"]
    assert resolve("brute") is AGGREGATORS["mda"]
    assert resolve("trmean") is resolve("tm") is AGGREGATORS["trimmed_mean"]
    assert resolve("rfa") is resolve("geomed") is AGGREGATORS["geometric_median"]
    assert resolve("cc") is AGGREGATORS["centered_clipping"]
    assert all(resolve(name) is rule and rule.name == name for name, rule in AGGREGATORS.items())


def _refused(
    message: str,
    rule: str,
    vectors: torch.Tensor | list[torch.Tensor],
    f: int = 0,
    **out: torch.Tensor,
) -> None:
    with pytest.raises(AggregationError, match=re.escape(message)):
        aggregate(rule, vectors, f, **out)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    _refused("'medain'; did you mean 'median'? (known: average", "medain", torch.zeros(1, 1))
    _refused("unknown aggregation rule 'zzz' (known:", "zzz", torch.zeros(1, 1))


@pytest.mark.parametrize(
    ("rule", "bound"),
    [
        ("median", 1 / 3),
        ("trimmed_mean", 1 / math.sqrt(2 * 3 * 9 / 49)),
        ("meamed", 1 / math.sqrt(90)),
        ("phocas", 1 / math.sqrt(4 + 12 * 3 * 9 / 49)),
        ("krum", 1 / math.sqrt(2 * (9 + 2 * (11 + 2 * 7 - 2) / 5))),
        ("bulyan", 1 / math.sqrt(2 * (9 + 2 * (11 + 2 * 7 - 2) / 5))),
        ("mda", 9 / (math.sqrt(8) * 2)),
    ],
)
def test_the_bounds_of_the_theory_at_11_rows_of_which_2_lie(rule: str, bound: float) -> None:
    known = AGGREGATORS[rule].variance_bound
    assert known is not None
    assert math.isclose(known(11, 2), bound)


@pytest.mark.parametrize(
    ("rule", "options", "words"),
    [
        ("krum", {"m": 2}, "krum has no option m: it has no options"),
        ("multi_krum", {"m": 0}, "multi_krum needs m to be an integer from 1"),
        ("multi_krum", {"m": 8}, "multi_krum needs m of at most n-f-2=7, was given m=8"),
        ("bulyan", {"base": "median"}, "bulyan needs a base out of krum, mda, medoid"),
        ("bulyan", {"variant": "new"}, "bulyan needs a variant out of paper, aggregathor"),
        ("bulyan", {"base": "mda", "variant": "aggregathor"}, "bulyan needs base='krum'"),
        ("geometric_median", {"tolerance": 0}, "geometric_median needs a tolerance between"),
        ("geometric_median", {"iterations": 0}, "a whole number of iterations ≥ 1"),
        ("centered_clipping", {"radius": 0.0}, "centered_clipping needs a radius > 0"),
        ("centered_clipping", {"center": torch.zeros(3)}, "a center of shape (4,)"),
        ("centered_clipping", {"center": torch.full((4,), math.nan)}, "a finite center"),
        ("centered_clipping", {"center": [0.0]}, "needs a tensor for center"),
    ],
)
def test_options_refused(rule: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AggregationError, match=re.escape(words)):
        configured(rule, **options)(torch.zeros(11, 4), 2)


def test_clipping_from_a_center_that_is_remembered() -> None:
    vectors = torch.tensor([[3.0, 0.0], [0.0, 4.0], [100.0, 0.0]])
    rule = configured("centered_clipping", center=torch.zeros(2), radius=5.0, iterations=1)
    result = rule(vectors)
    torch.testing.assert_close(result, torch.tensor([8.0, 4.0]) / 3)


@pytest.mark.parametrize("rule", ["median", "mda"])
def test_too_few_vectors_are_refused_with_the_bound(rule: str) -> None:
    given = "n ≥ 2f+1 (at least 5 vectors for f=2), was given n=4"
    _refused(f"{rule} needs {given}", rule, torch.zeros(4, 3), 2)
    with pytest.raises(AggregationError, match=re.escape(given)):
        AGGREGATORS[rule].select(torch.zeros(4, 3), 2) if rule == "mda" else aggregate(
            rule, torch.zeros(4, 3), 2
        )


@pytest.mark.parametrize("rule", RULES)
def test_what_is_no_matrix_of_floats_is_refused(rule: str) -> None:
    _refused(f"{rule} needs a non-empty (n, d) tensor, was given shape (3,)", rule, torch.zeros(3))
    _refused("shape (0, 3)", rule, torch.zeros(0, 3))
    _refused("shape (3, 0)", rule, torch.zeros(3, 0))
    _refused("shape (1, 2, 3)", rule, torch.zeros(1, 2, 3))
    _refused("a floating-point type, was given torch.int64", rule, torch.zeros(3, 3).long())
    _refused("needs tensors, was given a sequence of list", rule, [[1.0]])  # type: ignore[list-item]
    _refused("was given a ndarray", rule, torch.zeros(3, 3).numpy())  # type: ignore[arg-type]
    _refused("one type and one device, was given an empty sequence", rule, [])
    row = torch.zeros(3)
    given = "(3,) torch.float32 on cpu and (3,) torch.float64 on cpu"
    _refused(f"{rule} needs vectors of one shape (d,)", rule, [row, row.double()])
    _refused(given, rule, [row, row.double()])
    _refused("(3,) torch.float32 on cpu and (4,) torch.float32", rule, [row, torch.zeros(4)])
    _refused("on cpu and (3,) torch.float32 on meta", rule, [row, row.to("meta")])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("f", [-1, 1.0, True, "1", None])
def test_an_f_that_is_no_count_is_refused(rule: str, f: int) -> None:
    _refused(f"{rule} needs f to be an integer ≥ 0, was given f={f!r}", rule, torch.zeros(3, 3), f)


@pytest.mark.parametrize("rule", RULES)
def test_an_unfit_out_is_refused(rule: str) -> None:
    vectors = torch.zeros(3, 4)
    _refused("was given (3,) torch.float32 on cpu", rule, vectors, out=torch.zeros(3))
    _refused("was given (4,) torch.float64", rule, vectors, out=torch.zeros(4).double())
    _refused("(4,) torch.float32 on meta", rule, vectors, out=torch.zeros(4, device="meta"))
    _refused("contiguous, was given strides (2,)", rule, vectors, out=torch.zeros(8)[::2])
    _refused("share no memory", rule, vectors, out=vectors[2])


def test_an_out_beside_the_vectors_in_one_buffer_is_no_alias() -> None:
    buffer = torch.arange(16.0)
    vectors, out = buffer[:12].view(3, 4), buffer[12:]
    assert aggregate("median", vectors, 1, out=out).tolist() == [4, 5, 6, 7]


def test_a_rule_that_selects_nothing_says_so() -> None:
    with pytest.raises(AggregationError, match="median selects no rows"):
        AGGREGATORS["median"].select(torch.zeros(3, 3), 1)


def test_bulyan_says_where_its_base_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.randn(23, 8, generator=torch.Generator().manual_seed(2))
    rule = configured("bulyan", base="mda")
    known = rule.apply(vectors, 5).choice
    monkeypatch.setattr("byzsgd.aggregators.bulyan.BUDGET", 0)
    guessed = rule.apply(vectors, 5).choice
    assert known is not None
    assert guessed is not None
    assert (known.exact, guessed.exact) == (True, False)
