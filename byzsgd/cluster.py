"""Who takes part, how many may lie, and every bound the theory puts on those numbers.

Source: El-Mhamdi et al., arXiv 1905.03853, sections 3 and 4. Every other module takes its
numbers from here, so that no bound is written down twice.
"""

import math
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, get_args

from byzsgd.errors import ConfigError

Role = Literal["server", "worker"]
Mode = Literal["async", "sync"]

REPEATED: Final = 2
"""How many of the models or gradients it showed last a node shows again when it waits in vain.

Nobody gets ahead but past q_ps − f_ps correct servers, so these are nowhere but in front or one
step, or round of a gather, behind it: of two that each shows again, all of them have one in common.
"""


class NodeId(NamedTuple):
    """A node's name, `server-0` or `worker-3`. Servers sort before workers.

    A tuple, because every message is looked up by it many times.
    """

    role: Role
    index: int  # type: ignore[assignment]  # tuple's method of this name is of no use here

    def __str__(self) -> str:
        return f"{self.role}-{self.index}"

    @classmethod
    def parse(cls, text: str) -> "NodeId":
        name = re.fullmatch("(server|worker)-(0|[1-9][0-9]*)", text)
        if not name:
            raise ConfigError(f"{text!r} is no node: write server-0 or worker-3")
        return cls("server" if name[1] == "server" else "worker", int(name[2]))


@dataclass(frozen=True)
class Cluster:
    """The nodes and the bounds of arXiv 1905.03853, section 3.

    `servers` (n_ps) and `workers` (n_w) are counts of nodes, `f_servers` and `f_workers` the
    *declared* numbers of Byzantine ones: n_ps ≥ 3 f_ps + 2 and n_w ≥ 3 f_w + 1. `q_servers` models
    and `q_workers` gradients are waited for; left out they are n − f.

    Raises `ConfigError` naming the bound when the numbers are illegal.
    """

    servers: int
    workers: int
    f_servers: int = 0
    f_workers: int = 0
    q_servers: int = 0
    q_workers: int = 0

    def __post_init__(self) -> None:
        for side in (_SERVERS, _WORKERS):
            n, f, q = (getattr(self, name) for name in (side.n, side.f, side.q))
            side.check_counts(n, f)
            if type(q) is int and q == 0:
                object.__setattr__(self, side.q, n - f)
            else:
                side.check_quorum(n, f, q)

    @cached_property
    def server_ids(self) -> tuple[NodeId, ...]:
        return tuple(NodeId("server", index) for index in range(self.servers))

    @cached_property
    def worker_ids(self) -> tuple[NodeId, ...]:
        return tuple(NodeId("worker", index) for index in range(self.workers))

    @cached_property
    def nodes(self) -> tuple[NodeId, ...]:
        return self.server_ids + self.worker_ids

    def gradients_awaited(self, mode: Mode) -> int:
        """How many gradients a server aggregates at most: a quorum, or all that there can be."""
        return self.q_workers if mode == "async" else self.workers

    @property
    def rejoin_quorum(self) -> int:
        """Models whose median a server may adopt when it fell behind: 2 f_ps + 1, own not counted.

        With at most f lies among them each coordinate stays within the honest range. Waiting for
        q_ps instead deadlocks as soon as one liar is silent.
        """
        return 2 * self.f_servers + 1


