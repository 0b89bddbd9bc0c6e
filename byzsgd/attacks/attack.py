"""What an attack is, and what a liar knows when it makes one up."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

from torch import Tensor

from byzsgd.aggregators import Rule
from byzsgd.attacks.defence import Defence
from byzsgd.attacks.lab import Lab
from byzsgd.attacks.memory import Memory
from byzsgd.cluster import Role
from byzsgd.errors import unknown_name
from byzsgd.protocol import Send


@dataclass(frozen=True)
class Setting:
    """What the liar knows of the run when it makes up one lie.

    Of the `n` nodes on its side `f` lie; the `rule` that its word will be aggregated by tolerates
    `declared` of them (None: as many as lie), and sees `awaited` words in all (None: n). `seed` is
    for this one lie, `run_seed` the same for all liars at all steps. The word is for `step`, and
    goes to number `receiver` of the `receivers` nodes of one role. With its `lab` a lying worker
    can train models of its own.
    """

    n: int
    f: int
    seed: int = 0
    run_seed: int = 0
    step: int = 0
    rule: Rule | None = None
    declared: int | None = None
    awaited: int | None = None
    receiver: int = 0
    receivers: int = 1
    lab: Lab | None = None

    def defence(self, honest: Tensor) -> Defence | None:
        """What a lie goes through, played with the rows (k, d) that a liar knows: see there."""
        known = len(honest)
        return Defence.of(self.rule, known, self.n, self.f, self.declared, self.awaited)


@dataclass(frozen=True)
class Attack:
    """One way to lie.

    `vector` makes the lie, or `behaviour` says what is sent instead of an honest word; with neither
    nothing is. With `colludes` the lie is made of the vectors of others as well, as far as the liar
    knows any. With `each_receiver` every receiver gets a lie of its own. A behaviour that
    `remembers` is given a memory of what the liar would have said at earlier steps. An attack that
    `holds_s` says the truth so many seconds late; one on `data` computes with other examples, and
    says what comes of it. With a `role` only nodes of that side can do it. A `silent` attack is to
    have no word of the liar's aggregated: it says none, none in time or none that a link lets by.
    """

    name: str
    summary: str
    vector: Callable[..., Tensor] | None = None
    aliases: tuple[str, ...] = ()
    colludes: bool = False
    each_receiver: bool = False
    behaviour: Callable[..., list[Send]] | None = None
    remembers: bool = False
    holds_s: Callable[..., float] | None = None
    data: Callable[..., tuple[Tensor, Tensor]] | None = None
    role: Role | None = None
    silent: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """The names of what an experiment may set."""
        known = KNOWN if self.vector or self.data else ()
        return tuple(name for name in self._parameters if name not in known)

    def conspires(self, options: Mapping[str, Any]) -> bool:
        """Whether the lie is made of what others would say as well: also to find its strength."""
        return self.colludes or AUTO in options.values()

    @property
    def trains(self) -> bool:
        """Whether the liar needs a lab."""
        return "lab" in self._parameters

    def lie(self, honest: Tensor, setting: Setting, options: Mapping[str, Any]) -> Tensor:
        """One lie of shape (d,) from what the liar knows, (k, d), its own vector first."""
        assert self.vector is not None, f"{self.name} sends nothing"
        known = {name: getattr(setting, name) for name in self._parameters if name in FIELDS}
        if "setting" in self._parameters:
            known["setting"] = setting
        return self.vector(honest, **known, **options)

    def poisoned(
        self, inputs: Tensor, targets: Tensor, classes: int, options: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """The examples that it computes with instead, by an attack on data; nothing is changed."""
        assert self.data is not None, f"{self.name} is not an attack on data"
        return self.data(inputs, targets, classes, **options)

    def words(self, send: Send, memory: Memory, options: Mapping[str, Any]) -> list[Send]:
        """What is said instead of an honest word, by an attack that has a behaviour."""
        assert self.behaviour is not None, f"{self.name} is not a matter of behaviour"
        remembered = (memory,) if self.remembers else ()
        return self.behaviour(send, *remembered, **options)

    def check(self, options: Iterable[str]) -> None:
        """Raises `ConfigError` for an option that the attack does not have."""
        for option in options:
            if option not in self.options:
                raise unknown_name(f"option of attack {self.name}", option, self.options)

    @cached_property
    def _parameters(self) -> tuple[str, ...]:
        made = self.vector or self.behaviour or self.holds_s or self.data
        signature = inspect.signature(made).parameters.values() if made else ()
        return tuple(p.name for p in signature if p.kind is p.KEYWORD_ONLY)


AUTO: Final = "auto"
"""The value of an option that is searched for."""
FIELDS: Final = frozenset(field.name for field in fields(Setting))
KNOWN: Final = FIELDS | {"setting"}
"""What an attack's function may ask for by name, and no experiment sets."""
