"""The flat vector against torch itself, and what a gradient must never share or change."""

import hashlib
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from byzsgd.errors import ConfigError
from byzsgd.training.batches import batch_indices
from byzsgd.training.flat import FlatModel, flat_model, initial
from byzsgd.training.models import MODELS, model_builder
from byzsgd.training.partition import partition

IMAGE = (3, 32, 32)


def batch(shape: tuple[int, ...] = IMAGE, size: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    return (
        torch.randn(size, *shape, generator=random),
        torch.randint(10, (size,), generator=random),
    )


def random_params(flat: FlatModel) -> Tensor:
    return 0.1 * torch.randn(flat.dimension, generator=torch.Generator().manual_seed(9))


def ordinary_gradient(build: Callable[[], nn.Module], seed: int) -> tuple[Tensor, Tensor, float]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build()
    inputs, targets = batch()
    loss = cross_entropy(module(inputs), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = list(module.parameters())
    gradients = [torch.empty(0) if one.grad is None else one.grad for one in parameters]
    return (
        nn.utils.parameters_to_vector(parameters).detach(),
        nn.utils.parameters_to_vector(gradients),
        loss.item(),
    )


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn", "resnet20"])
def test_the_gradient_is_that_of_an_ordinary_module(name: str) -> None:
    build = model_builder(name, IMAGE, 10)
    params, expected, expected_loss = ordinary_gradient(build, seed=3)
    assert torch.equal(initial(build, 3), params)
    gradient, loss = flat_model(build).gradient(params, *batch(), cross_entropy)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx(expected_loss, rel=1e-5)


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    flat = flat_model(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    inputs, targets = torch.randn(6, 3), torch.randn(6, 1)
    params = random_params(flat)
    gradient, _ = flat.gradient(params, inputs, targets, mse_loss)
    step = 1e-2
    for index in range(flat.dimension):
        shift = torch.zeros(flat.dimension)
        shift[index] = step
        _, above = flat.gradient(params + shift, inputs, targets, mse_loss)
        _, below = flat.gradient(params - shift, inputs, targets, mse_loss)
        assert gradient[index].item() == pytest.approx((above - below) / (2 * step), abs=2e-3)


def test_a_gradient_is_fresh_and_params_are_only_viewed() -> None:
    flat = flat_model(model_builder("mlp", (1, 8, 8), 10))
    params, other = random_params(flat), -random_params(flat)
    untouched = params.clone()
    first, _ = flat.gradient(params, *batch((1, 8, 8)), cross_entropy)
    kept = first.clone()
    second, _ = flat.gradient(other, *batch((1, 8, 8)), cross_entropy)
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)
    assert torch.equal(params, untouched)
    second.zero_()
    first.zero_()
    assert torch.equal(params, untouched)
    assert not first.requires_grad
    assert first.is_contiguous()


def test_one_parameter_alone_still_gives_a_fresh_gradient() -> None:
    """With one piece nothing needs joining, and what torch hands out might be shared."""
    flat = flat_model(lambda: nn.Linear(3, 1, bias=False))
    inputs = torch.ones(1, 3)
    gradient, _ = flat.gradient(torch.zeros(3), inputs, torch.zeros(1), lambda y, _: y.sum())
    gradient.zero_()
    assert torch.equal(inputs, torch.ones(1, 3))


def test_params_may_be_memory_that_nobody_may_write() -> None:
    flat = flat_model(lambda: nn.Linear(4, 2))
    received = torch.frombuffer(bytearray(4 * flat.dimension + 4), dtype=torch.float32)[1:]
    gradient, loss = flat.gradient(received, torch.ones(3, 4), torch.zeros(3).long(), cross_entropy)
    assert loss == pytest.approx(0.6931, abs=1e-4)
    assert gradient.shape == (10,)
    assert not received.any()


def test_parameters_without_influence_have_gradient_zero() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.idle, self.used = nn.Linear(5, 5), nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)  # type: ignore[no-any-return]

    flat = flat_model(Half)
    gradient, _ = flat.gradient(
        torch.ones(33), torch.ones(1, 2), torch.zeros(1, 1), lambda y, _: y.sum()
    )
    assert gradient.tolist() == [0.0] * 30 + [1.0, 1.0, 1.0]


def test_tied_parameters_are_exchanged_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.up.weight = self.down.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.up(self.down(x))  # type: ignore[no-any-return]

    flat = flat_model(Tied)
    assert flat.dimension == 9
    copied = flat.module_at(torch.arange(9.0))
    assert len(list(copied.parameters())) == 1
    assert copied(torch.eye(3)).equal(
        (torch.arange(9.0).view(3, 3) @ torch.arange(9.0).view(3, 3)).T
    )


def test_module_at_is_independent_of_everything() -> None:
    flat = flat_model(model_builder("mlp", (1, 8, 8), 10))
    params = random_params(flat)
    module = flat.module_at(params)
    flat.gradient(-params, *batch((1, 8, 8)), cross_entropy)
    assert nn.utils.parameters_to_vector(module.parameters()).equal(params)
    assert not module.training
    kept = params.clone()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(params, kept)


def test_dropout_draws_from_the_given_seed() -> None:
    flat = flat_model(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 2)))
    params, inputs, targets = random_params(flat), torch.ones(2, 8), torch.zeros(2).long()

    def gradient(seed: int) -> Tensor:
        return flat.gradient(params, inputs, targets, cross_entropy, seed=seed)[0]

    before = torch.get_rng_state()
    assert torch.equal(gradient(1), gradient(1))
    assert not torch.equal(gradient(1), gradient(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_depends_on_its_seed_only_and_leaves_the_global_state() -> None:
    build = model_builder("cnn", (1, 8, 8), 10)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = initial(build, 7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, initial(build, 7))
    assert not torch.equal(first, initial(build, 8))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "1.running_mean.*GroupNorm"),
        (nn.ReLU, "ReLU has no parameters"),
        (lambda: nn.Linear(2, 2).double(), "weight is torch.float64"),
        (lambda: nn.Linear(2, 2).requires_grad_(False), "frozen"),
    ],
)
def test_modules_with_state_elsewhere_are_refused(
    build: Callable[[], nn.Module], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        FlatModel(build())


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("linear", (1, 28, 28), 7_850),
        ("mlp", (1, 28, 28), 79_510),
        ("mlp", (1, 8, 8), 7_510),
        ("cnn", (3, 32, 32), 1_756_426),
        ("cnn", (1, 28, 28), 79_754),
        ("cnn", (1, 8, 8), 3_658),
        ("resnet20", (3, 32, 32), 269_722),
    ],
)
def test_parameter_counts(name: str, shape: tuple[int, ...], count: int) -> None:
    assert flat_model(model_builder(name, shape, 10)).dimension == count


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 13, 9)])
def test_every_model_takes_every_image_and_separates_examples(
    name: str, shape: tuple[int, ...]
) -> None:
    module = flat_model(model_builder(name, shape, 7)).module_at(
        initial(model_builder(name, shape, 7), 1)
    )
    outputs = module(batch(shape, size=3)[0])
    assert outputs.shape == (3, 7)
    assert len(outputs.detach().unique(dim=0)) == 3


def test_models_for_images_refuse_features() -> None:
    with pytest.raises(ConfigError, match=r"needs images \(C, H, W\)"):
        model_builder("cnn", (20,), 2)()
    assert model_builder("mlp", (20,), 2)()(torch.zeros(1, 20)).shape == (1, 2)


def digest_of_draws() -> str:
    targets = torch.arange(500) % 10
    ways = [("iid", worker) for worker in range(7)] + [("dirichlet", worker) for worker in range(7)]
    parts = [partition(targets, 7, worker, 3, how, 0.3) for how, worker in ways]
    draws = [batch_indices(3, worker, step, 500, 32) for worker in range(3) for step in range(3)]
    start = initial(model_builder("resnet20", (1, 8, 8), 10), 3)
    everything = [one.numpy().tobytes() for one in [*parts, *draws, start]]
    return hashlib.sha256(b"".join(everything)).hexdigest()


def test_a_fresh_process_draws_the_same() -> None:
    """In ours, other tests have drawn from the global states, and `hash()` has another seed."""
    fresh = subprocess.run(
        [sys.executable, "-c", f"import {__name__} as here; print(here.digest_of_draws())"],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert fresh.stdout.strip() == digest_of_draws()
