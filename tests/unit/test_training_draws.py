"""Partitions and batches: pure, disjoint, complete, and no two streams alike."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byzsgd.errors import ConfigError
from byzsgd.training.batches import batch_indices
from byzsgd.training.partition import partition
from byzsgd.training.streams import Purpose, stream

LABELS = torch.arange(1_000) % 10


@given(
    size=st.integers(1, 200),
    workers=st.integers(1, 20),
    seed=st.integers(0, 2**64 - 1),
    how=st.sampled_from(["iid", "dirichlet"]),
    alpha=st.sampled_from([1e-3, 0.1, 1.0, 100.0]),
    classes=st.integers(1, 10),
)
def test_parts_are_disjoint_complete_and_never_empty(
    size: int, workers: int, seed: int, how: str, alpha: float, classes: int
) -> None:
    targets = torch.arange(size) % classes
    if size < workers:
        with pytest.raises(ConfigError, match="cannot serve"):
            partition(targets, workers, 0, seed, how, alpha)
        return
    parts = [partition(targets, workers, worker, seed, how, alpha) for worker in range(workers)]
    assert all(len(part) for part in parts)
    assert torch.cat(parts).sort().values.equal(torch.arange(size))
    if how == "iid":
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_partition_depends_on_its_seed() -> None:
    assert partition(LABELS, 5, 2, seed=1).equal(partition(LABELS, 5, 2, seed=1))
    assert not partition(LABELS, 5, 2, seed=1).equal(partition(LABELS, 5, 2, seed=2))


def test_alpha_says_how_unlike_the_workers_are() -> None:
    def largest_class_share(alpha: float) -> float:
        shares = []
        for worker in range(5):
            counts = LABELS[partition(LABELS, 5, worker, 1, "dirichlet", alpha)].bincount()
            shares.append(float(counts.max() / counts.sum()))
        return sum(shares) / len(shares)

    assert largest_class_share(0.05) > 0.4
    assert largest_class_share(1_000.0) < 0.15


def test_a_partition_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'dirichlet'"):
        partition(LABELS, 5, 0, 1, "dirichelt")
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="alpha"):
            partition(LABELS, 5, 0, 1, "dirichlet", alpha)
    with pytest.raises(ConfigError, match="integer class labels"):
        partition(torch.randn(50), 5, 0, 1, "dirichlet")


def test_batches_are_a_pure_function_of_seed_worker_and_step() -> None:
    keys = [(seed, worker, step) for seed in (0, 1, 2**32) for worker in (0, 1) for step in (0, 1)]
    drawn = [tuple(batch_indices(*key, 10_000, 16).tolist()) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert drawn == [tuple(batch_indices(*key, 10_000, 16).tolist()) for key in keys]


def test_streams_never_meet() -> None:
    """Numbers of two words, zeros at the end and swapped places give different streams."""
    keys = [
        (0, Purpose.BATCH, (0, 0)),
        (0, Purpose.BATCH, (0,)),
        (0, Purpose.BATCH, ()),
        (0, Purpose.PARTITION, ()),
        (2**32, Purpose.BATCH, (0, 0)),
        (2**32 + 1, Purpose.BATCH, (0, 0)),
        (1, Purpose.BATCH, (0, 0)),
        (0, Purpose.BATCH, (1, 0)),
        (0, Purpose.BATCH, (0, 1)),
        (2**64 - 1, Purpose.BATCH, (0, 0)),
    ]
    firsts = {int(stream(seed, what, *path).integers(2**63)) for seed, what, path in keys}
    assert len(firsts) == len(keys)


def test_batches_are_uniform_with_replacement() -> None:
    drawn = torch.cat([batch_indices(1, 0, step, 10, 100) for step in range(200)])
    counts = drawn.bincount(minlength=10)
    assert len(counts) == 10
    assert int((counts - 2_000).abs().max()) < 250
    assert len(batch_indices(1, 0, 0, 1, 7)) == 7


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed"):
        batch_indices(seed, 0, 0, 10, 2)
