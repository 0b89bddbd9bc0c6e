"""The processors that the nodes of one machine share."""

from collections.abc import Hashable


class Cores:
    """Each strand does one thing after the other; with `count` cores, so many strands at a time.

    With no `count` every strand has a core of its own. Work that is asked for first begins first.
    Of the cores that are free when its strand is it takes the one that was in use last: the others
    stay free for whoever comes next.
    """

    def __init__(self, count: int = 0) -> None:
        self._free_at = [0.0] * count
        self._strands: dict[Hashable, float] = {}

    def work(self, strand: Hashable, now: float, takes_s: float, rests_s: float = 0.0) -> float:
        """When the strand has done what takes so long, and rested: a rest needs no core."""
        ready = max(now, self._strands.get(strand, 0.0))
        done = self._on_a_core(ready, takes_s) if self._free_at else ready + takes_s
        self._strands[strand] = done + rests_s
        return done + rests_s

    def forget(self, strand: Hashable, now: float) -> None:
        """What the strand had still to do is not wanted any more; its core finishes it."""
        self._strands[strand] = now

    def _on_a_core(self, ready: float, takes_s: float) -> float:
        core = min(range(len(self._free_at)), key=lambda core: self._rank(core, ready))
        self._free_at[core] = max(ready, self._free_at[core]) + takes_s
        return self._free_at[core]

    def _rank(self, core: int, ready: float) -> tuple[bool, float]:
        free_at = self._free_at[core]
        return (True, free_at) if free_at > ready else (False, -free_at)
