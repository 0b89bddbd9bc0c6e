"""Every attack against a twin in plain numbers, and what `forge` says to a mistake."""

import math
from statistics import NormalDist, fmean, pstdev
from typing import Any

import pytest
import torch
from torch import Tensor

from byzsgd.attacks import ATTACKS, Attack, Setting, forge, resolve
from byzsgd.attacks.alie import z_max
from byzsgd.attacks.registry import GRADIENTS
from byzsgd.errors import ConfigError

SHAPES = [(1, 1), (1, 7), (5, 1), (12, 33)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
OPTIONS = {"n": 50, "f": 24}
FORGING = sorted(["equivocate", *(attack.name for attack in GRADIENTS)])


def honest(shape: tuple[int, int] = (12, 33), dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(shape[0] * 100 + shape[1])
    return (torch.randn(shape, generator=generator) + 0.5).to(dtype)


def close(lie: Tensor, expected: list[float]) -> None:
    eps = torch.finfo(lie.dtype).eps
    twin = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(lie.double(), twin, rtol=8 * eps, atol=16 * eps)


# -- against twins -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("factor", [1.0, 0.0, 2.5, -1.0])
def test_sign_flip_points_back(shape: tuple[int, int], dtype: torch.dtype, factor: float) -> None:
    vectors = honest(shape, dtype)
    lie = forge("sign_flip", vectors, factor=factor)
    close(lie, [-factor * value for value in vectors[0].double().tolist()])


def test_sign_flip_takes_the_liars_own_vector_as_it_is() -> None:
    assert torch.equal(forge("sign_flip", honest()), -honest()[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("factor", [None, 1.0, 0.0, -2.5])
def test_scale_makes_the_liars_own_vector_longer(dtype: torch.dtype, factor: float | None) -> None:
    vectors = honest(dtype=dtype)
    options: dict[str, Any] = {} if factor is None else {"factor": factor}
    lie = forge("scaled", vectors, **options)
    times = 10.0 if factor is None else factor
    close(lie, [times * value for value in vectors[0].double().tolist()])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nan_is_nan_everywhere(shape: tuple[int, int], dtype: torch.dtype) -> None:
    lie = forge("nan", honest(shape, dtype))
    assert lie.shape == shape[1:]
    assert lie.isnan().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("z", [None, "auto", 0.0, 1.5, -2, 3])
def test_alie_is_the_mean_less_z_deviations(
    shape: tuple[int, int], dtype: torch.dtype, z: float | str | None
) -> None:
    vectors = honest(shape, dtype)
    lie = forge("alie", vectors, **OPTIONS, z=z)
    strength = NormalDist().inv_cdf(24 / 26) if z in (None, "auto") else float(z)
    columns = vectors.double().T.tolist()
    close(lie, [fmean(column) - strength * pstdev(column) for column in columns])


def test_alie_of_equal_vectors_is_that_vector() -> None:
    vectors = honest()[:1].expand(6, -1)
    torch.testing.assert_close(forge("alie", vectors, **OPTIONS), vectors[0])


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6, 1e15])
def test_alie_holds_at_every_size(size: float) -> None:
    vectors = honest() * size
    lie = forge("alie", vectors, z=1.5)
    columns = vectors.double().T.tolist()
    expected = torch.tensor([fmean(column) - 1.5 * pstdev(column) for column in columns])
    torch.testing.assert_close(lie / size, expected / size, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 2000), (4, 2000)], ids=str)
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
def test_equivocate_adds_noise_as_long_as_scale_times_the_vector(
    shape: tuple[int, int], dtype: torch.dtype, scale: float
) -> None:
    vectors = honest(shape, dtype)
    noise = (forge("equivocate", vectors, scale=scale) - vectors[0]).double()
    expected = scale * float(torch.linalg.vector_norm(vectors[0].double()))
    assert float(torch.linalg.vector_norm(noise)) == pytest.approx(expected, rel=0.1)
    assert abs(float(noise.mean())) <= 0.1 * scale


def test_equivocate_says_something_else_for_every_seed_and_the_same_for_one() -> None:
    lies = [forge("equivocate", honest(), seed=seed) for seed in (0, 1, 2, 1 << 31)]
    for index, lie in enumerate(lies):
        assert not any(torch.equal(lie, other) for other in lies[:index])
    assert torch.equal(forge("equivocate", honest(), seed=2), lies[2])
    assert torch.equal(forge("equivocate", honest()), lies[0])


# -- how strong alie is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "f", "share"),
    [
        (50, 24, 24 / 26),
        (51, 12, 25 / 39),
        (51, 24, 25 / 27),
        (25, 11, 12 / 14),
        (25, 5, 12 / 20),
        (7, 2, 3 / 5),
        (5, 1, 2 / 4),
        (3, 1, 1 / 2),
        (3, 0, 1 / 3),
        (10, 0, 4 / 10),
    ],
)
def test_z_max_is_that_of_the_paper(n: int, f: int, share: float) -> None:
    assert z_max(n, f) == pytest.approx(NormalDist().inv_cdf(share), abs=1e-12)


def test_z_max_in_figures() -> None:
    """From a table of the normal distribution: Φ(1.43) = 0.9236, Φ(0.36) = 0.6406."""
    assert round(z_max(50, 24), 2) == 1.43
    assert round(z_max(51, 12), 2) == 0.36


