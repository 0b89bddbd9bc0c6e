"""What holds of every lie that is a vector, whatever the liar knows."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byzsgd.attacks import forge
from byzsgd.attacks.registry import GRADIENTS

RELAXED = settings(deadline=None, max_examples=60)  # a busy machine is no failure
NAMES = sorted(["equivocate", *(attack.name for attack in GRADIENTS)])
AUTO = {"alie": "z", "ipm": "epsilon", "sign_flip": "factor", "scale": "factor"}
RULES = ["krum", "mda", "median", "average", "bulyan", "geometric_median", None]
FINITE = st.floats(-1e3, 1e3, width=32)
WHOLE = st.integers(-50, 50).map(float)
"""Doubled exactly, and so is what is computed from it."""


@st.composite
def known(draw: st.DrawFn, values: st.SearchStrategy[float] = FINITE) -> torch.Tensor:
    """What a liar knows: few rows or many, some of them perhaps equal."""
    k, d = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(values, min_size=d, max_size=d), min_size=1, max_size=k))
    return torch.tensor([rows[row % len(rows)] for row in range(k)])


def options_of(name: str, auto: bool) -> dict[str, Any]:
    return {AUTO[name]: "auto"} if auto and name in AUTO else {}


@RELAXED
@given(known(), st.sampled_from(NAMES), st.sampled_from(RULES), st.booleans(), st.integers(0, 4))
def test_a_lie_is_finite_fresh_and_the_same_again(honest, name, rule, auto, f):  # type: ignore[no-untyped-def]
    before, options = honest.clone(), options_of(name, auto)
    told = {"n": 12, "f": f, "rule": rule, **options}
    lie = forge(name, honest, **told)
    assert (lie.shape, lie.dtype) == (honest.shape[1:], honest.dtype)
    assert bool(lie.isfinite().all()) or name in ("nan", "inf")
    assert torch.equal(lie.nan_to_num(), forge(name, honest, **told).nan_to_num())
    lie.zero_()
    assert torch.equal(honest, before)


@RELAXED
@given(
    known(st.floats(width=32, allow_nan=True, allow_infinity=True)),
    st.sampled_from(NAMES),
    st.sampled_from(RULES),
    st.booleans(),
)
def test_no_vector_of_another_liar_makes_a_liar_fail(honest, name, rule, auto):  # type: ignore[no-untyped-def]
    lie = forge(name, honest, n=12, f=3, rule=rule, **options_of(name, auto))
    assert lie.shape == honest.shape[1:]


@RELAXED
@given(known(WHOLE), st.sampled_from(["alie", "ipm", "sign_flip"]), st.sampled_from(RULES[:-1]))
def test_a_search_does_not_depend_on_the_unit_of_the_vectors(honest, name, rule):  # type: ignore[no-untyped-def]
    told = {"n": 12, "f": 3, "rule": rule, AUTO[name]: "auto"}
    doubled = forge(name, honest * 2.0, **told)
    assert torch.equal(doubled, forge(name, honest, **told) * 2.0)
