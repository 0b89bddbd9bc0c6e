"""The median against a naive sorted twin, and its networks by the zero-one principle."""

import itertools
import math

import pytest
import torch

from byzsgd.aggregators import AggregationError, aggregate, compiled, coordinatewise
from byzsgd.aggregators.coordinatewise import WIDTH
from byzsgd.aggregators.median import median_program
from byzsgd.aggregators.networks import Program
from byzsgd.aggregators.registers import plan
from byzsgd.aggregators.rows import Rows


def sorted_twin(vectors: torch.Tensor) -> torch.Tensor:
    """NaN is +Inf; the mean of the two middle values, which are one and the same for an odd n."""
    n = len(vectors)
    ordered = vectors.double().masked_fill(vectors.isnan(), math.inf).sort(0).values
    return (0.5 * ordered[(n - 1) // 2] + 0.5 * ordered[n // 2]).to(vectors.dtype)


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


def lied_to(n: int, d: int) -> torch.Tensor:
    """Ties, and in every coordinate up to (n-1)//2 values of anything, in rows that differ."""
    vectors = torch.randint(-5, 6, (n, d)) / 2
    for value in (math.nan, math.inf, -math.inf, 3e38, -3e38):
        where = torch.rand(n, d).argsort(0) < torch.randint(0, (n - 1) // 2 + 1, (d,))
        vectors = torch.where(where & (torch.rand(n, d) < 0.4), value, vectors)
    return vectors


def medians(vectors: torch.Tensor) -> torch.Tensor:
    """Of any number of non-finite rows, which the rule would refuse."""
    out = torch.empty(vectors.shape[1], dtype=vectors.dtype)
    coordinatewise.aggregate(median_program(len(vectors)), Rows(vectors), out)
    return out


@pytest.mark.parametrize(
    ("n", "way"),
    [*((n, "torch") for n in range(1, 34)), *((n, "kernel") for n in (1, 2, 5, 8, 9, 31))],
)
def test_every_n_with_ties_and_with_anything_non_finite_anywhere(
    n: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", way == "kernel")
    torch.manual_seed(n)
    vectors = torch.randint(-5, 6, (n, 2000)) / 2
    assert same(aggregate("median", vectors), sorted_twin(vectors))
    vectors = lied_to(n, 2000)
    assert same(medians(vectors), sorted_twin(vectors))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 31])
def test_one_nan_in_any_row_is_seen_and_refused(n: int) -> None:
    for row in range(n):
        vectors = torch.randn(n, 33)
        vectors[row, row] = math.nan
        with pytest.raises(AggregationError, match=f"f=0 .* was given 1 of n={n}"):
            aggregate("median", vectors)
        assert n < 3 or same(aggregate("median", vectors, 1), sorted_twin(vectors))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("d", [1, 2, WIDTH - 1, WIDTH, WIDTH + 1, 3 * WIDTH + 7])
@pytest.mark.parametrize("lies", [(), (0,), (-1,), (0, -1)])
def test_the_borders_of_blocks(n: int, d: int, lies: tuple[int, ...]) -> None:
    vectors = torch.randn(n, d)
    for at in lies:
        vectors[at, at] = math.nan
    assert same(medians(vectors), sorted_twin(vectors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [5, 8])
def test_other_types(dtype: torch.dtype, n: int) -> None:
    vectors = torch.randn(n, 5000).to(dtype)
    vectors[1, 7] = math.nan
    assert same(aggregate("median", vectors, 1), sorted_twin(vectors))


def test_the_table_of_the_design() -> None:
    nan, inf = math.nan, math.inf
    table = [([1, 2, 3, 4, nan], 3), ([1, 2, 3, 4], 2.5), ([1, 2, 3, inf, -inf], 2)]
    for values, expected in table:
        column = torch.tensor(values, dtype=torch.float32)[:, None]
        assert aggregate("median", column, int((~column.isfinite()).sum())) == expected


def test_more_infinities_than_liars_are_refused_in_whatever_coordinate() -> None:
    vectors = torch.ones(3, 40)
    vectors[0, 3] = vectors[2, 39] = math.inf
    assert aggregate("median", vectors[:, :39], 1).tolist() == [1] * 39
    with pytest.raises(AggregationError, match=r"f=1 .* was given 2 of n=3"):
        aggregate("median", vectors, 1)


def run(program: Program, row: tuple[int, ...]) -> int:
    """By the definition of the operations, on integers: twice the median, to have its halves."""
    values = [2 * value for value in row]
    for operation, operands, _ in program.steps:
        left, right = (values[operand] for operand in operands)
        made = {"min": min(left, right), "max": max(left, right), "halves": (left + right) // 2}
        values.append(made[operation])
    return values[program.result]


@pytest.mark.parametrize("n", range(1, 11))
def test_zeros_and_ones_prove_a_network(n: int) -> None:
    """The 0-1 principle: a comparator network right on all 0-1 inputs is right on all inputs."""
    program = median_program(n)
    for row in itertools.product((0, 1), repeat=n):
        assert run(program, row) == sum(sorted(row)[(n - 1) // 2 : n // 2 + 1]) * (1 + n % 2)


def test_networks_stay_as_small_as_they_were_measured() -> None:
    sizes = {n: len(median_program(n).steps) for n in (3, 4, 5, 7, 11, 15, 31)}
    assert sizes == {3: 4, 4: 9, 5: 12, 7: 22, 11: 54, 15: 84, 31: 274}
    assert all(plan(median_program(n)).scratch <= n + 1 for n in range(1, 34))


@pytest.mark.parametrize("n", [1, 2, 9, 31])
def test_scratch_never_overwrites_a_row_or_what_is_still_needed(n: int) -> None:
    program, registers = median_program(n), list(range(n)) + [-1] * plan(median_program(n)).scratch
    for at, (step, target) in enumerate(plan(program).steps):
        assert target >= n
        assert (
            tuple(registers[register] for register in step.operands) == program.steps[at].operands
        )
        registers[target] = n + at
    assert registers[plan(program).result] == program.result


def test_a_program_is_all_in_its_text() -> None:
    for n in (1, 2, 9):
        program, parsed = median_program(n), Program.parse(median_program(n).text)
        assert (parsed.inputs, parsed.steps, parsed.result) == (
            program.inputs,
            program.steps,
            program.result,
        )
