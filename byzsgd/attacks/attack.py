"""The attacks by name, and how one call makes a lie of any of them."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from byzsgd.attacks import behaviours, vectors
from byzsgd.attacks.memory import Memory
from byzsgd.errors import ConfigError, unknown_name
from byzsgd.protocol import Send


@dataclass(frozen=True)
class Setting:
    """What the liar knows of the run: nodes and liars on its side, and a seed for this one lie."""

    n: int
    f: int
    seed: int = 0


@dataclass(frozen=True)
class Attack:
    """One way to lie.

    `vector` makes the lie, or `behaviour` says what is sent instead of an honest word; with neither
    nothing is. With `colludes` the liars first tell each other what they would have sent. With
    `each_receiver` every receiver gets a lie of its own. A behaviour that `remembers` is given a
    memory of what the liar would have said at earlier steps.
    """

    name: str
    summary: str
    vector: Callable[..., Tensor] | None
    aliases: tuple[str, ...] = ()
    colludes: bool = False
    each_receiver: bool = False
    behaviour: Callable[..., list[Send]] | None = None
    remembers: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """The names of what an experiment may set."""
        return tuple(name for name in self._parameters if name not in ("n", "f", "seed"))

    def lie(self, honest: Tensor, setting: Setting, options: Mapping[str, Any]) -> Tensor:
        """One lie of shape (d,) from what the liar knows, (k, d), its own vector first."""
        assert self.vector is not None, f"{self.name} sends nothing"
        known = {"n": setting.n, "f": setting.f, "seed": setting.seed}
        wanted = {name: known[name] for name in self._parameters if name in known}
        return self.vector(honest, **wanted, **options)

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

    @property
    def _parameters(self) -> tuple[str, ...]:
        made = self.vector or self.behaviour
        signature = inspect.signature(made).parameters.values() if made else ()
        return tuple(p.name for p in signature if p.kind is p.KEYWORD_ONLY)


ATTACKS: Final = {
    attack.name: attack
    for attack in (
        Attack("sign_flip", "the honest vector, pointing back", vectors.sign_flip),
        Attack("scale", "the honest vector, many times as long", vectors.scale, ("scaled",)),
        Attack("nan", "not a number, everywhere", vectors.nan),
        Attack(
            "alie",
            "a little is enough: mean − z·deviation, within the honest spread",
            vectors.alie,
            aliases=("little", "lie"),
            colludes=True,
        ),
        Attack(
            "equivocate",
            "something different to every receiver",
            vectors.equivocate,
            each_receiver=True,
        ),
        Attack("mute", "nothing at all", None),
        Attack(
            "crash",
            "the truth, and from a step on nothing at all",
            None,
            behaviour=behaviours.crash,
        ),
        Attack(
            "desert",
            "the truth to each receiver for another while, then nothing",
            None,
            behaviour=behaviours.desert,
        ),
        Attack(
            "flood",
            "the truth, among noise about other steps that fills every buffer",
            None,
            behaviour=behaviours.flood,
        ),
        Attack(
            "stale",
            "the truth of some steps ago, as though it were new",
            None,
            behaviour=behaviours.stale,
            remembers=True,
        ),
    )
}


def resolve(name: str) -> Attack:
    """The attack of a name or an alias. Raises `ConfigError` with the nearest known name."""
    for attack in ATTACKS.values():
        if name == attack.name or name in attack.aliases:
            return attack
    raise unknown_name("attack", name, ATTACKS)


def forge(name: str, honest: Tensor, *, n: int = 0, f: int = 0, **options: Any) -> Tensor:
    """One lie of attack `name` from the `honest` vectors (k, d): a fresh tensor (d,).

    `n` and `f` are the numbers of nodes and of liars, for the attacks that need them; `options` as
    each attack has them. The first row is what the liar itself would have sent. Raises
    `ConfigError` for an unknown attack or option, one that sends no vector, or a wrong shape.
    """
    attack = resolve(name)
    if attack.vector is None:
        raise ConfigError(f"attack {attack.name!r} sends nothing, so there is no vector to forge")
    if honest.ndim != 2 or honest.shape[0] == 0 or not honest.is_floating_point():
        raise ConfigError(
            f"attack {attack.name!r} needs floating-point vectors (k, d) with k ≥ 1, "
            f"not {honest.dtype} {tuple(honest.shape)}"
        )
    seed = options.pop("seed", 0)
    attack.check(options)
    return attack.lie(honest, Setting(n, f, seed), options)
