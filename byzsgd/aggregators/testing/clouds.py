"""What the checks feed a rule: honest vectors, and what liars put beside them.

Honest vectors are far from zero compared with how far they lie apart (as models are), and multiples
of 2^-6 below 2^17, so that moving them, and scaling them by powers of two, is exact in float32.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CENTRE = 20_000
SPREAD = 1000.0
SIZES = (0.5, 2.0, 10.0, 1e3, 1e8, 1e30)
"""How far away liars go, in honest diameters."""

PLACES = ("first", "last", "among")


def honest(count: int, d: int, seed: int) -> Tensor:
    """(count, d) float32 vectors around one common point."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randint(-CENTRE, CENTRE, (d,), generator=generator)
    return on_grid(centre + SPREAD * torch.randn(count, d, generator=generator))


def on_grid(vectors: Tensor) -> Tensor:
    """Rounded to multiples of 2^-6, of which sums are exact, and which seldom tie by chance."""
    return (vectors * 64).round() / 64


def uneven(count: int, d: int, seed: int) -> Tensor:
    """As `honest`, but each row's distance from the centre is another one."""
    generator = torch.Generator().manual_seed(seed)
    away = torch.randn(count, d, generator=generator)
    return on_grid(SPREAD * torch.randn(count, 1, generator=generator).exp() * away)


def diameter(vectors: Tensor) -> float:
    """The largest distance of two rows, and no less than `SPREAD`, in case there is only one."""
    wide = vectors.double()
    return max(SPREAD, *(float((wide - row).norm(dim=1).max()) for row in wide))


def scale_of(vectors: Tensor) -> float:
    """How far apart the finite rows lie: twice the largest distance to their middle row."""
    kept = vectors[vectors.isfinite().all(1)].double()
    return 2 * float((kept - kept.median(0).values).norm(dim=1).max()) if len(kept) else 0.0


def placed(truths: Tensor, lies: Tensor, where: str) -> Tensor:
    """The lies before the truths, after them, or spread among them."""
    if where == "first":
        return torch.cat([lies, truths])
    if where == "last":
        return torch.cat([truths, lies])
    n = len(truths) + len(lies)
    mixed = torch.empty(n, truths.shape[1], dtype=truths.dtype)
    lying = torch.zeros(n, dtype=torch.bool)
    lying[[1 + i * (n - 1) // max(1, len(lies)) for i in range(len(lies))]] = True
    mixed[lying], mixed[~lying] = lies, truths
    return mixed


class Attack(NamedTuple):
    name: str
    lies: Tensor


def attacks(truths: Tensor, count: int, seed: int) -> Iterator[Attack]:
    """What `count` liars send who know all honest vectors."""
    centre, far = truths.mean(0), diameter(truths)
    for name, directions in _directions(count, truths.shape[1], seed):
        for size in SIZES:
            yield Attack(f"liars {name} at {size:g} diameters", centre + size * far * directions)
    yield Attack("ALIE", (centre - 1.5 * truths.std(0, correction=0)).expand(count, -1))


def _directions(count: int, d: int, seed: int) -> Iterator[Attack]:
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(count, d, generator=generator), dim=1)
    signs = torch.tensor([(-1.0) ** i for i in range(count)])
    yield Attack("together", unit[:1].expand(count, -1))
    yield Attack("on two sides", signs[:, None] * unit[:1])
    yield Attack("scattered", unit)
    yield Attack("along one coordinate", torch.eye(d)[-1:].expand(count, -1))


def spoiled(truths: Tensor, count: int) -> Iterator[Attack]:
    """Rows that arithmetic does not survive."""
    row = torch.ones_like(truths[:1]).expand(count, -1)
    for name, value in (("NaN", math.nan), ("Inf", math.inf), ("-Inf", -math.inf), ("1e20", 1e20)):
        yield Attack(f"{name} rows", row * value)
    for value, at in ((math.nan, 0), (math.nan, -1), (math.inf, -1)):
        lone = truths[:1].repeat(count, 1)
        lone[:, at] = value
        yield Attack(f"one {value} in a row", lone)
    alternating = torch.tensor([(-1.0) ** i for i in range(truths.shape[1])])
    for size in (1e38, 3e38):
        yield Attack(f"rows of ±{size:g}", row * alternating * size)
    yield Attack("rows of NaN, Inf and 1e38", _mixture(row, alternating))


def _mixture(row: Tensor, alternating: Tensor) -> Tensor:
    kinds = (row[0] * math.nan, alternating * math.inf, alternating * 1e38)
    return torch.stack([kinds[i % len(kinds)] for i in range(len(row))])


def close_together(n: int, seed: int) -> Tensor:
    """Rows around 1000 whose distances differ by 1e-6 relative, all distinct, in float32.

    Every row deviates in a block of coordinates of its own, by as much as every other but for one
    coordinate, in which row i falls short by a number of units in the last place. The larger that
    number, the nearer the row is to all others.
    """
    block, steps = 100, 5000
    unit = 2.0**-14  # the distance of neighbouring float32 numbers around 1000
    shortfall = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    rows = torch.full((n, n * block), 1000.0)
    for i in range(n):
        rows[i, i * block : (i + 1) * block] += steps * unit
        rows[i, i * block] -= float(shortfall[i]) * unit
    return rows


def tied(n: int, seed: int, on_a_line: bool) -> Tensor:
    """(n, 3) small whole numbers, with many equal distances; exact ones if they lie on a line."""
    generator = torch.Generator().manual_seed(seed)
    if on_a_line:  # whole distances: 5 from step to step
        steps = torch.randint(-4, 5, (n, 1), generator=generator)
        return (steps * torch.tensor([[3, 4, 0]])).float()
    return torch.randint(0, 3, (n, 3), generator=generator).float()
