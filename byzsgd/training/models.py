"""Models by name, built from the shape of one input and the number of classes.

`linear`, `mlp` and `cnn` start with Xavier's uniform weights and zero biases (the setting of
arXiv 1802.07927), `resnet20` with He's normal weights. None has BatchNorm: running
statistics are no parameters, and replicas would not exchange them.
"""

import inspect
import math
from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from byzsgd.errors import ConfigError, unknown_name
from byzsgd.training.named import is_path, load_object

Shape = tuple[int, ...]
Build = Callable[[], nn.Module]


def model_builder(name: str, shape: Shape, classes: int) -> Build:
    """A function that builds the model for inputs of `shape`, (C, H, W) for images.

    `name` is one of MODELS or `package.module:function`, which takes nothing or
    (input_shape, classes) and returns a module.

    Raises ConfigError when there is no such model.
    """
    if is_path(name):
        make = load_object("model", name)
        return lambda: _own(make, name, shape, classes)
    if name not in MODELS:
        raise unknown_name("model", name, [*MODELS, "package.module:function"])
    return lambda: MODELS[name](shape, classes)


def linear(shape: Shape, classes: int) -> nn.Module:
    """Multinomial logistic regression: convex, so runs can be compared with the optimum."""
    return _xavier(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes)))


def mlp(shape: Shape, classes: int) -> nn.Module:
    """One hidden layer with ReLU: 784-100-10 (d = 79,510) for MNIST, 64-100-10 for digits."""
    return _xavier(nn.Sequential(nn.Flatten(), *_layers(math.prod(shape), 100, classes)))


def cnn(shape: Shape, classes: int) -> nn.Module:
    """Two rounds of convolution, ReLU and halving, then fully connected layers.

    By the image's size: d = 1,756,426 for CIFAR-10, 79,754 for MNIST, 3,658 for digits.
    """
    channels, height, width = _image("cnn", shape)
    kernel, first, second, hidden = _cnn_sizes(min(height, width))
    area = (height // 4) * (width // 4)
    return _xavier(
        nn.Sequential(
            *_convolution(channels, first, kernel),
            *_convolution(first, second, kernel),
            nn.Flatten(),
            *_layers(second * area, *hidden, classes),
        )
    )


def resnet20(shape: Shape, classes: int) -> nn.Module:
    """ResNet-20 for small images (arXiv 1512.03385, section 4.2), GroupNorm for BatchNorm.

    Shortcuts without parameters (the paper's option A); d = 269,722 for CIFAR-10.
    """
    channels, _, _ = _image("resnet20", shape)
    blocks: list[nn.Module] = [_Block(16, 16, stride=1) for _ in range(3)]
    for before, after in ((16, 32), (32, 64)):
        blocks += [
            _Block(before, after, stride=2),
            _Block(after, after, 1),
            _Block(after, after, 1),
        ]
    stem = [_conv3x3(channels, 16), _norm(16), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes)]
    return _he(nn.Sequential(*stem, *blocks, *head))


MODELS: dict[str, Callable[[Shape, int], nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "cnn": cnn,
    "resnet20": resnet20,
}


class _Block(nn.Module):
    """Two convolutions around a shortcut that drops pixels and adds empty channels."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, after - before
        self.conv1, self.norm1 = _conv3x3(before, after, stride), _norm(after)
        self.conv2, self.norm2 = _conv3x3(after, after), _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + shortcut)


def _conv3x3(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, bias=False)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


def _convolution(before: int, after: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU(), nn.MaxPool2d(2)]


def _layers(*sizes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers[:-1]


def _cnn_sizes(side: int) -> tuple[int, int, int, tuple[int, ...]]:
    if side >= 32:
        return 5, 64, 64, (384, 192)
    return (5, 8, 16, (96,)) if side >= 16 else (3, 8, 16, (32,))


def _image(name: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ConfigError(f"model {name!r} needs images (C, H, W) of 4×4 or more, not {shape}")
    return shape[0], shape[1], shape[2]


def _xavier(module: nn.Module) -> nn.Module:
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def _he(module: nn.Module) -> nn.Module:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return module


def _own(make: Callable[..., object], name: str, shape: Shape, classes: int) -> nn.Module:
    module = make() if _callable_with(make) else make(shape, classes)
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name!r} returned {type(module).__name__}, not a torch.nn.Module")
    return module


def _callable_with(make: Callable[..., object], *arguments: object) -> bool:
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError:
        return False
    return True
