"""What becomes of each message, drawn from named streams of one seed.

Each link has a stream of its own for each purpose, and every message of a link takes one number of
each that a rule for the link needs: also where the rule's time is not now, its probability is 0 or
1, or the message is lost anyway. So the n-th message of a link meets the same numbers whoever else
sends, and whatever other faults there are.
"""

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.faults.delays import Constant
from byzsgd.faults.link import Coin, Course, Link, Stream, Wait, in_line
from byzsgd.faults.plan import Chance, Delay, FaultPlan
from byzsgd.faults.rules import Cuts, Rules

Fate: TypeAlias = Callable[[float, NodeId, NodeId], tuple[float, ...]]
LinkFate: TypeAlias = Callable[[float], tuple[float, ...]]


class Fates:
    """Draws the fates of one run's messages.

    A link is first in, first out: a copy arrives no earlier than those that were sent before it,
    unless it strays (`reorders`); then it neither waits for them nor do later ones wait for it.
    """

    fate: Fate
    """`fate(now_s, sender, receiver)`: the delay in seconds of each copy that will arrive."""

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self._plan = plan
        self._seed = seed
        self._links: dict[tuple[NodeId, NodeId], LinkFate] = {}
        self.fate = self._fate if plan.on_messages else _at_once

    def link(self, sender: NodeId, receiver: NodeId) -> LinkFate:
        """`fate` of one link, as a function of the time alone."""
        fate = self._links.get((sender, receiver))
        if fate is None:
            fate = self._links[sender, receiver] = _link(self._plan, self._seed, sender, receiver)
        return fate

    def _fate(self, now_s: float, sender: NodeId, receiver: NodeId) -> tuple[float, ...]:
        fate = self._links.get((sender, receiver)) or self.link(sender, receiver)
        return fate(now_s)


def _link(plan: FaultPlan, seed: int, sender: NodeId, receiver: NodeId) -> LinkFate:
    def stream(purpose: str) -> Stream:
        name = f"{seed}/faults/{purpose}/{sender}/{receiver}"
        return Random(name).random  # noqa: S311 - the same numbers again are what is wanted

    def coin(purpose: str, rules: Rules[Chance]) -> Coin | None:
        return Coin(rules, stream(purpose)) if rules else None

    def course(copy: str) -> Course:
        wait = Wait(delays, stream(f"{copy}delay")) if delays else None
        return Course(coin(f"{copy}loss", losses), coin(f"{copy}reorder", reorders), wait)

    delays = Rules(plan.delays, sender, receiver)
    losses = Rules(plan.losses, sender, receiver)
    doubles = Rules(plan.duplicates, sender, receiver)
    reorders = Rules(plan.reorders, sender, receiver)
    cuts = Cuts(plan.partitions, sender, receiver)
    if not (losses or doubles or reorders or cuts or delays.timed):
        return _steady(delays.always, stream)
    second = course("copy-") if doubles else None
    return Link(cuts, course(""), coin("duplicate", doubles), second).fate


def _steady(rule: Delay | None, stream: Callable[[str], Stream]) -> LinkFate:
    """Nothing but one delay at all times, as fast as can be: most links of most plans are so."""
    if rule is None or isinstance(rule.distribution, Constant):
        fixed = (rule.distribution.mean_s if rule else 0.0,)
        return lambda now_s: fixed  # time does not run backwards, so nothing overtakes
    at, draw, latest_s = rule.distribution.at, stream("delay"), 0.0

    def fate(now_s: float) -> tuple[float, ...]:
        nonlocal latest_s
        delay_s = at(draw())
        if now_s + delay_s < latest_s:
            delay_s = in_line(now_s, delay_s, latest_s)
        latest_s = now_s + delay_s
        return (delay_s,)

    return fate


def _at_once(now_s: float, sender: NodeId, receiver: NodeId) -> tuple[float, ...]:
    return (0.0,)
