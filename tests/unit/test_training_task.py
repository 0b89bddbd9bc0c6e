"""Tasks by name, one's own tasks and models, and that training learns."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from byzsgd.errors import ConfigError
from byzsgd.training import TASKS, Examples, Task, load_task
from byzsgd.training.batches import batch_indices
from byzsgd.training.evaluate import BATCH, evaluate
from byzsgd.training.flat import flat_model, initial
from byzsgd.training.gradient import GradientSettings, submission

OWN = """
import torch
from torch import nn
from byzsgd.training import Examples, Task

def mine():
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(1))
    y = (x.sum(dim=1) > 0).long()
    build = lambda: nn.Linear(20, 2)
    loss = nn.functional.cross_entropy
    return Task("mine", build, loss, Examples(x[:40], y[:40]), Examples(x[40:], y[40:]))

def wide(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(20, classes))
def plain(): return nn.Linear(20, 2)
def three(a, b, c): return nn.Linear(20, 2)
def batch_norm(): return nn.Sequential(nn.BatchNorm1d(20), nn.Linear(20, 2))
def narrow(): return nn.Linear(19, 2)
def nothing(): return None
def broken(): raise RuntimeError("no disk today")
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory, under a name that no other test imports."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [one for one in sys.path if one])
    return name


def test_an_own_task_is_found_in_the_current_directory(own: str) -> None:
    task = load_task(f"{own}:mine")
    assert task.name == "mine"
    flat = flat_model(task.model)
    assert flat.dimension == 42
    metric, _ = evaluate(task, flat, torch.ones(42))
    assert 0 <= metric <= 1


@pytest.mark.parametrize(("model", "dimension"), [("wide", 42), ("plain", 42)])
def test_an_own_model_takes_nothing_or_the_shape(own: str, model: str, dimension: int) -> None:
    task = load_task(f"{own}:mine", model=f"{own}:{model}")
    assert flat_model(task.model).dimension == dimension
    assert flat_model(load_task(f"{own}:mine", model="mlp").model).dimension == 2_302


@pytest.mark.parametrize(
    ("task", "model", "words"),
    [
        ("{}:nothing", None, "returned NoneType, not a byzsgd.training.task.Task"),
        ("{}:broken", None, "raised RuntimeError: no disk today"),
        ("{}:number", None, "is int, not a function"),
        ("{}:absent", None, "there is no 'absent' in .*own_"),
        ("no_such_module:mine", None, "cannot import 'no_such_module' .*ModuleNotFoundError"),
        ("{}:", None, "not of the form package.module:function"),
        (":mine", None, "not of the form package.module:function"),
        ("{}:mine", "{}:nothing", "returned NoneType, not a torch.nn.Module"),
        ("{}:mine", "{}:batch_norm", "GroupNorm"),
        ("{}:mine", "{}:narrow", r"cannot take a step on inputs of shape \(20,\)"),
        ("{}:mine", "{}:three", "three"),
        ("{}:mine", "cnn", "needs images"),
        ("{}:mine", "mpl", "unknown model 'mpl'; did you mean 'mlp'"),
        ("digit", None, "unknown task 'digit'; did you mean 'digits'"),
    ],
)
def test_what_cannot_be_used_is_said(own: str, task: str, model: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_task(task.format(own), model=model and model.format(own))


def test_a_file_that_cannot_be_read_is_the_experimenters_fault(own: str) -> None:
    Path(f"{own}_bad.py").write_text("def mine(:\n")
    with pytest.raises(ConfigError, match="SyntaxError"):
        load_task(f"{own}_bad:mine")


def test_missing_data_is_said(tmp_path: Path) -> None:
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(ConfigError, match="BYZSGD_DATA"):
            load_task(name, data_dir=tmp_path)


def test_loading_leaves_the_global_random_state() -> None:
    before = torch.get_rng_state()
    load_task("digits", model="resnet20")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_task_has_a_name_that_finds_it() -> None:
    assert list(TASKS) == ["digits", "mnist", "fashion_mnist", "cifar10"]


def test_evaluation_counts_every_example_once_in_evaluation_mode() -> None:
    size = 2 * BATCH + 7  # the last batch is short
    inputs = torch.randn(size, 4, generator=torch.Generator().manual_seed(3))
    targets = torch.arange(size) % 2
    examples = Examples(inputs, targets)
    task = Task(
        "own",
        lambda: nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5)),
        nn.functional.cross_entropy,
        examples,
        examples,
    )
    flat = flat_model(task.model)
    params = initial(task.model, 1)
    weight, bias = params[:8].view(2, 4), params[8:]
    outputs = inputs @ weight.T + bias
    expected = (outputs.argmax(dim=1) == targets).float().mean().item()
    expected_loss = nn.functional.cross_entropy(outputs, targets).item()
    assert evaluate(task, flat, params) == pytest.approx((expected, expected_loss), rel=1e-4)
    regression = replace(task, metric=lambda outputs, targets: 0.25)
    assert evaluate(regression, flat, params)[0] == pytest.approx(0.25)


def test_digits_learn() -> None:
    """Measured on 24 seeds: 0.953 to 0.978 after 300 steps, 0.970 in the mean."""
    task, settings = load_task("digits"), GradientSettings(momentum=0.9)
    flat, params, last = flat_model(task.model), initial(task.model, 0), None
    for step in range(300):
        chosen = batch_indices(0, 0, step, len(task.training), 32)
        gradient, _ = flat.gradient(params, *task.training.batch(chosen), task.loss)
        last = submission(gradient, params, last, settings)
        params = params - 0.1 * last
    metric, loss = evaluate(task, flat, params)
    assert metric >= 0.95
    assert loss < 0.3
