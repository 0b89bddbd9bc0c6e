"""Strength "auto": the search in Gram space against the rules themselves on whole vectors."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from byzsgd.aggregators import AGGREGATORS, Rule, configured
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Choice
from byzsgd.attacks import forge
from byzsgd.attacks.alie import z_max
from byzsgd.attacks.defence import Defence
from byzsgd.attacks.geometry import Line
from byzsgd.attacks.strength import DOUBLINGS, displacement, strongest
from byzsgd.errors import ConfigError

N, F = 23, 5
"""As many as Bulyan needs."""
RULES = [
    *AGGREGATORS.values(),
    configured("mda", pre=["nnm"]),
    configured("median", pre=["nnm"]),
    configured("krum", pre=["clipping"]),
    configured("mda", pre=[{"name": "clipping", "threshold": 3.0}]),
    configured("bulyan", base="mda"),
    configured("bulyan", variant="aggregathor"),
]
LINES = {
    "alie": ("z", z_max(N, F), 1.0),
    "ipm": ("epsilon", 0.1, 0.5),
    "sign_flip": ("factor", 1.0, 1.0),
    "reverse": ("factor", 100.0, 100.0),
    "scale": ("factor", 10.0, 10.0),
}
"""The option, the attack's default, and about what the search goes."""


def rows(k: int = N - F, d: int = 60, seed: int = 0) -> Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed)) + 0.3


def name_of(rule: Rule) -> str:
    return rule.name + "".join(f" {value}" for value in rule.options.values())


def really_moved(rule: Rule, honest: Tensor, lie: Tensor, f: int = F) -> float:
    """By the whole rule on whole vectors."""
    aggregate = rule(torch.cat([honest, lie.expand(f, -1)]), f)
    return float((aggregate.double() - honest.double().mean(0)).norm())


@pytest.mark.parametrize("rule", RULES, ids=name_of)
@pytest.mark.parametrize("x", [0.0, 0.3, 1.2, 4.0, -2.0, 50.0])
def test_how_far_an_aggregate_moves_is_known_without_aggregating(rule: Rule, x: float) -> None:
    honest = rows()
    mean = honest.mean(0)
    defence = Defence.of(rule, len(honest), N, F, None)
    assert defence == Defence(rule, F, F)
    for base, direction in ((mean, honest.std(0)), (honest[1] * 0.2, -honest[0])):
        line = Line(direction, None if base is mean else base)
        moved = displacement(honest, mean, line, defence)
        twin = really_moved(rule, honest, base + x * direction)
        assert moved(x) == pytest.approx(twin, rel=2e-4, abs=1e-4)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
@pytest.mark.parametrize("attack", LINES)
@pytest.mark.parametrize("seed", [1, 2])
def test_auto_is_at_least_as_strong_as_any_strength_tried(
    rule: Rule, attack: str, seed: int
) -> None:
    honest = rows(seed=seed)
    option, default, usual = LINES[attack]

    def moved(strength: float | str) -> float:
        options: dict[str, Any] = {option: strength}
        lie = forge(attack, honest, n=N, f=F, rule=rule, **options)
        return really_moved(rule, honest, lie)

    fixed = [moved(x) for x in (default, *(usual * 2.0**power for power in DOUBLINGS))]
    assert moved("auto") >= max(fixed) * 0.999


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "bulyan", "geometric_median", "phocas"])
def test_of_many_coordinates_some_are_enough(name: str) -> None:
    honest, rule = rows(d=20_000), AGGREGATORS[name]
    mean, sigma = honest.mean(0), honest.std(0)
    defence = Defence.of(rule, len(honest), N, F, None)
    assert defence is not None
    for x in (0.5, 2.0, 8.0):
        twin = really_moved(rule, honest, mean - x * sigma)
        assert displacement(honest, mean, Line(sigma), defence)(-x) == pytest.approx(
            twin, rel=0.1, abs=1e-3
        )


@pytest.mark.parametrize("name", ["krum", "mda", "bulyan"])
def test_vectors_far_from_the_origin_and_near_one_another(name: str) -> None:
    """As models are: what they differ by is a thousandth of what they are."""
    honest, found = rows(d=2000, seed=3), []
    for moved in (honest, honest + 1000.0):
        lie = forge("alie", moved, n=N, f=F, rule=name, z="auto")
        found.append(float(((moved.mean(0) - lie) / moved.std(0, correction=0)).median()))
    assert found[1] == pytest.approx(found[0], rel=0.05)


