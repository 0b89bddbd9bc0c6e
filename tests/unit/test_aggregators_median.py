"""The median against a naive sorted twin, and its networks by the zero-one principle."""

import itertools
import math

import pytest
import torch

from byzsgd.aggregators import aggregate
from byzsgd.aggregators.median import WIDTH
from byzsgd.aggregators.networks import Program, median_program, selection_program


def sorted_twin(vectors: torch.Tensor) -> torch.Tensor:
    """NaN is +Inf; the mean of the two middle values, which are one and the same for an odd n."""
    n = len(vectors)
    ordered = vectors.double().masked_fill(vectors.isnan(), math.inf).sort(0).values
    return (0.5 * ordered[(n - 1) // 2] + 0.5 * ordered[n // 2]).to(vectors.dtype)


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


@pytest.mark.parametrize("n", range(1, 34))
def test_every_n_with_ties_and_with_anything_non_finite_anywhere(n: int) -> None:
    torch.manual_seed(n)
    vectors = torch.randint(-5, 6, (n, 2000)) / 2
    assert same(aggregate("median", vectors), sorted_twin(vectors))
    for value in (math.nan, math.inf, -math.inf):
        vectors = vectors.masked_fill(torch.rand(n, 2000) < 0.15, value)
    assert same(aggregate("median", vectors), sorted_twin(vectors))


@pytest.mark.parametrize("n", range(1, 34))
def test_one_nan_in_any_row_is_seen(n: int) -> None:
    vectors = torch.randn(n, n)
    vectors.fill_diagonal_(math.nan)
    assert same(aggregate("median", vectors), sorted_twin(vectors))


@pytest.mark.parametrize("n", [1, 2, 5, 6])
@pytest.mark.parametrize("d", [1, 2, WIDTH - 1, WIDTH, WIDTH + 1, 3 * WIDTH + 7])
@pytest.mark.parametrize("lies", [(), (0,), (-1,), (0, -1)])
def test_the_borders_of_blocks(n: int, d: int, lies: tuple[int, ...]) -> None:
    vectors = torch.randn(n, d)
    for at in lies:
        vectors[at, at] = math.nan
    assert same(aggregate("median", vectors), sorted_twin(vectors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [3, 4, 9, 10])
def test_other_types(dtype: torch.dtype, n: int) -> None:
    vectors = torch.randn(n, 5000).to(dtype)
    vectors[1, 7] = math.nan
    assert same(aggregate("median", vectors), sorted_twin(vectors))


def test_the_table_of_the_design() -> None:
    nan, inf = math.nan, math.inf
    column = [([1, 2, 3, 4, nan], 3), ([1, 2, 3, 4], 2.5), ([1, 2, 3, inf, -inf], 2)]
    for values, expected in column:
        assert aggregate("median", torch.tensor(values, dtype=torch.float32)[:, None]) == expected


def test_infinities_of_both_signs_in_different_coordinates_are_no_nan() -> None:
    inf = math.inf
    vectors = torch.tensor([[inf, -inf, 1.0]] * 3)
    assert aggregate("median", vectors, 1).tolist() == [inf, -inf, 1.0]


def run(program: Program, row: tuple[int, ...]) -> list[int]:
    registers = [*row, *[-1] * program.scratch]
    for maximum, left, right, target in program.steps:
        assert target >= program.inputs, "an input row would be written"
        pair = registers[left], registers[right]
        registers[target] = max(pair) if maximum else min(pair)
    return [registers[output] for output in program.outputs]


@pytest.mark.parametrize("n", range(1, 11))
def test_zeros_and_ones_prove_a_network(n: int) -> None:
    """The 0-1 principle: a comparator network right on all 0-1 inputs is right on all inputs."""
    everything = selection_program(n, range(n))
    for row in itertools.product((0, 1), repeat=n):
        assert run(everything, row) == sorted(row)
        assert run(median_program(n), row) == sorted(row)[(n - 1) // 2 : n // 2 + 1]


def test_networks_stay_as_small_as_they_were_measured() -> None:
    sizes = {n: len(median_program(n).steps) for n in (3, 4, 5, 7, 11, 15, 31)}
    assert sizes == {3: 4, 4: 8, 5: 12, 7: 22, 11: 54, 15: 84, 31: 274}
    assert all(median_program(n).scratch <= n + 1 for n in range(1, 65))
