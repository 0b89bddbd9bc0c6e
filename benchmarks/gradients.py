"""How fast the gradients of many workers are in one process: against a plain loop in torch.

    .venv/bin/python -m benchmarks.gradients                       # made-up data, papers' shapes
    .venv/bin/python -m benchmarks.gradients mnist,cnn cifar10     # TASK or TASK,MODEL
    .venv/bin/python -m benchmarks.gradients --workers 100 --rounds 9

Each worker has its own parameters and its own batch. The contenders take turns, so that a noisy
machine is noisy to all of them; what is printed are ratios of elapsed times to the plain loop,
the median over the rounds and the middle half of them. Torch has one thread, as in every node.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import Final

import torch
from torch import Tensor, nn

from byzsgd.training import Task, load_task
from byzsgd.training.batches import batch_indices
from byzsgd.training.flat import flat_model
from byzsgd.training.together import Asked, gradients_of

Contender = Callable[[], object]

DEFAULT: Final = (
    "benchmarks.tasks:mnist_mlp",
    "benchmarks.tasks:mnist_mlp,cnn",
    "benchmarks.tasks:cifar_cnn",
    "digits",
    "digits,cnn",
)


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"torch {torch.__version__}, {platform.machine()}, load {load}, batch {options.batch}\n")
    print("| task | d | workers | plain, ms each | contender | times as fast |")
    print("|---|---|---|---|---|---|")
    for name in options.tasks:
        task_name, _, model = name.partition(",")
        task = load_task(task_name, model=model or None)
        asked = questions(task, options.workers, options.batch)
        times = interleaved(contenders(task, asked), options.rounds)
        for line in _lines(times, [name, len(asked[0].params), len(asked)]):
            print(line, flush=True)


def contenders(task: Task, asked: Sequence[Asked]) -> dict[str, Contender]:
    """The plain loop comes first."""
    module, flat = task.model(), flat_model(task.model)
    ways = {
        "loop": gradients_of(task, flat, "loop"),
        "one thread": gradients_of(task, flat, threads=1),
    }
    together = gradients_of(task, flat)
    ways[f"{together.how}, all threads"] = together
    made: dict[str, Contender] = {
        "plain": lambda: [plain(module, task, *one) for one in asked],
    }
    return made | {name: lambda way=way: way(asked) for name, way in ways.items()}


def plain(
    module: nn.Module, task: Task, params: Tensor, inputs: Tensor, targets: Tensor, seed: int
) -> tuple[Tensor, float]:
    """As one would write it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module.train()
        parameters = list(module.parameters())
        pieces = params.split_with_sizes([one.numel() for one in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.data = piece.view(parameter.shape)
        loss = task.loss(module(inputs), targets)
        gradients = torch.autograd.grad(loss, parameters)
        return torch.cat([one.reshape(-1) for one in gradients]), loss.item()


def questions(task: Task, workers: int, batch: int) -> list[Asked]:
    start = flat_model(task.model).vector()
    asked = []
    for worker in range(workers):
        noise = torch.randn(len(start), generator=torch.Generator().manual_seed(worker))
        drawn = batch_indices(1, worker, 0, len(task.training), batch)
        asked.append(Asked(start + 0.01 * noise, *task.training.batch(drawn), worker))
    return asked


def interleaved(among: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """The elapsed seconds of each in every round. The first round warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in among}
    for _ in range(rounds + 1):
        for name, contender in among.items():
            start = time.perf_counter()
            contender()
            times[name].append(time.perf_counter() - start)
    return {name: spent[1:] for name, spent in times.items()}


def _lines(times: Mapping[str, list[float]], labels: Sequence[object]) -> list[str]:
    plainly = times["plain"]
    each = 1e3 * median(plainly) / int(str(labels[-1]))
    lines = []
    for name, spent in times.items():
        ratios = [theirs / ours for theirs, ours in zip(plainly, spent, strict=True)]
        low, _, high = quantiles(ratios, n=4)
        what = f"**{median(ratios):.2f}** ({low:.2f}–{high:.2f})"
        cells = [*labels[:1], f"{labels[1]:,}", labels[2], f"{each:.2f}", name, what]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return lines[1:]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tasks", nargs="*", default=DEFAULT, help="TASK or TASK,MODEL")
    parser.add_argument("--workers", type=int, default=25)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    main()