@pytest.mark.parametrize("name", ["krum", "multi_krum", "mda", "bulyan", "median", "trimmed_mean"])
@pytest.mark.parametrize("pre", [[], ["nnm"]])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_dense_search_finds_hardly_more(name: str, pre: list[str], seed: int) -> None:
    honest = rows(d=500, seed=seed)
    mean, line = honest.mean(0), Line(honest.std(0))
    defence = Defence.of(configured(name, pre=pre), len(honest), N, F, None)
    assert defence is not None
    moved = displacement(honest, mean, line, defence)
    found = strongest(honest, mean, line, defence, default=-1.0, usual=-1.0)
    dense = max(moved(-(2.0 ** (k / 50 - 3))) for k in range(7 * 50))
    assert moved(found) > 0.98 * dense


def test_a_search_has_few_evaluations() -> None:
    asked = 0

    def choose(rows: Rows, f: int) -> Choice:
        nonlocal asked
        asked += 1
        krum = AGGREGATORS["krum"]
        assert krum.choose is not None
        return krum.choose(rows, f)

    counting, honest = replace(AGGREGATORS["krum"], choose=choose), rows()
    defence = Defence.of(counting, len(honest), N, F, None)
    mean, sigma = honest.mean(0), honest.std(0)
    strongest(honest, mean, Line(sigma), defence, default=-1.0, usual=-1.0)
    assert 10 <= asked <= 18


# -- where nothing can be played through ---------------------------------------------------------


@pytest.mark.parametrize("attack", LINES)
@pytest.mark.parametrize("rule", [None, "krum", "median"])
def test_who_knows_too_little_takes_the_usual_strength(attack: str, rule: str | None) -> None:
    """No rule, or one vector alone; or another liar's NaN."""
    option, _, _ = LINES[attack]
    few = rows(1) if rule else rows()
    lie = forge(attack, few, n=N, f=F, rule=rule, **{option: "auto"})
    assert torch.equal(lie, forge(attack, few, n=N, f=F))
    broken = rows()
    broken[3, 5] = torch.nan
    lie = forge(attack, broken, n=N, f=F, rule=rule, **{option: "auto"})
    torch.testing.assert_close(lie, forge(attack, broken, n=N, f=F), equal_nan=True)


def test_a_defence_shrinks_with_what_is_known() -> None:
    krum, mda = AGGREGATORS["krum"], AGGREGATORS["mda"]
    assert Defence.of(krum, 39, 51, 12, None) == Defence(krum, 12, 12)
    assert Defence.of(krum, 13, 51, 12, None) == Defence(krum, 4, 4)
    assert Defence.of(krum, 39, 51, 12, 3) == Defence(krum, 12, 3)
    assert Defence.of(mda, 2, 7, 2, None) == Defence(mda, 1, 1)
    assert Defence.of(mda, 5, 7, 2, 0) == Defence(mda, 2, 0), "a rule that was told of no liars"
    assert Defence.of(krum, 39, 51, 12, None, 51) == Defence(krum, 12, 12)
    assert Defence.of(krum, 39, 51, 12, None, 38) == Defence(krum, 18, 18), "a third of 38 lie"
    assert Defence.of(krum, 39, 51, 12, 6, 38) == Defence(krum, 18, 9)
    assert Defence.of(krum, 13, 51, 12, None, 38) == Defence(krum, 6, 6)
    assert Defence.of(krum, 2, 7, 2, None) is None
    assert Defence.of(AGGREGATORS["bulyan"], 8, 11, 3, None) == Defence(AGGREGATORS["bulyan"], 3, 2)
    assert Defence.of(None, 5, 7, 2, None) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_knows_how_many_words_are_awaited_moves_the_rule_farther(seed: int) -> None:
    """Of 15 of the 23 words 5 are lies, which is more than of all."""
    honest, median = rows(seed=seed), AGGREGATORS["median"]
    moved = []
    for awaited in (N, 3 * F):
        lie = forge("alie", honest, n=N, f=F, rule=median, awaited=awaited, z="auto")
        moved.append(really_moved(median, honest[: 2 * F], lie))
    assert moved[1] > moved[0]


def test_auto_wants_to_know_how_many_there_are() -> None:
    with pytest.raises(ConfigError, match="give n nodes"):
        forge("sign_flip", rows(), factor="auto", rule="krum")
