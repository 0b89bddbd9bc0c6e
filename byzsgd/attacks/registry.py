"""The attacks by name, and how one call makes a lie of any of them."""

from typing import Any, Final

from torch import Tensor

from byzsgd.attacks import behaviours, past, poison, vectors
from byzsgd.attacks.alie import alie
from byzsgd.attacks.attack import Attack, Setting
from byzsgd.attacks.backdoor import backdoor
from byzsgd.attacks.drift import drift
from byzsgd.attacks.hidden_vulnerability import hidden_vulnerability
from byzsgd.attacks.ipm import ipm
from byzsgd.attacks.malformed import malformed
from byzsgd.attacks.mimic import mimic
from byzsgd.errors import ConfigError, unknown_name

GRADIENTS: Final = (
    Attack("sign_flip", "the honest vector, pointing back", vectors.sign_flip),
    Attack("reverse", "the honest vector reversed, a hundred times as long", vectors.reverse),
    Attack("scale", "the honest vector, many times as long", vectors.scale, ("scaled",)),
    Attack("safeguard", "the honest vector, pointing back and shorter", vectors.safeguard),
    Attack("gaussian", "noise, far longer than any honest vector", vectors.gaussian),
    Attack("zero", "zero, everywhere", vectors.zero),
    Attack("nan", "not a number, everywhere", vectors.nan),
    Attack("inf", "infinity, everywhere", vectors.inf),
    Attack(
        "alie",
        "a little is enough: mean − z·deviation, within the honest spread",
        alie,
        aliases=("little", "lie"),
        colludes=True,
    ),
    Attack(
        "ipm",
        "inner-product manipulation: −ε·mean, against the honest direction",
        ipm,
        aliases=("empire", "foe"),
        colludes=True,
    ),
    Attack("mimic", "what one honest node says, from all liars", mimic, colludes=True),
    Attack(
        "hidden_vulnerability",
        "mean + γ·E: as far out as the rule still selects it",
        hidden_vulnerability,
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
    Attack("mute", "nothing at all", silent=True),
    Attack(
        "crash",
        "the truth, and from a step on nothing at all",
        behaviour=behaviours.crash,
        silent=True,
    ),
    Attack(
        "desert",
        "the truth to each receiver for another while, then nothing",
        behaviour=behaviours.desert,
        silent=True,
    ),
    Attack(
        "flood",
        "the truth, among noise about other steps that fills every buffer",
        behaviour=behaviours.flood,
    ),
    Attack(
        "stale",
        "the truth of some steps ago, as though it were new",
        behaviour=past.stale,
        remembers=True,
    ),
    Attack(
        "delayed",
        "the truth of a thousand steps ago, or the oldest there is",
        behaviour=past.delayed,
        remembers=True,
    ),
    Attack(
        "rollback",
        "the truth up to a step, and from then on that of this step for ever",
        behaviour=past.rollback,
        remembers=True,
    ),
    Attack("drift", "the truth, and an error that grows slowly", drift),
    Attack("slow", "the truth, too late", holds_s=behaviours.slow, silent=True),
    Attack(
        "malformed",
        "words that are none: cut short, garbled, of no known kind",
        behaviour=malformed,
        silent=True,
    ),
)
"""Lies about what is said when and to whom."""

TRAINING: Final = (
    Attack(
        "label_flip",
        "an honest gradient of examples with turned-around labels",
        data=poison.label_flip,
        role="worker",
    ),
    Attack(
        "backdoor",
        "a step towards a model that misreads what has a trigger, within the honest spread",
        backdoor,
        colludes=True,
        role="worker",
    ),
)
"""Lies of workers that are learnt: from false labels."""

ATTACKS: Final = {attack.name: attack for attack in (*GRADIENTS, *TRAINING, *WORDS)}


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
    if attack.data:
        raise ConfigError(f"attack {attack.name!r} changes examples: there is no vector to forge")
    if attack.vector is None:
        raise ConfigError(
            f"attack {attack.name!r} is a matter of what is sent when: there is no vector to forge"
        )
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
    from byzsgd.attacks.attack import FIELDS

    known = {name: options.pop(name) for name in list(options) if name in FIELDS}
    if isinstance(known.get("rule"), str):
        known["rule"] = configured(known["rule"])
    return known
