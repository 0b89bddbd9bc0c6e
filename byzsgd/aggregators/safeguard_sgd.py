"""SafeguardSGD's filter: who drifts away from the majority over many steps is out for good.

Allen-Zhu, Ebrahimian, Li and Alistarh, "Byzantine-Resilient Non-Convex Stochastic Gradient Descent"
(ICLR 2021, arXiv 2012.14368, algorithm 1). What a sender submitted is added up over one or two
windows; a sum too far from the median sum excludes its sender. The sums are a value that goes in
and comes out, so that every replica can keep and save its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from byzsgd.aggregators.distances import pairwise_squared
from byzsgd.aggregators.inputs import AggregationError, refusal, rows_of
from byzsgd.aggregators.rows import Rows, uniform
from byzsgd.aggregators.safeguard import automatic, majority, median_sender
from byzsgd.aggregators.safeguard_state import State


class Step(NamedTuple):
    """The (d,) aggregate, the senders whose vectors it is the mean of, and the state after it."""

    vector: Tensor
    chosen: tuple[int, ...]
    state: State


@dataclass(frozen=True)
class Safeguard:
    """The rule with its settings; `start` makes a state, a call takes one and gives the next.

    `windows` are lengths in steps, one (single safeguard) or two (double), the longer first; they
    restart at multiples of their length. `thresholds` are the H of each, L2 distances. `noise` is
    the standard deviation ν of the Gaussian that the paper adds to each coordinate to leave saddle
    points, drawn from `seed` and step. With `readmit` everybody is good again when the longest
    window restarts (≈); else nobody ever is.

    **Without thresholds** (≈: of "automatically from a warm-up" the rule is ours) nothing has to be
    known of the gradients. Let h be, at a step, the least distance within which some good sender
    has the majority of all; while liars are a minority it is no more than the honest diameter. Sums
    of n honest gradients are noise of a length that grows as √n/|good|. So of the first `warm_up`
    steps c = max h·|good|/√n is kept, and H = max(h, c·√T/|good|): what the noise of a whole window
    of T steps may come to, or more where the majority itself lies farther apart by now. In the
    warm-up nobody is excluded but for NaN and Inf; as nobody is known to be good, either, the
    aggregate is that of the filter without a memory, and one huge vector does not ruin all.
    """

    windows: tuple[int, ...]
    thresholds: tuple[float, ...] | None = None
    noise: float = 0.0
    seed: int = 0
    warm_up: int = 0
    readmit: bool = False

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
        if self.readmit and lengths[0] % lengths[-1]:
            needed = "windows of which one is a multiple of the other to readmit anybody"
            raise refusal("safeguard", needed, f"{lengths!r}")

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
        nobody = ((0,) * senders,) * len(sums)
        return State(0, (True,) * senders, sums, nobody, (0.0,) * len(sums))

    def __call__(
        self,
        vectors: Tensor | Sequence[Tensor] | Rows,
        state: State,
        senders: Sequence[int] | None = None,
        step: int | None = None,
    ) -> Step:
        """One step of algorithm 1 on (n, d) `vectors`, of which row k is `senders[k]`'s.

        Without `senders` there is one row of each, in order. The aggregate is the mean of the good
        senders' rows: who is caught at this step still counts. A non-finite row is caught at once
        and counts no more. `step`, where given, is this one's number: the state may be of an
        earlier one, and forgets the windows that have restarted since. Raises `AggregationError`.

        A good sender that is **absent** is taken to have sent what the median of those present
        sent, by their sums in each window. With nothing it would fall behind by the gradient, and
        be excluded for being slow; with the mean of those present it would follow the liars among
        them. So its distance from the median stays as it was: silence neither accuses nor clears.
        Sums of those who are often absent are close to one another, then, and H is small. Where it
        is not given it is larger for who is there more often than most, by as many times.
        """
        rows = rows_of("safeguard", vectors)
        who = tuple(range(len(rows))) if senders is None else tuple(senders)
        self._check(rows, who, state)
        state = self._moved(state, state.step if step is None else step)
        finite = {sender for sender, fine in zip(who, rows.finite.tolist(), strict=True) if fine}
        sent = [s for s in who if state.good[s] and s in finite]
        if not sent:
            raise AggregationError("safeguard needs a good sender, all that sent are excluded")
        good = tuple(g and (s not in who or s in finite) for s, g in enumerate(state.good))
        chosen = self._near(rows, who, sent) if state.step < self.warm_up else tuple(sent)
        vector = rows.store.new_empty(rows.dimension)
        rows.mean(uniform(len(rows), [who.index(sender) for sender in chosen]), vector)
        after = self._filtered(self._added(rows, who, sent, replace(state, good=good)))
        return Step(self._noisy(vector, state.step), chosen, after)

    def _moved(self, state: State, step: int) -> State:
        """At this step; a window that restarts on the way forgets."""
        if step < state.step:
            raise refusal("safeguard", f"a step of {state.step} or later", f"{step}")
        fresh = [(state.step - 1) // length < step // length for length in self.windows]
        sums = [
            torch.zeros_like(total) if restarts else total
            for restarts, total in zip(fresh, state.sums, strict=True)
        ]
        counts = [
            (0,) * len(count) if restarts else count
            for restarts, count in zip(fresh, state.present, strict=True)
        ]
        good = (True,) * len(state.good) if self.readmit and fresh[0] else state.good
        return replace(state, step=step, good=good, sums=tuple(sums), present=tuple(counts))

    def _near(self, rows: Rows, who: Sequence[int], sent: Sequence[int]) -> tuple[int, ...]:
        """Whose vectors of this very step are near those of the majority."""
        kept = majority(rows.squared.sqrt(), torch.tensor([sender in sent for sender in who]))
        return tuple(sender for sender, near in zip(who, kept.tolist(), strict=True) if near)

    def _added(self, rows: Rows, who: Sequence[int], sent: Sequence[int], state: State) -> State:
        """Sums of g/|good|."""
        share = 1 / sum(state.good)
        row = {sender: rows.store[rows.order[who.index(sender)]] for sender in sent}
        absent = [s for s, good in enumerate(state.good) if good and s not in row]
        sums = [total.clone() for total in state.sums]
        for total in sums:
            for sender in sent:
                total[sender].add_(row[sender], alpha=share)
            if absent:
                median = row[_median(total, sent)]
                total[absent] = total[absent].add_(median, alpha=share)
        counts = [tuple(n + (s in row) for s, n in enumerate(count)) for count in state.present]
        return replace(state, sums=tuple(sums), present=tuple(counts))

    def _filtered(self, state: State) -> State:
        good = torch.tensor(state.good)
        keep, scales = good.clone(), []
        for window, total in enumerate(state.sums):
            apart = pairwise_squared(total).sqrt()
            median, limit, scale = self._limit(window, apart, good, state)
            keep &= apart[median] <= 2 * limit * self._leeway(state.present[window], state.good)
            scales.append(scale)
        lenient = state.step + 1 < self.warm_up
        kept = state.good if lenient else tuple(keep.tolist())
        return replace(state, step=state.step + 1, good=kept, scales=tuple(scales))

    def _leeway(self, present: Sequence[int], good: Sequence[bool]) -> Tensor:
        """(m,) how much farther off each may be than H says, for being there more than others."""
        counts = torch.tensor(present, dtype=torch.float64)
        typical = float(counts[torch.tensor(good)].median())
        more = counts / max(1.0, typical)
        return torch.ones_like(more) if self.thresholds else more.clamp(min=1.0)

    def _limit(
        self, window: int, apart: Tensor, good: Tensor, state: State
    ) -> tuple[int, float, float]:
        """The median sender, H, and c."""
        if self.thresholds:
            given = self.thresholds[window]
            return median_sender(apart, good, given), given, 0.0
        near, scale, length = automatic(apart, good), state.scales[window], self.windows[window]
        if state.step < self.warm_up:
            steps = state.step % length + 1
            scale = max(scale, near * sum(state.good) / math.sqrt(steps))
        limit = max(near, scale * math.sqrt(length) / sum(state.good))
        return median_sender(apart, good, near), limit, scale

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


def _median(total: Tensor, among: Sequence[int]) -> int:
    """Which of these senders has most of them near."""
    apart = pairwise_squared(total, among).sqrt()
    good = torch.ones(len(among), dtype=torch.bool)
    return among[median_sender(apart, good, automatic(apart, good))]
