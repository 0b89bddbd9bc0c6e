"""Naive twins of all rules by name, with their options, and of rules after preaggregations."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from byzsgd.aggregators.testing import center_twins, coordinate_twins, distance_twins

Twin = Callable[[Tensor, int], Tensor]

_RULES = (
    coordinate_twins.average,
    coordinate_twins.median,
    coordinate_twins.trimmed_mean,
    coordinate_twins.meamed,
    coordinate_twins.phocas,
    distance_twins.krum,
    distance_twins.multi_krum,
    distance_twins.mda,
    distance_twins.medoid,
    distance_twins.bulyan,
    center_twins.geometric_median,
    center_twins.centered_clipping,
)
_STEPS = (center_twins.nnm, center_twins.bucketing, center_twins.clipping)

TWINS: dict[str, Callable[..., Tensor]] = {twin.__name__: twin for twin in _RULES}
"""(n, d) vectors, f and the rule's options as keywords → its (d,) aggregate in float64."""

STEP_TWINS: dict[str, Callable[..., Tensor]] = {twin.__name__: twin for twin in _STEPS}
"""(n, d) vectors and f → the rows that a rule sees after this preaggregation."""


def twin_of(name: str, options: Mapping[str, object] | None = None) -> Twin | None:
    """The twin of the rule with this canonical name and options, or None if there is none.

    "nnm + mda" is mda after nnm with its defaults. Options that only say how far to search, which a
    twin does not know, are left out.
    """
    *steps, last = name.split(" + ")
    if last not in TWINS or not all(step in STEP_TWINS for step in steps):
        return None
    known = inspect.signature(TWINS[last]).parameters
    kept = {key: value for key, value in (options or {}).items() if key in known}
    rule = partial(TWINS[last], **kept)
    return partial(_after, tuple(STEP_TWINS[step] for step in steps), rule) if steps else rule


def _after(steps: tuple[Twin, ...], rule: Twin, vectors: Tensor, f: int) -> Tensor:
    for step in steps:
        vectors = step(vectors, f)
    return rule(vectors, f)
