"""Tasks of the shapes that papers measure, on made-up data: a step takes no longer for it."""

import torch
from torch.nn.functional import cross_entropy

from byzsgd.training import Examples, Task
from byzsgd.training.models import model_builder

TRAINING, TEST, CLASSES = 1_400, 100, 10


def mnist_mlp() -> Task:
    """784-100-10, d = 79,510."""
    return _task("mnist_mlp", "mlp", (1, 28, 28))


def mnist_cnn() -> Task:
    """The CNN of d = 79,754."""
    return _task("mnist_cnn", "cnn", (1, 28, 28))


def cifar_cnn() -> Task:
    """The CIFAR-10 CNN of d = 1,756,426."""
    return _task("cifar_cnn", "cnn", (3, 32, 32))


def _task(name: str, model: str, shape: tuple[int, ...]) -> Task:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(TRAINING + TEST, *shape, generator=generator)
    targets = torch.randint(CLASSES, (TRAINING + TEST,), generator=generator)
    training = Examples(inputs[:TRAINING], targets[:TRAINING])
    test = Examples(inputs[TRAINING:], targets[TRAINING:])
    return Task(name, model_builder(model, shape, CLASSES), cross_entropy, training, test)
