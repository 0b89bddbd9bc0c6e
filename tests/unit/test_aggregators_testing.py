"""The conformance suite bites: each broken rule fails the checks that it should, and no others."""

import dataclasses
import importlib.util
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, count
from pathlib import Path

import pytest
import torch
from torch import Tensor

from byzsgd.aggregators import AGGREGATORS, AggregationError, configured
from byzsgd.aggregators.testing import CHECKS, TWINS, Report, Verdict, conformance, markdown
from byzsgd.aggregators.testing.__main__ import everything, main, named, our_reports
from byzsgd.aggregators.testing.byzfl import byzfl_rule

ROOT = Path(__file__).resolve().parents[2]
N, F = 11, 2


@cache
def ours(name: str) -> Report:
    return our_reports([name])[0]


# --- our own rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", everything())
def test_every_rule_of_ours_passes(name: str) -> None:
    assert ours(name).passed, str(ours(name))


def test_the_readme_has_the_table() -> None:
    marked = re.search(
        r"<!-- conformance -->\s*(.*?)\s*<!-- /conformance -->",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    if marked is None:
        pytest.skip("the README has no such table yet")
    assert marked[1] == markdown(ours(name) for name in everything())


# --- twins pose as rules, in float64 and back -----------------------------------------------------


def as_rule(twin: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    def rule(vectors: Tensor, f: int) -> Tensor:
        return twin(vectors, f).to(vectors.dtype)

    return rule


@pytest.mark.parametrize("name", ["median", "multi_krum", "mda"])
def test_a_twin_passes_as_a_stranger_of_whom_everything_is_asked(name: str) -> None:
    report = conformance(as_rule(TWINS[name]), 7, 2, d=9, twin=name, name=name)
    assert report.passed, str(report)
    assert all(outcome.verdict is Verdict.PASSED for outcome in report.outcomes)


# --- broken rules ---------------------------------------------------------------------------------


def mean_as_median(vectors: Tensor, f: int) -> Tensor:
    return vectors.double().mean(0).to(vectors.dtype)


def lower_median(vectors: Tensor, f: int) -> Tensor:
    tidy = vectors.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    _at_most(f, (len(vectors) - 1) // 2)
    return tidy.median(0).values


def krum_with_a_neighbour_more(vectors: Tensor, f: int) -> Tensor:
    return _krum(vectors, f, len(vectors) - f - 1)


def krum_without_squares(vectors: Tensor, f: int) -> Tensor:
    return _krum(vectors, f, len(vectors) - f - 2, power=1)


def mda_on_a_float32_gram_matrix(vectors: Tensor, f: int) -> Tensor:
    fine = vectors.isfinite().all(1)
    exact = vectors if vectors.dtype == torch.float64 else vectors.float()
    rows = torch.where(fine[:, None], exact, torch.zeros(()))
    gram = rows @ rows.T
    lengths = gram.diagonal()
    squared = (lengths[:, None] + lengths - 2 * gram).nan_to_num(nan=torch.inf)
    squared[~fine] = torch.inf
    squared[:, ~fine] = torch.inf
    return _least_diameter(vectors, squared.fill_diagonal_(0), f)


def an_alias_of_its_input(vectors: Tensor, f: int) -> Tensor:
    return vectors[_best(vectors, f, len(vectors) - f - 2)]


def sorts_in_place(vectors: Tensor, f: int) -> Tensor:
    result = good_median(vectors, f)
    vectors.copy_(vectors.sort(0).values)
    return result


def cleans_nan_in_place(vectors: Tensor, f: int) -> Tensor:
    vectors[vectors.isnan()] = torch.inf
    return good_median(vectors, f)


def spreads_nan(vectors: Tensor, f: int) -> Tensor:
    return torch.where(vectors.isnan().any(0), torch.nan, good_median(vectors, f))


def survives_no_inf(vectors: Tensor, f: int) -> Tensor:
    if bool(vectors.isinf().any()):
        raise RuntimeError("infinite")
    return good_median(vectors, f)


def believes_the_first(vectors: Tensor, f: int) -> Tensor:
    """A tenth of the way from the median to the first row, if that is near."""
    result = good_median(vectors, f).double()
    away = (vectors[0].double() - result).nan_to_num(0)
    near = float(away.norm()) <= 2 * float((vectors[1:].double() - result).norm(dim=1).median())
    drawn: Tensor = result + 0.1 * away * near
    return drawn.to(vectors.dtype)


def shrinks(vectors: Tensor, f: int) -> Tensor:
    """Towards zero, by as much as the vectors differ: scales, but does not move with its rows."""
    result = good_median(vectors, f).double()
    spread = (vectors.double() - result).norm(dim=1).median()
    shrunk: Tensor = result * (1 - 0.1 * spread / result.norm()).nan_to_num(1)
    return shrunk.to(vectors.dtype)


def has_a_unit_of_length(vectors: Tensor, f: int) -> Tensor:
    """A mean of what is within 3e4 of the median: right for vectors of one size only."""
    middle = good_median(vectors, f)
    near = (vectors.double() - middle.double()).norm(dim=1) <= 3e4
    averaged: Tensor = vectors[near].double().mean(0)
    return averaged.to(vectors.dtype)


def divides_by_the_spread(vectors: Tensor, f: int) -> Tensor:
    """NaN where all vectors agree."""
    middle = good_median(vectors, f).double()
    away = (vectors.double() - middle).norm(dim=1).sort().values[: len(vectors) - f]
    divided: Tensor = middle + 0 / away.sum()
    return divided.to(vectors.dtype)


def trims_too_few(vectors: Tensor, f: int) -> Tensor:
    return TWINS["trimmed_mean"](vectors.nan_to_num(0, 0, 0), max(f - 1, 0)).to(vectors.dtype)


def never_refuses(vectors: Tensor, f: int) -> Tensor:
    return TWINS["median"](vectors, (len(vectors) - 1) // 2).to(vectors.dtype)


def a_constant(vectors: Tensor, f: int) -> Tensor:
    _at_most(f, (len(vectors) - 1) // 2)
    return torch.zeros_like(vectors[0])


def float32_always(vectors: Tensor, f: int) -> Tensor:
    return good_median(vectors, f).float()


def never_twice_the_same(vectors: Tensor, f: int, calls: Iterator[int] = count()) -> Tensor:  # noqa: B008
    """In the last place only."""
    result = good_median(vectors, f)
    beside = torch.nextafter(result, result + next(calls) % 2) if result.itemsize > 2 else result
    return torch.where(result == 0, result, beside)


def one_buffer_for_all(vectors: Tensor, f: int) -> Tensor:
    result = good_median(vectors, f)
    buffer = _buffer(len(result), result.dtype)
    buffer.copy_(result)
    return buffer


@cache
def _buffer(size: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(size, dtype=dtype)


def breaks_ties_upwards(vectors: Tensor, f: int) -> Tensor:
    """Krum that takes the last of the best rows."""
    flipped = vectors.flip(0)
    return flipped[_best(flipped, f, len(vectors) - f - 2)].clone()


def good_median(vectors: Tensor, f: int) -> Tensor:
    return TWINS["median"](vectors, f).to(vectors.dtype)


def _krum(vectors: Tensor, f: int, neighbours: int, power: int = 2) -> Tensor:
    return vectors[_best(vectors, f, neighbours, power)].clone()


def _best(vectors: Tensor, f: int, neighbours: int, power: int = 2) -> int:
    _at_most(f, (len(vectors) - 3) // 2)
    _at_most(int((~vectors.isfinite().all(1)).sum()), f)
    distances = _distances(vectors) ** power
    return int(distances.sort(1).values[:, 1 : neighbours + 1].sum(1).argmin())


def _distances(vectors: Tensor) -> Tensor:
    wide = vectors.double()
    squared = torch.stack([(wide - row).square().sum(1) for row in wide])
    return squared.sqrt().nan_to_num(nan=torch.inf).fill_diagonal_(0)


def _least_diameter(vectors: Tensor, squared: Tensor, f: int) -> Tensor:
    n = len(vectors)
    _at_most(f, (n - 1) // 2)
    _at_most(int((~vectors.isfinite().all(1)).sum()), f)
    subsets = torch.tensor(list(combinations(range(n), n - f)))
    inside = squared[subsets[:, :, None], subsets[:, None, :]].flatten(1).max(1).values
    return vectors[subsets[int(inside.argmin())]].double().mean(0).to(vectors.dtype)


def _at_most(count: int, limit: int) -> None:
    if count > limit:
        raise AggregationError(f"{count} are more than {limit}")


MEDIAN, KRUM = "median", "krum"
BROKEN: list[tuple[Callable[[Tensor, int], Tensor], str | None, str]] = [
    (mean_as_median, MEDIAN, "totality, breakdown at f, f + 1, precision, twin, ties"),
    (lower_median, MEDIAN, "scale, twin, ties"),
    (krum_with_a_neighbour_more, KRUM, "twin, ties"),
    (krum_without_squares, KRUM, "twin, ties"),
    (breaks_ties_upwards, KRUM, "ties"),
    (mda_on_a_float32_gram_matrix, "mda", "scale, precision"),
    (an_alias_of_its_input, KRUM, "contract"),
    (sorts_in_place, MEDIAN, "contract"),
    (cleans_nan_in_place, MEDIAN, "contract"),
    (float32_always, MEDIAN, "contract"),
    (never_twice_the_same, MEDIAN, "contract"),
    (one_buffer_for_all, MEDIAN, "contract"),
    (spreads_nan, MEDIAN, "totality"),
    (survives_no_inf, MEDIAN, "totality"),
    (believes_the_first, None, "permutation"),
    (shrinks, None, "translation"),
    (has_a_unit_of_length, None, "scale, breakdown at f"),
    (divides_by_the_spread, None, "identical rows, breakdown at f"),
    (trims_too_few, None, "totality, breakdown at f, f + 1"),
    (never_refuses, MEDIAN, "f + 1"),
    (a_constant, None, "totality, translation, identical rows, breakdown at f, f + 1"),
]
"""A rule, the twin to compare it with, and the checks that it fails."""


@pytest.mark.parametrize(("rule", "twin", "expected"), BROKEN)
def test_a_broken_rule_fails_what_it_breaks(
    rule: Callable[[Tensor, int], Tensor], twin: str | None, expected: str
) -> None:
    report = conformance(rule, N, F, d=9, twin=twin)
    assert ", ".join(report.failed) == expected, str(report)


def test_every_check_is_failed_by_some_rule() -> None:
    assert {check for _, _, failed in BROKEN for check in failed.split(", ")} == set(CHECKS)


# --- what the suite is told -----------------------------------------------------------------------


def test_each_check_says_what_it_asks() -> None:
    assert all(check.__doc__ for check in CHECKS.values())


@pytest.mark.parametrize(("n", "f", "d"), [(1, 0, 1), (2, 0, 3), (3, 1, 1), (4, 1, 40)])
def test_small_settings(n: int, f: int, d: int) -> None:
    report = conformance("median", n, f, d=d)
    assert report.passed, str(report)
    for check in ("totality", "breakdown at f", "f + 1"):
        assert (report[check].verdict is Verdict.NOT_APPLICABLE) == (f == 0)


def test_what_a_rule_refuses_is_its_own_error() -> None:
    with pytest.raises(AggregationError, match="krum needs n ≥ 2f"):
        conformance("krum", 6, 2)
    with pytest.raises(AggregationError, match="conformance needs f ≥ 0, n ≥ 2f"):
        conformance(good_median, 4, 2)
    with pytest.raises(AggregationError, match="no twin called 'modian'"):
        conformance(good_median, 5, 2, twin="modian")


def test_a_check_that_raises_has_failed_with_the_error() -> None:
    def refuses(vectors: Tensor, f: int) -> Tensor:
        raise ZeroDivisionError("not today")

    report = conformance(refuses, 5, 2, name="odd")
    assert report["translation"].reason == "raises ZeroDivisionError: not today"
    assert report["twin"].verdict is Verdict.NOT_APPLICABLE
    assert str(report).startswith("odd, n=5, f=2, d=67\n\n| check | verdict | why |\n| --- |")


@pytest.mark.parametrize("returned", [None, 3.0, torch.zeros(3), torch.zeros(1, 67)])
def test_what_is_no_vector_has_failed(returned: object) -> None:
    report = conformance(lambda vectors, f: returned, 5, 2)  # type: ignore[arg-type, return-value]
    assert {"contract", "translation", "identical rows"} <= set(report.failed)
    assert "returns" in report["translation"].reason


def test_exemptions_given_are_not_asked() -> None:
    report = conformance(a_constant, 5, 2, d=3, exempt={"translation": "because"})
    assert report["translation"].verdict is Verdict.NOT_APPLICABLE
    assert report["translation"].reason == "because"
    assert "identical rows" in report.failed


def test_options_exempt_from_what_they_break() -> None:
    if "centered_clipping" not in AGGREGATORS:
        pytest.skip("not there")
    report = conformance(configured("centered_clipping", radius=20_000.0), 7, 2, d=9)
    assert report["scale"].verdict is Verdict.NOT_APPLICABLE
    assert report.passed, str(report)


# --- the command line -----------------------------------------------------------------------------


def test_one_table_and_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["median"]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == markdown([ours("median")])
    header, _, row = printed.splitlines()
    assert [cell.strip() for cell in header.split("|")[2:-1]] == list(CHECKS)
    assert row.startswith("| `median` | pass | pass |")
    assert "| breaks |" in row


def test_reasons_are_printed_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mean", "--reasons", "--n", "5", "--f", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("average, n=5, f=1, d=67\n")
    assert "| totality | n/a | one lie sets a mean |" in printed


def test_a_wrong_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["medain"]) == 2
    assert "did you mean 'median'?" in capsys.readouterr().err


def test_a_rule_of_ours_that_fails_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from byzsgd.aggregators.testing import __main__ as command

    wrong = dataclasses.replace(AGGREGATORS["median"], fill=AGGREGATORS["average"].fill)
    monkeypatch.setattr(command, "named", lambda name: wrong)
    assert main(["median"]) == 1
    assert "- `median`, breakdown at f: " in capsys.readouterr().out


def test_steps_come_before_a_rule() -> None:
    assert named("nnm + mda").name == "nnm + mda"
    with pytest.raises(AggregationError, match="did you mean 'nnm'"):
        named("nmn+mda")


def test_byzfl_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["average", "--against", "byzfl"]) == 2
    assert "pip install" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("byzfl") is None, reason="byzfl is not installed")
def test_byzfls_rules_are_called() -> None:
    rule = byzfl_rule("TrMean")
    assert rule(torch.tensor([[1.0], [2.0], [300.0], [4.0], [0.0]]), 1).item() == pytest.approx(
        7 / 3
    )
    report = conformance(rule, 5, 1, name="byzfl TrMean", twin="trimmed_mean")
    assert {"totality", "contract"} <= set(report.failed)
    assert report["twin"].verdict is Verdict.PASSED
    with pytest.raises(AggregationError, match="no rule 'Phocas'"):
        byzfl_rule("Phocas")
