"""Steps before a rule: rows in, rows out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count

from torch import Tensor

from byzsgd.aggregators.inputs import check_count, check_f, rows_of
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Choice, Rule


@dataclass(frozen=True)
class Preaggregation:
    """A step before a rule. Of the rows that it leaves at most f are lies still.

    Called by itself on (n, d) vectors it gives the (n', d) rows that a rule would see.
    """

    name: str
    aliases: tuple[str, ...]
    bound: str
    minimum_n: Callable[[int], int]
    count: Callable[[int], int]
    """How many rows it leaves of n."""
    apply: Callable[[Rows, int], Rows]
    options: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, vectors: Tensor | Sequence[Tensor], f: int = 0) -> Tensor:
        rows = rows_of(self.name, vectors)
        check_f(self.name, f)
        check_count(self.name, self.bound, self.minimum_n(f), len(rows), f)
        return self.apply(rows, f).built()


def preceded(rule: Rule, steps: Sequence[Preaggregation]) -> Rule:
    """The rule after these steps, in their order. It selects no rows: what it sees are mixtures."""
    if not steps:
        return rule
    names = " + ".join(step.name for step in steps)

    def enough(n: int, f: int) -> bool:
        for step in steps:
            if n < step.minimum_n(f):
                return False
            n = step.count(n)
        return n >= rule.minimum_n(f)

    def fill(rows: Rows, f: int, out: Tensor) -> Choice | None:
        for step in steps:
            rows = step.apply(rows, f)
        rule.fill(rows, f, out)
        return None

    return replace(
        rule,
        name=f"{names} + {rule.name}",
        aliases=(),
        bound=f"{rule.bound} after {names}",
        minimum_n=cache(lambda f: next(n for n in count(1) if enough(n, f))),
        fill=fill,
        choose=None,
        by_distance=rule.by_distance or steps[0].name == "nnm",
        variance_bound=None,
    )
