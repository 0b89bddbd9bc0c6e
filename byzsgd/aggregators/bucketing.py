"""Bucketing: means of small groups of rows, which lie closer together than the rows do.

Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing" (ICLR
2022, arXiv 2006.09365), algorithm 1.
"""

import torch

from byzsgd.aggregators.inputs import refusal
from byzsgd.aggregators.preaggregation import Preaggregation
from byzsgd.aggregators.rows import Rows


def bucketing(size: int = 2, seed: int = 0) -> Preaggregation:
    """The rows in an order drawn from `seed`, cut into groups of `size`, each replaced by its mean;
    the last may be smaller. ⌈n/size⌉ rows are left, of which f may still be lies: one is enough to
    spoil a group. The order depends on the seed and on n alone, so that equal input gives equal
    output; unlike the other steps it is not blind to the order of the rows.
    """
    if type(size) is not int or size < 1:
        raise refusal("bucketing", "a size that is a whole number ≥ 1", f"{size!r}")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise refusal("bucketing", "a seed that is a whole number from 0 to 2^63 - 1", f"{seed!r}")

    def mix(rows: Rows, f: int) -> Rows:
        n = len(rows)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        means = torch.zeros(-(-n // size), n, dtype=torch.float64)
        for mean, bucket in zip(means, torch.split(order, size), strict=True):
            mean[bucket] = 1 / len(bucket)
        means[(means[:, ~rows.finite] != 0).any(1)] = torch.nan
        return rows.mixed(means)

    return Preaggregation(
        "bucketing",
        (),
        bound="n ≥ 1",
        minimum_n=lambda f: 1,
        count=lambda n: -(-n // size),
        apply=mix,
        options={"size": size, "seed": seed},
    )
