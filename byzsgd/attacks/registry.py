"""The attacks by name, and how one call makes a lie of any of them."""

from typing import Any, Final

from torch import Tensor

from byzsgd.attacks import behaviours, vectors
from byzsgd.attacks.attack import Attack, Setting
from byzsgd.errors import ConfigError, unknown_name

GRADIENTS: Final = (
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
)
"""Lies that are vectors: a worker's gradient, or as well a server's model."""

WORDS: Final = (
    Attack(
        "equivocate",
        "something different to every receiver",
        vectors.equivocate,
        each_receiver=True,
    ),
    Attack("mute", "nothing at all"),
    Attack("crash", "the truth, and from a step on nothing at all", behaviour=behaviours.crash),
    Attack(
        "desert",
        "the truth to each receiver for another while, then nothing",
        behaviour=behaviours.desert,
    ),
    Attack(
        "flood",
        "the truth, among noise about other steps that fills every buffer",
        behaviour=behaviours.flood,
    ),
    Attack(
        "stale",
        "the truth of some steps ago, as though it were new",
        behaviour=behaviours.stale,
        remembers=True,
    ),
)
"""Lies about what is said when and to whom."""

ATTACKS: Final = {attack.name: attack for attack in (*GRADIENTS, *WORDS)}


def resolve(name: str) -> Attack:
    """The attack of a name or an alias. Raises `ConfigError` with the nearest known name."""
    for attack in ATTACKS.values():
        if name == attack.name or name in attack.aliases:
            return attack
    raise unknown_name("attack", name, ATTACKS)


def forge(name: str, honest: Tensor, *, n: int = 0, f: int = 0, **options: Any) -> Tensor:
    """One lie of attack `name` from the `honest` vectors (k, d): a fresh tensor (d,).

    `n` and `f` are the numbers of nodes and of liars, for the attacks that need them; `options` as
    each attack has them, and `seed`, `step`, `rule` and what else `Setting` knows. The first row is
    what the liar itself would have sent. Raises `ConfigError` for an unknown attack or option, one
    that sends no vector, or a wrong shape.
    """
    attack = resolve(name)
    if attack.vector is None:
        raise ConfigError(f"attack {attack.name!r} sends nothing, so there is no vector to forge")
    if honest.ndim != 2 or honest.shape[0] == 0 or not honest.is_floating_point():
        raise ConfigError(
            f"attack {attack.name!r} needs floating-point vectors (k, d) with k ≥ 1, "
            f"not {honest.dtype} {tuple(honest.shape)}"
        )
    setting = Setting(n, f, **_known_among(options))
    attack.check(options)
    return attack.lie(honest, setting, options)


def _known_among(options: dict[str, Any]) -> dict[str, Any]:
    """What the setting says, taken out of the options; a rule may be given by its name."""
    from byzsgd.aggregators import configured
    from byzsgd.attacks.attack import KNOWN

    known = {name: options.pop(name) for name in list(options) if name in KNOWN}
    if isinstance(known.get("rule"), str):
        known["rule"] = configured(known["rule"])
    return known
