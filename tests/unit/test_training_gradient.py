"""What a worker submits, and at which rate it is used."""

import math

import pytest
import torch
from torch import Tensor

from byzsgd.errors import ConfigError
from byzsgd.training.gradient import GradientSettings, submission
from byzsgd.training.schedule import Schedule


def vectors(count: int) -> list[Tensor]:
    return list(torch.randn(count, 6, generator=torch.Generator().manual_seed(2)))


def naive(gradients: list[Tensor], params: list[Tensor], settings: GradientSettings) -> Tensor:
    """The sum Σ μ^(t−u) g_u, in numbers of Python."""
    last = len(gradients) - 1
    total = [0.0] * 6
    for u, (gradient, at) in enumerate(zip(gradients, params, strict=True)):
        g = [
            a + settings.weight_decay * b
            for a, b in zip(gradient.tolist(), at.tolist(), strict=True)
        ]
        norm = math.sqrt(sum(a * a for a in g))
        shrink = min(1.0, settings.clip / norm) if settings.clip else 1.0
        weight = settings.momentum ** (last - u) * shrink
        total = [a + weight * b for a, b in zip(total, g, strict=True)]
    return torch.tensor(total)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize("clip", [None, 1.0, 100.0])
def test_submissions_are_the_sum_that_the_paper_writes(
    momentum: float, weight_decay: float, clip: float | None
) -> None:
    settings = GradientSettings(momentum, weight_decay, clip)
    gradients, params = vectors(8), vectors(16)[8:]
    last = None
    for t in range(8):
        last = submission(gradients[t], params[t], last, settings)
        expected = naive(gradients[: t + 1], params[: t + 1], settings)
        torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [GradientSettings(), GradientSettings(0.9, 0.1, 0.01)])
def test_a_submission_is_fresh_and_changes_nothing(settings: GradientSettings) -> None:
    given = vectors(3)
    before = [one.clone() for one in given]
    submission(*given, settings).fill_(7.0)  # type: ignore[call-arg, arg-type]
    assert all(map(torch.equal, given, before))


def test_a_zero_gradient_is_not_clipped_to_nonsense() -> None:
    assert submission(torch.zeros(3), torch.ones(3), None, GradientSettings(clip=1.0)).equal(
        torch.zeros(3)
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": math.nan},
        {"weight_decay": -1.0},
        {"weight_decay": math.inf},
        {"clip": 0.0},
        {"clip": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        GradientSettings(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Schedule(0.1), {0: 0.1, 10_000: 0.1}),
        (Schedule(1.0, "inverse", r=100.0), {0: 1.0, 100: 0.5, 300: 0.25}),
        (
            Schedule(1.0, "step", milestones=(10, 20), factor=0.5),
            {0: 1.0, 9: 1.0, 10: 0.5, 19: 0.5, 20: 0.25, 999: 0.25},
        ),
        (Schedule(2.0, "cosine", steps=100), {0: 2.0, 50: 1.0, 100: 0.0, 500: 0.0}),
    ],
)
def test_rates(schedule: Schedule, rates: dict[int, float]) -> None:
    assert {step: schedule.at(step) for step in rates} == pytest.approx(rates)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"initial": 0.0}, "learning rate must be positive"),
        ({"initial": math.nan}, "learning rate"),
        ({"initial": 1.0, "shape": "cosin"}, "did you mean 'cosine'"),
        ({"initial": 1.0, "shape": "cosine"}, "needs steps"),
        ({"initial": 1.0, "shape": "step"}, "needs milestones"),
        ({"initial": 1.0, "shape": "step", "milestones": (5, 3)}, "rising"),
        ({"initial": 1.0, "shape": "step", "milestones": (-1, 3)}, "rising"),
        ({"initial": 1.0, "shape": "inverse", "r": 0.0}, "r of the inverse"),
    ],
)
def test_schedules_out_of_range_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Schedule(**values)  # type: ignore[arg-type]
