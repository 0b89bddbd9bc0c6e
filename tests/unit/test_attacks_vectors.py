"""The lies of one formula each, against twins in float64, and what they refuse."""

from typing import Any

import pytest
import torch
from torch import Tensor

from byzsgd.attacks import forge
from byzsgd.attacks.alie import z_max
from byzsgd.attacks.moments import spread
from byzsgd.errors import ConfigError


def rows(k: int = 9, d: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed)) + 0.5


def close(lie: Tensor, twin: Tensor) -> None:
    torch.testing.assert_close(lie.double(), twin, rtol=1e-5, atol=1e-6)


def test_each_formula_is_that_of_its_source() -> None:
    honest = rows()
    exact = honest.double()
    close(forge("reverse", honest), -100 * exact[0])
    close(forge("reverse", honest, factor=3), -3 * exact[0])
    close(forge("safeguard", honest), -0.4 * exact[0])
    close(forge("ipm", honest), -0.1 * exact.mean(0))
    close(forge("foe", honest, epsilon=1.5), -1.5 * exact.mean(0))
    assert torch.equal(forge("zero", honest), torch.zeros(40))
    assert torch.equal(forge("inf", honest), torch.full((40,), torch.inf))


@pytest.mark.parametrize("k", [1, 2, 9])
@pytest.mark.parametrize("d", [1, 40, 300_000])
def test_alie_with_the_deviation_of_a_sample(k: int, d: int) -> None:
    honest = rows(k, d)
    exact = honest.double()
    sigma = exact.std(0, correction=1) if k > 1 else torch.zeros(d, dtype=torch.float64)
    close(forge("alie", honest, z=1.5, deviation="sample"), exact.mean(0) - 1.5 * sigma)
    along = torch.zeros(k, dtype=torch.float64)
    spread(honest, sample=True, along=along)
    twin = (exact - exact.mean(0)) @ sigma
    torch.testing.assert_close(along, twin, rtol=1e-4, atol=1e-4 * d**0.5)


@pytest.mark.parametrize(
    ("n", "f", "paper", "code"),
    [(50, 24, 1.4261, 1.7507), (51, 12, 0.3612, 0.5994), (51, 24, 1.4461, 1.7599)],
)
def test_z_max_of_both_formulas_in_figures(n: int, f: int, paper: float, code: float) -> None:
    """Φ⁻¹ of 24/26 and 48/50, of 25/39 and 37/51, of 25/27 and 49/51, from a table."""
    assert z_max(n, f) == pytest.approx(paper, abs=2e-4)
    assert z_max(n, f, "code") == pytest.approx(code, abs=2e-4)


def test_noise_is_as_wide_as_asked_and_another_for_every_seed() -> None:
    honest = rows(1, 50_000)
    noise = forge("gaussian", honest, seed=3)
    assert float(noise.std()) == pytest.approx(200, rel=0.02)
    assert abs(float(noise.mean())) < 4
    assert torch.equal(noise, forge("gaussian", honest, seed=3))
    assert not torch.equal(noise, forge("gaussian", honest, seed=4))
    assert float(forge("gaussian", honest, sigma=2).std()) == pytest.approx(2, rel=0.02)


# -- mimic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_mimic_copies_the_extreme_of_the_top_principal_direction(seed: int) -> None:
    honest = rows(seed=seed)
    exact = honest.double() - honest.double().mean(0)
    top = torch.linalg.svd(exact, full_matrices=False).Vh[0]
    copied = forge("mimic", honest)
    assert torch.equal(copied, honest[int((exact @ top).abs().argmax())])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(copied, forge("mimic", honest[order])), "all liars copy the same one"


def test_mimic_of_a_given_row_counts_round() -> None:
    honest = rows()
    assert torch.equal(forge("mimic", honest, target=2), honest[2])
    assert torch.equal(forge("mimic", honest, target=11), honest[2])


def test_mimic_copies_nobody_who_sends_nan() -> None:
    honest = rows()
    honest[0], honest[4] = torch.nan, torch.inf
    assert forge("mimic", honest).isfinite().all()


# -- equivocate ----------------------------------------------------------------------------------


def test_two_camps_are_pulled_apart_in_one_direction() -> None:
    honest = rows()
    told = [
        forge("equivocate", honest, kind="camps", scale=2, receiver=k, run_seed=7, seed=k)
        for k in range(4)
    ]
    assert torch.equal(told[0], told[2])
    assert torch.equal(told[1], told[3])
    torch.testing.assert_close(told[0] + told[1], 2 * honest[0])
    away, length = told[0] - honest[0], float(honest[0].norm())
    assert float(away.norm()) == pytest.approx(2 * length, rel=0.4)
    other = forge("equivocate", rows(seed=5), kind="camps", run_seed=7) - rows(seed=5)[0]
    assert float(torch.cosine_similarity(away, other, dim=0)) > 0.9999, "at every step the same"


def test_all_but_one_victim_hear_the_truth() -> None:
    honest = rows()
    told = [forge("equivocate", honest, kind="victim", victim=1, receiver=k) for k in range(3)]
    assert torch.equal(told[0], honest[0])
    assert torch.equal(told[2], honest[0])
    assert not torch.equal(told[1], honest[0])
    told[0].zero_()
    assert honest[0].any(), "the truth as well is told in memory of its own"


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sign_flip", {"factor": "strong"}),
        ("sign_flip", {"factor": True}),
        ("reverse", {"factor": float("nan")}),
        ("scale", {"factor": None}),
        ("safeguard", {"factor": "auto"}),
        ("gaussian", {"sigma": -1}),
        ("alie", {"z": "big"}),
        ("alie", {"z": 1e39}),
        ("hidden_vulnerability", {"gamma": -1e39}),
        ("ipm", {"epsilon": 10**400}),
        ("alie", {"formula": "book"}),
        ("alie", {"deviation": 1}),
        ("ipm", {"epsilon": float("inf")}),
        ("mimic", {"target": -1}),
        ("mimic", {"target": "last"}),
        ("hidden_vulnerability", {"norm": 0.5}),
        ("hidden_vulnerability", {"norm": "two"}),
        ("hidden_vulnerability", {"coordinate": 1.5}),
        ("hidden_vulnerability", {"gamma": "much"}),
        ("hidden_vulnerability", {"against": "krumm"}),
        ("equivocate", {"kind": "camp"}),
        ("equivocate", {"victim": -1}),
        ("equivocate", {"scale": "1"}),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, options: dict[str, Any]) -> None:
    ((option, value),) = options.items()
    with pytest.raises(ConfigError) as caught:
        forge(name, rows(), n=13, f=4, **options)
    assert str(caught.value).startswith(f"{name}: {option} = {value!r}: ")


def test_of_two_liars_who_know_only_each_other_each_mimics_the_other() -> None:
    mine, theirs = torch.randn(2, 50, generator=torch.Generator().manual_seed(4))
    assert torch.equal(forge("mimic", torch.stack([mine, theirs])), theirs)
    assert torch.equal(forge("mimic", torch.stack([theirs, mine])), mine)
