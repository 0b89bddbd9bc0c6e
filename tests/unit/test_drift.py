"""A lie that moves away from the truth step by step."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byzsgd.attacks import forge
from byzsgd.errors import ConfigError

OWN = torch.arange(1.0, 101.0)


@given(st.floats(0, 10), st.integers(0, 10_000), st.integers(0, 2**32 - 1))
def test_its_error_is_as_long_as_was_asked_for(speed: float, step: int, seed: int) -> None:
    own = OWN[None].clone()
    error = forge("drift", own, step=step, run_seed=seed, speed=speed) - OWN
    wanted = speed * step * float(OWN.norm())
    assert float(error.norm()) == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    assert torch.equal(own[0], OWN), "nothing given is changed"


def test_all_liars_move_the_same_way_at_all_steps_and_in_another_run_another_way() -> None:
    def direction(own: torch.Tensor, step: int, run_seed: int) -> torch.Tensor:
        error = forge("drift", own[None], step=step, run_seed=run_seed, seed=step) - own
        return torch.nn.functional.normalize(error, dim=0)

    first = direction(OWN, 10, 1)
    assert torch.allclose(first, direction(-3 * OWN, 500, 1), atol=1e-5)
    assert abs(float(first @ direction(OWN, 10, 2))) < 0.5
    assert abs(float(first @ OWN / OWN.norm())) < 0.5, "it is aside of the truth"


def test_backwards_it_comes_to_nothing_and_then_points_back() -> None:
    for step, left in ((0, 1.0), (50, 0.5), (100, 0.0), (300, -2.0)):
        lie = forge("drift", OWN[None], step=step, speed=0.01, toward="back")
        assert torch.allclose(lie, left * OWN, atol=1e-4)


@pytest.mark.parametrize("lengths", [0.0, math.nan, math.inf])
def test_of_what_is_no_vector_it_makes_no_error(lengths: float) -> None:
    assert forge("drift", torch.full((1, 4), lengths), step=3).shape == (4,)


@pytest.mark.parametrize(
    "options", [{"speed": -0.1}, {"speed": "fast"}, {"speed": math.inf}, {"toward": "up"}]
)
def test_what_it_cannot_be_told(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"drift: {next(iter(options))} = .*give"):
        forge("drift", OWN[None], step=3, **options)
