"""SafeguardSGD's filter without a memory: the mean of those near the median row.

For the rule that remembers see `safeguard_sgd`, which has the source as well.
"""

from torch import Tensor

from byzsgd.aggregators.inputs import checked_distances
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Choice, Rule, mean_of


def safeguard() -> Rule:
    """The filter without a memory: the mean of the rows within 2H of the median row, where H is the
    least distance within which some row has more than n/2. For the rule of the paper, which
    remembers, see `Safeguard`. n ≥ 2f+1.
    """

    def choose(rows: Rows, f: int) -> Choice:
        kept = majority(checked_distances("safeguard", rows, f).sqrt(), rows.finite)
        return Choice(tuple(kept.nonzero().flatten().tolist()))

    return Rule(
        "safeguard",
        (),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=mean_of(choose),
        choose=choose,
        by_distance=True,
    )


def majority(apart: Tensor, good: Tensor) -> Tensor:
    """(m,) booleans: the good ones within 2H of the median, by (m, m) distances."""
    limit = automatic(apart, good)
    return good & (apart[median_sender(apart, good, limit)] <= 2 * limit)


def median_sender(apart: Tensor, good: Tensor, limit: float) -> int:
    """The good sender with most good ones within `limit`, itself included; of ties the first.

    The paper takes any with more than m/2; where nobody has, the one with most is the best.
    """
    near = ((apart <= limit) & good).sum(1)
    near[~good] = -1
    return int(near.argmax())


def automatic(apart: Tensor, good: Tensor) -> float:
    """The least H within which some good sender has more than half of all (m, m) senders.

    While liars are a minority it is no more than the honest ones' diameter. Ours, not the paper's.
    """
    among = apart[good][:, good].sort(1).values
    half = min(len(apart) // 2, among.shape[1] - 1)
    return float(among[:, half].min())
