"""The same steps with torch.distributed: what a plain parameter server costs there.

    .venv/bin/python -m benchmarks.gloo --steps 40

Rank 0 is the server: it broadcasts its model, gathers every worker's gradient, and averages. One
process per node and one thread of torch each, as our nodes have; the same task, model and batches.
Nobody is authenticated, nothing is encrypted, and any process that dies ends them all.
"""

import argparse
import multiprocessing
import os
import socket
import time
from multiprocessing.connection import Connection
from statistics import fmean
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks import tasks
from byzsgd.training.batches import batch_indices
from byzsgd.training.flat import FlatModel, flat_model
from byzsgd.training.task import Task

WARM_UP: Final = 3
RATE: Final = 0.01
BATCH: Final = 32


def main() -> None:
    options = _options()
    for model in options.models:
        seconds = measured(model, options.steps, options.workers)
        print(f"{model}: {1e3 * seconds:.1f} ms a step, 1 server and {options.workers} workers")


def measured(model: str, steps: int, workers: int = 7) -> float:
    """Seconds of a step, the mean over all but the first, as of our own systems."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    nodes = [
        context.Process(target=_node, args=(rank, workers + 1, port, model, steps, theirs))
        for rank in range(workers + 1)
    ]
    for node in nodes:
        node.start()
    theirs.close()
    took: list[float] = ours.recv()
    for node in nodes:
        node.join()
    return fmean(took)


def _node(rank: int, size: int, port: int, model: str, steps: int, took: Connection) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=size)
    task: Task = getattr(tasks, model)()
    flat = flat_model(task.model, 1)
    if rank == 0:
        took.send(_server(flat.vector().clone(), steps, size))
    else:
        _worker(rank - 1, task, flat, steps)
    dist.destroy_process_group()


def _server(params: Tensor, steps: int, size: int) -> list[float]:
    rows = [torch.empty_like(params) for _ in range(size)]
    nothing = torch.zeros_like(params)
    times: list[float] = []
    for _ in range(steps):
        start = time.perf_counter()
        dist.broadcast(params, src=0)
        dist.gather(nothing, rows, dst=0)
        params = params.sub(torch.stack(rows[1:]).mean(dim=0), alpha=RATE)
        times.append(time.perf_counter() - start)
    return times[WARM_UP:]


def _worker(index: int, task: Task, flat: FlatModel, steps: int) -> None:
    params = torch.empty(flat.dimension)
    examples = len(task.training)
    for step in range(steps):
        dist.broadcast(params, src=0)
        inputs, targets = task.training.batch(batch_indices(1, index, step, examples, BATCH))
        gradient, _ = flat.gradient(params, inputs, targets, task.loss, step)
        dist.gather(gradient, dst=0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--workers", type=int, default=7)
    parser.add_argument("--models", nargs="+", default=["mnist_mlp", "cifar_cnn"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
