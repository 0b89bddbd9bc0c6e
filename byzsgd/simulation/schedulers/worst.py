"""Which vectors do the most harm to whoever hears them first: a few guesses, the worst is taken."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from byzsgd.cluster import NodeId
from byzsgd.simulation.schedulers.sight import Seen

SUBSETS_MAX: Final = 24

Rows: TypeAlias = NDArray[np.float64]
"""(n, k): the coordinates looked at of several vectors."""


class Worst(NamedTuple):
    """Whom to let through first, and what the receiver makes of them."""

    senders: tuple[NodeId, ...]
    outcome: Seen


def worst(
    hand: Mapping[NodeId, Seen],
    liars: frozenset[NodeId],
    need: int,
    outcome: Callable[[Rows], Seen],
    others: Rows,
    away: Seen | None,
) -> Worst:
    """The `need` senders whose outcome is farthest from the models of all `others`.

    Where there are few subsets all are tried. Else the guesses are the ends of a line, with all
    lies or with none: of the line through the two honest vectors that are farthest apart, and of
    one that leads `away` from the others.
    """
    if math.comb(len(hand), need) <= SUBSETS_MAX:
        guesses = list(combinations(sorted(hand), need))
    else:
        honest = [seen for node, seen in hand.items() if node not in liars]
        lines = [_longest(np.stack(honest or list(hand.values())))]
        lines += [] if away is None else [away]
        guesses = [guess for line in lines for guess in _ends(hand, liars, need, line)]
    return max(
        (Worst(guess, outcome(np.stack([hand[node] for node in guess]))) for guess in guesses),
        key=lambda one: float(_norms(others - one.outcome).sum()),
    )


def median(rows: Rows) -> Seen:
    ordered, n = np.sort(rows, axis=0), len(rows)
    return np.asarray((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)


def robust_mean(rows: Rows, f: int) -> Seen:
    """About what a good rule makes of gradients: the mean of all but the f most out of the way."""
    order = np.argsort(_norms(rows - median(rows)), kind="stable")
    return np.asarray(rows[order[: max(1, len(rows) - f)]].mean(axis=0))


def _ends(
    hand: Mapping[NodeId, Seen], liars: frozenset[NodeId], need: int, line: Seen
) -> Iterator[tuple[NodeId, ...]]:
    along = sorted(hand, key=lambda node: (float((hand[node] * line).sum()), node))
    lying = [node for node in along if node in liars]
    honest = [node for node in along if node not in liars]
    for base, rest in (lying, honest), ([], honest), ([], along):
        fill = need - len(base)
        if 0 < fill <= len(rest):
            yield _sorted(base, rest[:fill])
            yield _sorted(base, rest[-fill:])


def _sorted(*parts: Sequence[NodeId]) -> tuple[NodeId, ...]:
    return tuple(sorted(node for part in parts for node in part))


def _longest(rows: Rows) -> Seen:
    """From one to the other of the two that are farthest apart."""
    far = np.stack([_norms(rows - row) for row in rows])
    one, other = np.unravel_index(far.argmax(), far.shape)
    return np.asarray(rows[one] - rows[other])


def _norms(rows: Rows) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((rows * rows).sum(axis=1)))
