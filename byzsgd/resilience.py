"""What can be told of an aggregation once it is done: were the honest close enough together for the
rule's theorem, and what did the lies do. Observed only: nobody decides by it.

Who lies is known to the experiment alone. What is told is plain data for the record, without NaN
and Inf: what is not known, or not finite, is None.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias
from zlib import crc32

import numpy as np
from torch import Tensor

from byzsgd.aggregators.spread import Spread, spread
from byzsgd.cluster import NodeId
from byzsgd.protocol import Contract, Update

MARKED_MAX: Final = 2048
"""So many coordinates of a vector are looked at to tell it from others."""
DIGITS: Final = 5

Lie: TypeAlias = tuple[float | None, float | None, int | None]
"""Of one lie: ‖x‖ / ‖m‖ and cosine with m, the mean of the honest, and whether it was selected."""


def of_update(
    effect: Update,
    store: Tensor,
    rows: Sequence[int],
    aggregate: Tensor,
    liars: Collection[NodeId],
    *,
    chosen: Collection[NodeId],
    bound: float | None,
) -> dict[str, object]:
    """Its step, how its gradients look, which are these rows, and what was measured."""
    row_of = {node: row for (node, _), row in zip(effect.gradients, rows, strict=True)}
    measured = of_gradients(store, row_of, aggregate, liars, chosen or None, bound)
    return {"step": effect.step, **looks(store, rows, effect.step), **measured}


def of_contraction(
    effect: Contract, store: Tensor, median: Tensor, liars: Collection[NodeId]
) -> dict[str, object]:
    """As of an update, and whose models they were: the rows of the store, in their order."""
    row_of = {sender: row for row, (sender, _) in enumerate(effect.models)}
    return {
        "step": effect.step,
        "of": [str(sender) for sender in row_of],
        **looks(store, range(len(row_of)), effect.step),
        **of_models(store, row_of, median, liars),
    }


def of_gradients(
    store: Tensor,
    rows: Mapping[NodeId, int],
    aggregate: Tensor,
    liars: Collection[NodeId],
    chosen: Collection[NodeId] | None,
    bound: float | None,
) -> dict[str, object]:
    """Of the gradients in these rows of a (k, d) `store`, and of the (d,) `aggregate` of them.

    - `ratio`: the variance-norm ratio E ‖x − Ex‖² / ‖Ex‖² of the honest ones, with k − 1
      (Distributed Momentum, ICLR 2021). Of k vectors: ‖Ex‖² is overestimated by a k-th of the
      variance, so of pure noise it is about k.
    - `bound`: that of the rule for the root of `ratio`, None if it has none or an infinite one.
    - `met`: whether the root is within it.
    - `moved`: ‖aggregate − m‖ / ‖m‖, m the mean of the honest ones.
    - `lies`: of each liar a `Lie`; `chosen` are those whom the rule selected, if it selects.
    """
    honest, lying = _sides(rows, liars)
    sums = spread(store, [rows[node] for node in honest], [rows[node] for node in lying], aggregate)
    lies: dict[str, Lie] = {
        str(node): (*against_mean(sums, place), None if chosen is None else int(node in chosen))
        for place, node in enumerate(lying)
    }
    return {**_theorem(sums, bound), "moved": _moved(sums), "lies": lies}


def of_models(
    store: Tensor, rows: Mapping[NodeId, int], median: Tensor, liars: Collection[NodeId]
) -> dict[str, object]:
    """Of the models in these rows, and their (d,) median; nothing where nobody lies.

    - `moved`: ‖median − m‖ / ‖m‖, m the mean of the honest models.
    - `lies`: of each liar ‖x − m‖ / ‖m‖.
    """
    honest, lying = _sides(rows, liars)
    if not lying:
        return {}
    sums = spread(store, [rows[node] for node in honest], [rows[node] for node in lying], median)
    lies = {
        str(node): _told(_root(sums.off(place), sums.center)) for place, node in enumerate(lying)
    }
    return {"moved": _moved(sums), "lies": lies}


def against_mean(sums: Spread, place: int) -> tuple[float | None, float | None]:
    """Of one of the other rows ‖x‖ / ‖m‖, and the cosine of the two."""
    norm, along = sums.norms[place], sums.along[place]
    product = math.sqrt(norm * sums.center) if norm * sums.center > 0 else math.nan
    return _told(_root(norm, sums.center)), _told(along / product)


def looks(store: Tensor, rows: Sequence[int], step: int) -> dict[str, object]:
    """`marks`, a number for each row that two different rows hardly share; which are not finite.

    Those are `broken`, by their positions, if there are any. Of long rows every k-th coordinate is
    looked at, beginning at another with each step: so that receivers who compare what one sender
    told them at one step look at the same.
    """
    stride = -(-store.shape[1] // MARKED_MAX)
    parts = [store[row, step % stride :: stride].contiguous().numpy() for row in rows]
    broken = [place for place, part in enumerate(parts) if not np.isfinite(part).all()]
    marks = [crc32(part.tobytes()) for part in parts]
    return {"marks": marks, **({"broken": broken} if broken else {})}


def _sides(
    rows: Mapping[NodeId, int], liars: Collection[NodeId]
) -> tuple[list[NodeId], list[NodeId]]:
    lying = [node for node in rows if node in liars]
    return [node for node in rows if node not in liars], lying


def _theorem(sums: Spread, bound: float | None) -> dict[str, object]:
    """Vectors that differ and have no mean direction meet no bound; of zeros nothing is known."""
    variance, center = sums.variance, sums.center
    known = math.isfinite(variance) and max(variance, center) > 0
    ratio = variance / center if known and center > 0 else math.inf
    met = None if bound is None or not known else int(math.isfinite(ratio) and ratio <= bound**2)
    return {"ratio": _told(ratio), "bound": None if bound is None else _told(bound), "met": met}


def _moved(sums: Spread) -> float | None:
    return _told(_root(sums.moved, sums.center))


def _root(squared: float, unit: float) -> float:
    return math.sqrt(squared / unit) if unit > 0 and squared >= 0 else math.nan


def _told(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
