"""The medoid: the row that is least far from all others.

A geometric median that has to be one of the rows, "GeoMed" in El Mhamdi, Guerraoui and Rouault,
"The Hidden Vulnerability of Distributed Learning in Byzantium" (arXiv 1802.07927, §2).
"""

import torch
from torch import Tensor

from byzsgd.aggregators.inputs import checked_distances
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Choice, Rule, mean_of


def medoid_of(squared: Tensor) -> int:
    """The row of least sum of distances to all that are not infinitely far, from (n, n) squares.

    Of ties the lowest index; summed from the nearest on, so that equal distances are equal sums.
    """
    finite = squared.isfinite().sum(1) > 1 if len(squared) > 1 else torch.tensor([True])
    if not finite.any():
        return 0
    near = squared[finite][:, finite].sqrt().sort(1).values.cumsum(1)[:, -1]
    return int(finite.nonzero()[near.argmin()])


def medoid() -> Rule:
    """The row of least summed distance to all others; of ties the lowest index. Rows that are
    infinitely far add the same to every sum and are left out of them. n ≥ 2f+1.
    """

    def choose(rows: Rows, f: int) -> Choice:
        squared, kept = checked_distances("medoid", rows, f), rows.finite.nonzero().flatten()
        return Choice((int(kept[medoid_of(squared[kept][:, kept])]),))

    return Rule(
        "medoid",
        (),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=mean_of(choose),
        choose=choose,
        by_distance=True,
    )
