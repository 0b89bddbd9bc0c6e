"""Weighted means against float64, and that they stay finite."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from byzsgd.aggregators.means import WIDTH, weighted_mean

TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


pytestmark = pytest.mark.usefixtures("way")


def mean_of(store: Tensor, order: list[int], weights: list[float]) -> Tensor:
    out = torch.full((store.shape[1],), math.nan, dtype=store.dtype)
    weighted_mean(store, order, weights, out)
    return out


def twin(store: Tensor, order: list[int], weights: list[float]) -> Tensor:
    wide = torch.tensor(weights, dtype=torch.float64)
    return (wide[:, None] * store[order].double()).sum(0)


@pytest.mark.parametrize("d", [1, 255, 256, 257, 1000, WIDTH + 3])
@pytest.mark.parametrize("dtype", TYPES)
def test_any_length_and_type_is_rounded_once(d: int, dtype: torch.dtype) -> None:
    store = torch.randn(9, d).to(dtype)
    for order in ([3], [0, 8], [4, 1, 7, 2, 6], [8, 7, 6, 5, 4, 3, 2, 1, 0]):
        equal = [1 / len(order)] * len(order)
        affine = torch.randn(len(order), dtype=torch.float64)
        for weights in (equal, (affine / affine.sum()).tolist()):
            expected = twin(store, order, weights)
            error = (mean_of(store, order, weights).double() - expected).abs()
            half = torch.finfo(dtype).eps / 2 if dtype != torch.float64 else 0.0
            terms = twin(store.abs(), order, [abs(weight) for weight in weights])
            smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
            assert bool((error <= half * expected.abs() + smallest + 1e-14 * terms).all())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("k", [1, 3, 7, 31, 100])
def test_the_mean_of_equal_rows_is_that_row(k: int, dtype: torch.dtype) -> None:
    row = torch.randn(300).to(dtype)
    result = mean_of(row.expand(k, 300).contiguous(), list(range(k)), [1 / k] * k)
    if dtype == torch.float64:
        torch.testing.assert_close(result, row, rtol=k * 2.3e-16, atol=0)
    else:
        assert torch.equal(result, row)


@pytest.mark.parametrize("lie", [math.nan, math.inf])
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_without_weight_are_not_looked_at(lie: float, dtype: torch.dtype) -> None:
    store = torch.randn(6, 600).to(dtype)
    store[1] = store[5] = lie
    result = mean_of(store, [5, 0, 1, 2, 3], [0.0, 0.5, 0.0, 0.25, 0.25])
    assert torch.equal(result, mean_of(store, [0, 2, 3], [0.5, 0.25, 0.25]))
    assert bool(result.isfinite().all())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("weights", [[0.2] * 5, [0.1, 0.4, 0.2, 0.2, 0.1]])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_that_overflows_has_a_mean_that_does_not(
    weights: list[float], dtype: torch.dtype, sign: int
) -> None:
    store = torch.full((5, WIDTH + 9), sign * torch.finfo(dtype).max, dtype=dtype)
    store[:, 3] = 1
    result = mean_of(store, [0, 1, 2, 3, 4], weights)
    torch.testing.assert_close(result, store[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_non_finite_rows_that_have_weight_are_passed_on(dtype: torch.dtype) -> None:
    store = torch.ones(3, 5, dtype=dtype)
    store[1, 0], store[1, 2], store[2, 2] = math.nan, math.inf, -math.inf
    result = mean_of(store, [0, 1, 2], [1 / 3] * 3)
    assert result.isnan().tolist() == [True, False, True, False, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31), st.booleans())
def test_weights_of_any_sign(n: int, d: int, seed: int, strided: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    store = torch.randn(2 * d, n, generator=generator).T
    store = store[:, ::2] if strided else store[:, ::2].contiguous()
    before = store.clone()
    raw = torch.randint(-4, 5, (n,), generator=generator).double()
    raw[0] += 1 - raw.sum()
    order = torch.randperm(n, generator=generator).tolist()
    if not bool((raw != 0).any()):
        raw[0] = 1
    expected = twin(store, order, raw.tolist()).float()
    torch.testing.assert_close(mean_of(store, order, raw.tolist()), expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(store, before)
