"""Gradients of many workers at once, against the plain loop."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from byzsgd.training.crew import Crew
from byzsgd.training.examples import Examples
from byzsgd.training.flat import flat_model
from byzsgd.training.kinds import prefers_channels_last
from byzsgd.training.models import model_builder
from byzsgd.training.stacked import stacked
from byzsgd.training.task import Task
from byzsgd.training.together import Asked, Computed, Gradients, gradients_of

IMAGE, CLASSES = (1, 8, 8), 10


class Own(nn.Module):
    """A model as users write them: `view` needs its inputs side by side in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(256, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        return self.out(x.view(len(x), -1))  # type: ignore[no-any-return]


class Moody(nn.Module):
    """Draws random numbers for some inputs only."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if float(x.sum()) > 0:
            x = x + torch.rand(64)
        return self.out(x)  # type: ignore[no-any-return]


def task_of(build: Callable[[], nn.Module], loss: Any = cross_entropy, size: int = 60) -> Task:
    random = torch.Generator().manual_seed(4)
    inputs = torch.randn(size, *IMAGE, generator=random)
    targets = torch.randint(CLASSES, (size,), generator=random)
    examples = Examples(inputs, targets)
    return Task("some", build, loss, examples, examples)


def questions(task: Task, count: int = 13, batch: int = 5) -> list[Asked]:
    start = flat_model(task.model).vector()
    asked = []
    for worker in range(count):
        random = torch.Generator().manual_seed(worker)
        params = start + 0.1 * torch.randn(len(start), generator=random)
        drawn = torch.randint(len(task.training), (batch,), generator=random)
        asked.append(Asked(params, *task.training.batch(drawn), worker))
    return asked


def one_by_one(task: Task, asked: Sequence[Asked]) -> list[Computed]:
    flat = flat_model(task.model)
    return [
        flat.gradient(one.params, one.inputs, one.targets, task.loss, one.seed) for one in asked
    ]


def together(task: Task, how: Any = "auto", threads: int | None = 2) -> Gradients:
    return gradients_of(task, flat_model(task.model), how, threads)


def assert_equal(some: Sequence[Computed], others: Sequence[Computed]) -> None:
    assert len(some) == len(others)
    for (gradient, loss), (expected, expected_loss) in zip(some, others, strict=True):
        assert torch.equal(gradient, expected)
        assert loss == expected_loss


def assert_close(some: Sequence[Computed], others: Sequence[Computed]) -> None:
    assert len(some) == len(others)
    for (gradient, loss), (expected, expected_loss) in zip(some, others, strict=True):
        assert gradient.shape == expected.shape
        assert gradient.dtype == torch.float32
        assert float((gradient - expected).norm()) <= 1e-5 * float(expected.norm())
        assert loss == pytest.approx(expected_loss, rel=1e-5)


def named(name: str) -> Callable[[], nn.Module]:
    return model_builder(name, IMAGE, CLASSES)


def chain(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Flatten(), *layers)


DROPPING = chain(nn.Dropout(0.5), nn.Linear(64, CLASSES))
CHAINS: dict[str, Callable[[], nn.Module]] = {
    "linear": named("linear"),
    "mlp": named("mlp"),
    "unbiased": chain(nn.Linear(64, 7, bias=False), nn.Tanh(), nn.Linear(7, CLASSES)),
    "nested": chain(nn.Sequential(nn.Linear(64, 9), nn.GELU()), nn.Identity(), nn.Linear(9, 10)),
    "normed": chain(
        nn.LayerNorm(64), nn.Linear(64, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 10)
    ),
    "normed, no bias": chain(nn.LayerNorm(64, bias=False), nn.Linear(64, CLASSES)),
    "normed, no numbers": chain(nn.LayerNorm(64, elementwise_affine=False), nn.Linear(64, CLASSES)),
    "rows of images": lambda: nn.Sequential(nn.Linear(8, 3), nn.Flatten(), nn.Linear(24, CLASSES)),
    "norm of images": lambda: nn.Sequential(nn.LayerNorm((8, 8)), nn.Flatten(), nn.Linear(64, 10)),
    "in place": chain(nn.Linear(64, 6), nn.ReLU(inplace=True), nn.Linear(6, CLASSES)),
    "no dropout": chain(nn.Dropout(0.0), nn.Linear(64, CLASSES)),
    "dim by dim": lambda: nn.Sequential(nn.Flatten(2), nn.Flatten(1, 2), nn.Linear(64, CLASSES)),
}
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "cnn": named("cnn"),
    "resnet20": named("resnet20"),
    "own": Own,
    "softmax over classes": chain(nn.Linear(64, CLASSES), nn.Softmax(dim=1)),
}


# --- against the loop -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5, 32])
@pytest.mark.parametrize("name", CHAINS)
def test_stacks_compute_what_the_loop_does_up_to_rounding(name: str, batch: int) -> None:
    task = task_of(CHAINS[name])
    asked = questions(task, batch=batch)
    compute = together(task)
    assert compute.how == "stacked"
    assert_close(compute(asked), one_by_one(task, asked))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", OTHERS)
def test_threads_compute_what_the_loop_does_bit_by_bit(name: str, threads: int) -> None:
    task = task_of(OTHERS[name])
    asked = questions(task)
    compute = together(task, threads=threads)
    assert compute.how == "threads"
    for _ in range(2):
        assert_equal(compute(asked), one_by_one(task, asked))


@pytest.mark.parametrize("name", [*CHAINS, *OTHERS])
def test_threads_and_the_loop_may_be_asked_for(name: str) -> None:
    task = task_of((CHAINS | OTHERS)[name])
    asked = questions(task, count=5)
    for how in ("threads", "loop"):
        compute = together(task, how)
        assert compute.how == how
        assert_equal(compute(asked), one_by_one(task, asked))


def test_what_cannot_be_stacked_is_not() -> None:
    assert together(task_of(OTHERS["own"]), "stacked").how == "threads"


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet20"])
def test_results_are_the_same_again_whatever_the_number_of_threads(name: str) -> None:
    task = task_of(named(name))
    asked = questions(task, count=40)
    first = together(task, threads=1)(asked)
    for threads in (2, 3):
        compute = together(task, threads=threads)
        for _ in range(3):
            assert_equal(compute(asked), first)


def test_stacks_that_are_computed_at_the_same_time_do_not_meet() -> None:
    meet = threading.Barrier(2, timeout=30)

    def in_step(outputs: Tensor, targets: Tensor) -> Tensor:
        if len(meeting):
            meet.wait()  # both stacks are under way
        return cross_entropy(outputs, targets)

    meeting: list[bool] = []
    task = task_of(named("mlp"), in_step)
    asked = questions(task, count=40)
    expected = one_by_one(task, asked)
    compute = together(task)
    meeting.append(True)
    assert_close(compute(asked), expected)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_who_else_is_asked_about_matters_at_most_for_the_rounding(name: str) -> None:
    task = task_of(named(name))
    asked = questions(task, count=40)
    compute = together(task)
    everything = compute(asked)
    for left_out in (0, 17, 39):
        rest = compute(asked[:left_out] + asked[left_out + 1 :])
        assert_close(rest, everything[:left_out] + everything[left_out + 1 :])
    assert_close(compute(asked[::-1]), everything[::-1])


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_one_gradient_and_none(name: str) -> None:
    task = task_of(named(name))
    asked = questions(task, count=1)
    compute = together(task)
    assert compute([]) == []
    assert_close(compute(asked), one_by_one(task, asked))


def test_batches_of_unequal_shape_are_computed_all_the_same() -> None:
    task = task_of(named("mlp"))
    asked = questions(task, count=3) + questions(task, count=2, batch=7)
    assert_equal(together(task)(asked), one_by_one(task, asked))


def test_the_same_parameters_may_be_asked_about_several_times() -> None:
    """As in a step without liars or noise, where all workers have one model."""
    task = task_of(named("mlp"))
    asked = [one._replace(params=questions(task)[0].params) for one in questions(task)]
    assert_close(together(task)(asked), one_by_one(task, asked))


# --- losses ---------------------------------------------------------------------------------------


def own_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.gather(1, targets.unsqueeze(1)).exp().mean() + outputs.view(-1).std()


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (own_loss, None),
        (lambda y, _: y.sum().reshape(1), None),
        (mse_loss, torch.randn(60, CLASSES)),
        (cross_entropy, torch.rand(60, CLASSES).softmax(dim=1)),
        (cross_entropy, (torch.arange(60) % 11 - 1).where(torch.arange(60) % 11 > 0, -100)),
        (lambda y, t: cross_entropy(y, t, ignore_index=-1), torch.arange(60) % 11 - 1),
    ],
)
def test_any_loss_will_do(loss: Any, targets: Tensor | None) -> None:
    task = task_of(named("mlp"), loss)
    if targets is not None:
        examples = replace(task.training, targets=targets)
        task = replace(task, training=examples)
    asked = questions(task, batch=6)
    compute = together(task)
    assert compute.how == "stacked"
    assert_close(compute(asked), one_by_one(task, asked))


def test_a_broken_worker_breaks_nobody_else() -> None:
    task = task_of(named("mlp"))
    asked = questions(task, count=6)
    asked[2] = asked[2]._replace(params=torch.full_like(asked[2].params, torch.nan))
    computed = together(task)(asked)
    assert computed[2][0].isnan().any()
    rest = [0, 1, 3, 4, 5]
    assert_close([computed[k] for k in rest], one_by_one(task, [asked[k] for k in rest]))


# --- random numbers -------------------------------------------------------------------------------


def test_a_model_that_draws_gets_the_numbers_of_its_seeds() -> None:
    task = task_of(DROPPING)
    asked = questions(task)
    compute = together(task)
    assert compute.how == "loop"
    assert_equal(compute(asked), one_by_one(task, asked))


def test_a_model_that_turns_out_to_draw_gets_them_too() -> None:
    task = task_of(Moody)
    task = replace(task, training=replace(task.training, inputs=-task.training.inputs.abs()))
    asked = questions(task)
    compute = together(task)
    assert str(compute.how) == "threads"
    assert_equal(compute(asked), one_by_one(task, asked))
    asked[3] = asked[3]._replace(inputs=-asked[3].inputs)
    before = torch.get_rng_state()
    assert_equal(compute(asked), one_by_one(task, asked))
    assert str(compute.how) == "loop"
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("build", [named("mlp"), named("cnn"), DROPPING, Moody])
def test_torch_is_left_as_it_was(build: Callable[[], nn.Module]) -> None:
    task = task_of(build)
    asked = questions(task)
    before = torch.get_rng_state(), torch.get_num_threads()
    together(task)(asked)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_gradients_are_fresh_and_nothing_given_is_changed(name: str) -> None:
    task = task_of(named(name))
    asked = questions(task)
    given = [tensor.clone() for one in asked for tensor in one[:3]]
    compute = together(task)
    first = compute(asked)
    kept = [gradient.clone() for gradient, _ in first]
    compute(asked[::-1])
    for (gradient, _), copy in zip(first, kept, strict=True):
        assert torch.equal(gradient, copy)
        assert gradient.is_contiguous()
        assert not gradient.requires_grad
        gradient.zero_()
    left = [tensor for one in asked for tensor in one[:3]]
    assert all(map(torch.equal, left, given))


def test_gradients_of_one_call_do_not_overlap() -> None:
    task = task_of(named("mlp"))
    computed = [gradient for gradient, _ in together(task)(questions(task))]
    for number, gradient in enumerate(computed):
        gradient.fill_(number)
    assert all(bool((gradient == number).all()) for number, gradient in enumerate(computed))


# --- which models are stacked ---------------------------------------------------------------------


class Twice(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)  # type: ignore[no-any-return, no-untyped-call]


class Subclass(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    module[1].register_forward_hook(lambda _, inputs, output: 2 * output)
    return module


def patched() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    module[1].forward = lambda x: x[:, :CLASSES]
    return module


def tied() -> nn.Module:
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)


@pytest.mark.parametrize(
    "build",
    [
        hooked,
        patched,
        tied,
        chain(Subclass(64, CLASSES)),
        lambda: Twice(nn.Flatten(), nn.Linear(64, CLASSES)),
        chain(nn.Linear(64, CLASSES), nn.Softmax(dim=1)),
        chain(nn.utils.parametrizations.weight_norm(nn.Linear(64, CLASSES))),
        lambda: nn.Sequential(nn.Flatten(0), nn.Linear(64, CLASSES)),
        DROPPING,
        Own,
        *OTHERS.values(),
    ],
)
def test_models_that_do_more_than_their_layers_say_are_not_stacked(
    build: Callable[[], nn.Module],
) -> None:
    assert stacked(build()) is None


@pytest.mark.parametrize("build", [hooked, tied, chain(Subclass(64, CLASSES))])
def test_they_are_computed_all_the_same(build: Callable[[], nn.Module]) -> None:
    task = task_of(build)
    asked = questions(task)
    assert_equal(together(task)(asked), one_by_one(task, asked))


def test_large_models_are_not_stacked() -> None:
    """Two copies of so much memory cost more than a stack saves."""
    task = task_of(chain(nn.Linear(64, 5000), nn.ReLU(), nn.Linear(5000, 100)))
    assert together(task).how == "threads"
    asked = questions(task, count=3)
    assert_close(together(task, "stacked")(asked), one_by_one(task, asked))


@pytest.mark.parametrize(
    ("name", "last"), [("cnn", True), ("mlp", False), ("resnet20", False), ("own", False)]
)
def test_channels_come_last_where_every_layer_takes_them(name: str, last: bool) -> None:
    build = OTHERS.get(name) or CHAINS[name]
    assert prefers_channels_last(build()) == last


# --- the crew -------------------------------------------------------------------------------------


def test_a_crew_does_all_that_is_given_in_order() -> None:
    for size in (1, 2, 4):
        for count in (0, 1, 2, 50):
            assert Crew(size).map(lambda _, item: -item, range(count)) == [-k for k in range(count)]


def test_all_members_work_and_each_for_itself() -> None:
    meet = threading.Barrier(3, timeout=30)
    seen: dict[int, set[int]] = {member: set() for member in range(3)}

    def work(member: int, item: int) -> int:
        seen[member].add(threading.get_ident())
        meet.wait()  # nobody gets past it alone
        return member

    members = Crew(3).map(work, range(3))
    assert sorted(members) == [0, 1, 2]
    assert all(len(threads) == 1 for threads in seen.values())
    assert seen[0] == {threading.get_ident()}


@pytest.mark.parametrize("culprit", [0, 1])
def test_what_one_raises_is_raised_once_nobody_works_any_more(culprit: int) -> None:
    meet, finished = threading.Barrier(2, timeout=30), []

    def work(member: int, item: int) -> None:
        if item < 2:
            meet.wait()
        if member == culprit:
            raise ValueError("broken")
        finished.append(sum(range(2_000_000)))  # takes longer than to raise

    crew = Crew(2)
    with pytest.raises(ValueError, match="broken"):
        crew.map(work, range(100))
    assert finished
    done = len(finished)
    assert crew.map(lambda _, item: item, [7, 8]) == [7, 8]
    assert len(finished) == done < 5


@pytest.mark.parametrize("flushed", [True, False])
def test_torch_treats_small_numbers_alike_in_all_members(flushed: bool) -> None:
    meet = threading.Barrier(2, timeout=30)

    def work(member: int, item: int) -> float:
        meet.wait()
        return float(torch.full((4,), 1e-39).mul_(0.5).sum())

    crew = Crew(2)
    crew.map(work, range(2))  # its thread has begun otherwise
    torch.set_flush_denormal(flushed)
    try:
        first, second = crew.map(work, range(2))
    finally:
        torch.set_flush_denormal(False)
    assert first == second
    assert (first == 0) == flushed
