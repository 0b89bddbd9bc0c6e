"""Distances against float64, where float32 and the Gram matrix would go wrong."""

import math

import pytest
import torch

from byzsgd.aggregators import pairwise_squared
from byzsgd.aggregators.distances import WIDTH


def twin(vectors: torch.Tensor) -> torch.Tensor:
    wide = vectors.double()
    return torch.stack([(wide - row).square().sum(1) for row in wide])


def assert_right(vectors: torch.Tensor, error: float = 1e-6) -> None:
    torch.testing.assert_close(pairwise_squared(vectors), twin(vectors), rtol=error, atol=0)


@pytest.mark.parametrize("d", [1, 5, WIDTH - 1, WIDTH, WIDTH + 1, 3 * WIDTH + 11])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_distances_of_any_length_and_type(d: int, dtype: torch.dtype) -> None:
    assert_right(torch.randn(4, d).to(dtype))


@pytest.mark.parametrize("separation", [1.0, 1e-2, 1e-4, 1e-5])
def test_vectors_close_to_one_another(separation: float) -> None:
    assert_right(torch.randn(1, 200_000) + separation * torch.randn(5, 200_000))


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e-12, 1e-6, 1e10, 1e18, 1e25, 1e37])
def test_vectors_of_any_scale(scale: float) -> None:
    assert_right(scale * torch.randn(5, 5000))


@pytest.mark.parametrize("size", [1e10, 1e20, 1e38, 3e38])
def test_one_huge_row_spoils_nothing(size: float) -> None:
    vectors = torch.randn(1, 100_000) + 1e-5 * torch.randn(6, 100_000)
    vectors[5] = size
    assert_right(vectors, error=1e-5)
    honest = pairwise_squared(vectors)[:5, :5]
    torch.testing.assert_close(honest, twin(vectors[:5]), rtol=1e-6, atol=0)


def test_tiny_differences_beside_equal_rows() -> None:
    vectors = torch.zeros(5, 1000)
    vectors[1, 3] = 1e-25
    vectors[4, 3] = 1e-25
    vectors[3, 999] = 1e-40
    assert_right(vectors)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_symmetric_with_a_diagonal_of_zeros(n: int) -> None:
    squared = pairwise_squared(torch.randn(n, 30))
    assert (squared.shape, squared.dtype) == ((n, n), torch.float64)
    assert torch.equal(squared, squared.T)
    assert not squared.diagonal().any()


@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, -1])
def test_a_non_finite_row_is_infinitely_far_from_all_others(lie: float, at: int) -> None:
    vectors = torch.randn(6, 2 * WIDTH + 3)
    honest = pairwise_squared(vectors)
    vectors[1, at] = vectors[4, at] = lie
    squared = pairwise_squared(vectors)
    for i in range(6):
        for j in range(6):
            bad = i != j and (i in (1, 4) or j in (1, 4))
            assert squared[i, j] == (math.inf if bad else honest[i, j])


def test_equal_rows_have_equal_distances_to_the_bit_wherever_they_stand() -> None:
    vectors = torch.randn(7, 100_003)
    vectors[6] = vectors[3] = vectors[0]
    squared = pairwise_squared(vectors)
    assert squared[0, 3] == squared[3, 6] == squared[0, 6] == 0
    for other in (1, 2, 4, 5):
        assert squared[0, other] == squared[3, other] == squared[6, other]
    order = torch.tensor([4, 2, 6, 0, 1, 5, 3])
    assert torch.equal(pairwise_squared(vectors[order]), squared[order][:, order])