@pytest.mark.parametrize("n", range(3, 60))
def test_z_max_is_finite_and_grows_with_the_liars(n: int) -> None:
    strengths = [z_max(n, f) for f in range(n)]
    assert all(map(math.isfinite, strengths))
    minority = strengths[: n // 2 + 1]
    assert minority == sorted(minority)


@pytest.mark.parametrize(("n", "f"), [(0, 0), (2, 1), (2, 0), (5, 5), (5, 6), (5, -1), (-3, -4)])
def test_z_max_refuses_what_is_no_cluster(n: int, f: int) -> None:
    with pytest.raises(ConfigError, match=f"n = {n}, f = {f}"):
        z_max(n, f)


# -- what holds for all --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORGING)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_lie_is_fresh_of_the_same_type_and_changes_nothing(name: str, dtype: torch.dtype) -> None:
    vectors = honest(dtype=dtype)
    before, state = vectors.clone(), torch.get_rng_state()
    lie = forge(name, vectors, **OPTIONS)
    assert (lie.shape, lie.dtype, lie.is_contiguous()) == (vectors.shape[1:], dtype, True)
    again = forge(name, vectors, **OPTIONS)
    assert torch.equal(lie.nan_to_num(), again.nan_to_num())
    lie.zero_()
    assert torch.equal(vectors, before)
    assert torch.equal(torch.get_rng_state(), state), "torch's own random numbers are not ours"


@pytest.mark.parametrize("name", FORGING)
def test_a_lie_of_rows_with_gaps_between_them(name: str) -> None:
    wide = honest((6, 40))
    lie = forge(name, wide[::2, ::2], **OPTIONS)
    expected = forge(name, wide[::2, ::2].contiguous(), **OPTIONS)
    torch.testing.assert_close(lie, expected, equal_nan=True)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_has_its_name_and_says_what_it_does(name: str) -> None:
    attack = ATTACKS[name]
    assert attack.name == name
    assert resolve(name) is attack
    assert attack.summary
    for alias in attack.aliases:
        assert resolve(alias) is attack
        assert alias not in ATTACKS


def test_options_are_what_an_experiment_may_set() -> None:
    assert {name: ATTACKS[name].options for name in FORGING} == {
        "alie": ("z", "formula", "deviation"),
        "equivocate": ("scale", "kind", "victim"),
        "gaussian": ("sigma",),
        "hidden_vulnerability": ("norm", "coordinate", "gamma", "against"),
        "inf": (),
        "ipm": ("epsilon",),
        "mimic": ("target",),
        "nan": (),
        "reverse": ("factor",),
        "safeguard": ("factor",),
        "scale": ("factor",),
        "sign_flip": ("factor",),
        "zero": (),
    }


def test_those_who_use_the_vectors_of_others_say_so() -> None:
    collude = {attack.name for attack in GRADIENTS if attack.colludes}
    assert collude == {"alie", "ipm", "mimic", "hidden_vulnerability"}
    assert resolve("sign_flip").conspires({"factor": "auto"})
    assert not resolve("sign_flip").conspires({"factor": 2})


def test_the_setting_gives_an_attack_only_what_it_asks_for() -> None:
    asked: dict[str, int] = {}

    def curious(honest: Tensor, *, f: int, seed: int, more: int = 1) -> Tensor:
        asked.update(f=f, seed=seed, more=more)
        return honest[0]

    attack = Attack("curious", "asks", curious)
    attack.lie(honest(), Setting(n=9, f=2, seed=7), {"more": 3})
    assert asked == {"f": 2, "seed": 7, "more": 3}
    assert attack.options == ("more",)


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"), [("alei", "alie"), ("signflip", "sign_flip"), ("equivocat", "equivocate")]
)
def test_an_unknown_attack_is_named_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        forge(name, honest())
    assert f"unknown attack {name!r}; did you mean {near!r}?" in str(caught.value)
    assert all(known in str(caught.value) for known in ATTACKS)


@pytest.mark.parametrize(
    ("name", "option"), [("sign_flip", "facotr"), ("nan", "factor"), ("alie", "zz")]
)
def test_an_unknown_option_is_named(name: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown option of attack {name} '{option}'"):
        forge(name, honest(), **OPTIONS, **{option: 1})


def test_mute_has_no_vector_to_forge() -> None:
    with pytest.raises(ConfigError, match="no vector to forge"):
        forge("mute", honest())


@pytest.mark.parametrize(
    "given",
    [
        torch.zeros(3),
        torch.zeros(0, 3),
        torch.zeros(2, 2, 2),
        torch.tensor(1.0),
        torch.zeros(2, 3, dtype=torch.int64),
        torch.zeros(2, 3, dtype=torch.bool),
        torch.zeros(2, 3, dtype=torch.complex64),
    ],
    ids=lambda given: f"{given.dtype} {tuple(given.shape)}",
)
@pytest.mark.parametrize("name", FORGING)
def test_other_shapes_and_types_are_refused(name: str, given: Tensor) -> None:
    with pytest.raises(ConfigError, match=f"attack {name!r} needs floating-point vectors"):
        forge(name, given, **OPTIONS)


def test_alie_says_what_it_must_be_told() -> None:
    with pytest.raises(ConfigError, match="give n ≥ 3 nodes"):
        forge("alie", honest())
    assert forge("alie", honest(), z=1.5).isfinite().all(), "with z it needs neither"


@pytest.mark.parametrize(
    ("name", "options"),
    [("alie", {"z": "strong"}), ("sign_flip", {"factor": "2"}), ("equivocate", {"scale": None})],
)
def test_an_option_of_the_wrong_kind_is_an_error(name: str, options: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, TypeError, ValueError)):
        forge(name, honest(), **options)
