"""Compiled programs are cached for the next process, and processes do not mix theirs up."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest
import torch

from byzsgd.aggregators import vector_code
from byzsgd.aggregators.median import median, median_program
from byzsgd.aggregators.networks import Program
from byzsgd.aggregators.trimmed_mean import trimmed_mean, trimmed_mean_program

HITS = """
import torch
from byzsgd.aggregators import vector_code
from byzsgd.aggregators.median import median, median_program
from byzsgd.aggregators.trimmed_mean import trimmed_mean, trimmed_mean_program
vectors = torch.arange(60.0).view(3, 20)
for result in median()(vectors, 1), trimmed_mean()(vectors, 0):
    assert result.tolist() == list(range(20, 40))
for program in median_program(3), trimmed_mean_program(3, 0):
    stats = vector_code._kernel(program, 4).stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def kernel(program: Program) -> Any:
    return vector_code._kernel(program, 4)


def test_what_one_process_compiled_another_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    vector_code._kernel.cache_clear()
    median().warm([3], 1)
    trimmed_mean().warm([3], 0)
    # With one index between them, processes that compile different programs at once would save
    # under one number, and then load each other's code.
    assert len({path.name for path in tmp_path.rglob("*.nbi")}) == 2
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    hits = subprocess.check_output([sys.executable, "-c", HITS], env=environment, text=True)
    assert hits.split() == ["1", "0", "1", "0"]


def test_each_program_and_type_has_a_kernel_of_its_own_and_is_compiled_once() -> None:
    kernels = {
        vector_code._kernel(program, size).__qualname__
        for program in (median_program(5), median_program(6), trimmed_mean_program(5, 2))
        for size in (4, 8)
    }
    # The trimmed mean that keeps one value is the median: the same program, the same kernel.
    assert len(kernels) == 4
    median().warm([5], 2)
    before = kernel(median_program(5)).nopython_signatures[:]
    for d in (16, 17, 100_000):
        median()(torch.randn(5, d), 2)
        median()(torch.randn(9, d)[2:7], 2)
    assert kernel(median_program(5)).nopython_signatures == before
    assert len(before) == 1


def test_vectors_are_as_wide_as_the_processor_has_them() -> None:
    assert vector_code._register_bytes("+sse2,+avx,+avx2,+avx512f") == 64
    assert vector_code._register_bytes("+sse2,+avx,-avx512f,+avx2") == 32
    assert vector_code._register_bytes("+neon") == 16


@pytest.mark.parametrize("order", [[0, 1, -1], [0, 1, 3], [0, 1]])
def test_no_memory_beside_the_rows_is_read(order: list[int]) -> None:
    vectors, out = torch.zeros(3, 20).numpy(), torch.zeros(20).numpy()
    with pytest.raises(IndexError, match="3 rows out of 3"):
        vector_code.sweep(median_program(3), vectors, order, out, 20)