class _Side(NamedTuple):
    """One side's bounds: n ≥ 3 f + `spare`, 2 f + `spare` ≤ q ≤ n − f. With f = 0, n ≥ 1."""

    n: str
    f: str
    q: str
    spare: int

    def least_nodes(self, f: int) -> int:
        return 1 if f == 0 else 3 * f + self.spare

    def least_quorum(self, n: int, f: int) -> int:
        return min(n, 2 * f + self.spare)

    def check_counts(self, n: int, f: int) -> None:
        for name, value, least in ((self.n, n, 1), (self.f, f, 0)):
            if type(value) is not int or value < least:
                raise ConfigError(f"{name} = {value!r}: must be a whole number, at least {least}")
        if n < self.least_nodes(f):
            tolerated = max(0, (n - self.spare) // 3)
            raise ConfigError(
                f"{self.n} = {n} with {self.f} = {f} breaks {self.n} ≥ 3 {self.f} + {self.spare}: "
                f"use at least {self.least_nodes(f)} {self.n}, or {self.f} = {tolerated}"
            )

    def check_quorum(self, n: int, f: int, q: int) -> None:
        low, high = self.least_quorum(n, f), n - f
        if type(q) is not int or not low <= q <= high:
            raise ConfigError(
                f"{self.q} = {q!r} breaks "
                f"2 {self.f} + {self.spare} ≤ {self.q} ≤ {self.n} − {self.f}: "
                f"with {self.n} = {n} and {self.f} = {f} use {low} to {high}"
            )


_SERVERS: Final = _Side("servers", "f_servers", "q_servers", spare=2)
_WORKERS: Final = _Side("workers", "f_workers", "q_workers", spare=1)


@dataclass(frozen=True)
class Plan:
    """How long to train and how often the servers gather.

    `steps` updates in all; the servers contract their models after every `gather_every` of them
    (T), `gather_rounds` times in a row. A node keeps at most `window` early vectors of each sender;
    with fewer than three it may be unable to catch up, as `REPEATED` new ones need room beside an
    old one.

    `catch_up` is our extension to the paper, for networks that lose messages and for nodes that are
    slow. A node that has waited `patience_s` seconds at one step continues at a later one if it
    can. If not it shows again what it showed last, the same vectors, since somebody may have lost
    them, and so does a node that is done. Without `catch_up` nothing is ever said twice.

    Every `save_every` steps a server's model is saved, 0 for never; the last one always is.

    In `mode` "sync" a step is a round: a server waits up to `deadline_s` seconds for the gradients
    of all workers, and a worker pulls one server's model but for the steps at which all gather.
    """

    steps: int
    gather_every: int = 10
    gather_rounds: int = 1
    mode: Mode = "async"
    window: int = 4
    catch_up: bool = True
    patience_s: float = 5.0
    save_every: int = 0
    deadline_s: float = 1.0

    def __post_init__(self) -> None:
        limits = {"steps": 1, "gather_every": 1, "gather_rounds": 1, "window": 1, "save_every": 0}
        for name, least in limits.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigError(f"{name} = {value!r}: must be a whole number, at least {least}")
        if self.mode not in get_args(Mode):
            raise ConfigError(f'mode = {self.mode!r}: must be "async" or "sync"')
        for name in ("patience_s", "deadline_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} = {value!r}: must be a positive time in seconds")

    @property
    def gradients_repeated(self) -> int:
        """How many of the gradients it showed last a worker shows again when it waits in vain.

        In mode "sync", where one model is enough to go on, a few servers may get ahead of the rest,
        though no farther than to the next gather. The rest then need older gradients: as many as a
        link holds. With a window of `gather_every` + 2 those are all that can be needed.
        """
        return REPEATED if self.mode == "async" else max(REPEATED, self.window - 1)

    def gathers_at(self, step: int) -> bool:
        """Whether the servers contract their models on arriving at `step`."""
        return step > 0 and step % self.gather_every == 0

    def scatters_at(self, step: int) -> bool:
        """Whether servers show their models of `step` to every worker, who takes a quorum of them.

        Always in mode "async"; else at the beginning and where the servers gather.
        """
        return self.mode == "async" or step % self.gather_every == 0

    def saves_at(self, step: int) -> bool:
        return self.save_every > 0 and step % self.save_every == 0


def gather_period(lipschitz: float, learning_rate: float) -> int:
    """The longest gather period of the theory, T = ⌊1 / (3 l η₁)⌋, at least 1.

    `lipschitz` is the Lipschitz constant l of the gradient, `learning_rate` the first step's η₁
    (arXiv 1905.03853, section 4).
    """
    if not (lipschitz > 0 and learning_rate > 0):
        raise ConfigError(
            f"lipschitz = {lipschitz} and learning_rate = {learning_rate}: must be > 0"
        )
    product = lipschitz * learning_rate
    if product < sys.float_info.min:
        raise ConfigError(
            f"lipschitz = {lipschitz} and learning_rate = {learning_rate}: "
            "their product is too small for a period"
        )
    return max(1, math.floor(1 / (3 * product)))
