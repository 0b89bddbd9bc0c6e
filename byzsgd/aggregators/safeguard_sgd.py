"""SafeguardSGD's filter: who drifts away from the majority over many steps is out for good.

Allen-Zhu, Ebrahimian, Li and Alistarh, "Byzantine-Resilient Non-Convex Stochastic Gradient Descent"
(ICLR 2021, arXiv 2012.14368, algorithm 1). What a sender submitted is added up over one or two
windows; a sum too far from the median sum excludes its sender. The sums are a value that goes in
and comes out, so that every replica can keep and save its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byzsgd.aggregators.distances import pairwise_squared
from byzsgd.aggregators.inputs import AggregationError, refusal, rows_of
from byzsgd.aggregators.rows import Rows, uniform
from byzsgd.aggregators.safeguard import automatic, median_sender


@dataclass(frozen=True)
class State:
    """After `step` steps: which of the m senders are good, and their (m, d) sums of each window.

    Tensors in it are never written to: keep as many states as you like.
    """

    step: int
    good: tuple[bool, ...]
    sums: tuple[Tensor, ...]


@dataclass(frozen=True)
class Step:
    """The (d,) aggregate, the senders whose vectors it is the mean of, and the state after it."""

    vector: Tensor
    chosen: tuple[int, ...]
    state: State


@dataclass(frozen=True)
class Safeguard:
    """The rule with its settings; `start` makes a state, a call takes one and gives the next.

    `windows` are lengths in steps, one (single safeguard) or two (double), the longer first; they
    restart at multiples of their length. `thresholds` are the H of each, L2 distances; without them
    H is, at every step, the least distance within which some good sender has the majority, so that
    nothing has to be known of the gradients. `noise` is the standard deviation ν of the Gaussian
    that the paper adds to each coordinate to leave saddle points, drawn from `seed` and step.
    """

    windows: tuple[int, ...]
    thresholds: tuple[float, ...] | None = None
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        lengths = self.windows
        if (
            not 1 <= len(lengths) <= 2
            or min(lengths) < 1
            or lengths != tuple(sorted(lengths)[::-1])
        ):
            needed = "one window or two, the longer first, of ≥ 1 steps"
            raise refusal("safeguard", needed, f"{lengths!r}")
        limits = self.thresholds
        if limits is not None and (len(limits) != len(lengths) or not all(h > 0 for h in limits)):
            raise refusal("safeguard", "a threshold > 0 for each window", f"{limits!r}")
        if not 0 <= self.noise < math.inf:
            raise refusal("safeguard", "noise ≥ 0", f"{self.noise!r}")

    def start(
        self,
        senders: int,
        dimension: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> State:
        """Everybody is good, and nothing has been added up."""
        size = (senders, dimension)
        sums = tuple(torch.zeros(size, dtype=dtype, device=device) for _ in self.windows)
        return State(0, (True,) * senders, sums)

    def __call__(
        self, vectors: Tensor | Sequence[Tensor], state: State, senders: Sequence[int] | None = None
    ) -> Step:
        """One step of algorithm 1 on (n, d) `vectors`, of which row k is `senders[k]`'s.

        Without `senders` there is one row of each, in order. Who is absent keeps its sums. The
        aggregate is the mean of the good senders' rows: who is caught at this step still counts.
        A non-finite row is caught at once and counts no more. Raises `AggregationError`.
        """
        rows = rows_of("safeguard", vectors)
        who = tuple(range(len(rows))) if senders is None else tuple(senders)
        self._check(rows, who, state)
        finite = {sender for sender, fine in zip(who, rows.finite.tolist(), strict=True) if fine}
        chosen = tuple(s for s in who if state.good[s] and s in finite)
        if not chosen:
            raise AggregationError("safeguard needs a good sender, all that sent are excluded")
        vector = rows.store.new_empty(rows.dimension)
        rows.mean(uniform(len(rows), [who.index(sender) for sender in chosen]), vector)
        good = tuple(g and (s not in who or s in finite) for s, g in enumerate(state.good))
        after = self._filtered(self._added(rows, who, chosen, replace(state, good=good)))
        return Step(self._noisy(vector, state.step), chosen, after)

    def _added(self, rows: Rows, who: Sequence[int], chosen: Sequence[int], state: State) -> State:
        """Sums of g/|good|; a window that restarts at this step forgets first."""
        share = 1 / max(1, sum(state.good))
        sums = []
        for length, total in zip(self.windows, state.sums, strict=True):
            fresh = torch.zeros_like(total) if state.step % length == 0 else total.clone()
            for sender in chosen:
                fresh[sender].add_(rows.store[rows.order[who.index(sender)]], alpha=share)
            sums.append(fresh)
        return replace(state, sums=tuple(sums))

    def _filtered(self, state: State) -> State:
        good = torch.tensor(state.good)
        keep = good.clone()
        for window, total in enumerate(state.sums):
            apart = pairwise_squared(total).sqrt()
            limit = self.thresholds[window] if self.thresholds else automatic(apart, good)
            keep &= apart[median_sender(apart, good, limit)] <= 2 * limit
        return State(state.step + 1, tuple(keep.tolist()), state.sums)

    def _noisy(self, vector: Tensor, step: int) -> Tensor:
        if self.noise == 0:
            return vector
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        return vector + self.noise * torch.randn(vector.shape, generator=generator).to(vector)

    def _check(self, rows: Rows, who: tuple[int, ...], state: State) -> None:
        m, d = state.sums[0].shape
        if len(who) != len(rows) or len(set(who)) != len(who) or not all(0 <= s < m for s in who):
            needed = f"a different sender out of {m} for each of the n={len(rows)} rows"
            raise refusal("safeguard", needed, f"{who}")
        if rows.dimension != d or rows.store.dtype != state.sums[0].dtype:
            needed = f"vectors of d={d}, {state.sums[0].dtype}, as its state has"
            raise refusal("safeguard", needed, f"d={rows.dimension}, {rows.store.dtype}")
