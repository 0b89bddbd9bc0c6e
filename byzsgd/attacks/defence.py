"""What a lie goes through, as far as the liar can play it through."""

from dataclasses import dataclass

from byzsgd.aggregators import Rule
from byzsgd.errors import ConfigError


@dataclass(frozen=True)
class Defence:
    """`rule` on the honest rows that a liar knows and `copies` of its lie, `tolerated` of them."""

    rule: Rule
    copies: int
    tolerated: int

    @classmethod
    def of(
        cls,
        rule: Rule | None,
        known: int,
        n: int,
        f: int,
        declared: int | None,
        awaited: int | None = None,
    ) -> "Defence | None":
        """Of n nodes f lie, and `declared` are tolerated (None: f). The rule sees `awaited` words
        (None: n), those of all liars among them. A liar that knows fewer honest rows than the rule
        sees, or more, plays with fewer lies, or more, in proportion.

        None without a rule, and where so few rows are known that the rule could tolerate no lie
        among them: nothing can be learned from that. Raises `ConfigError` where nobody is honest.
        """
        if rule is None:
            return None
        if not 0 <= f < n:
            raise ConfigError(
                f'"auto" was given n = {n}, f = {f}: give n nodes of which 0 ≤ f < n lie'
            )
        seen = n if awaited is None or awaited <= f else awaited
        share = known / (seen - f)
        copies = max(1, round(share * f))
        wanted = copies if declared is None else _at_least_one(share * declared)
        tolerated = rule.tolerable(known + copies, wanted)
        if tolerated == 0 < wanted or known + copies < rule.minimum_n(tolerated):
            return None
        return cls(rule, copies, tolerated)


def _at_least_one(share: float) -> int:
    """Rounded, but who declared that somebody may lie goes on tolerating one."""
    return max(1, round(share)) if share > 0 else 0
