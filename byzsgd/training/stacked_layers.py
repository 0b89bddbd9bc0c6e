"""Layers over a stack: (n, B, …) inputs, and n sets of parameters."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from byzsgd.training.kinds import ELEMENTWISE


class Parameter(NamedTuple):
    """A parameter of n workers, (n, …), and where its gradient is wanted."""

    value: Tensor
    gradient: Tensor


Layer: TypeAlias = Callable[[Tensor, Iterator[Parameter]], Tensor]
"""Inputs → outputs. Takes its parameters from the iterator."""


def layer_of(module: nn.Module) -> Layer | None:
    """None for what is not known here, or cannot be done for n workers at once."""
    kind = type(module)
    if kind in ELEMENTWISE:
        return lambda x, _: module(x)
    return _LAYERS[kind](module) if kind in _LAYERS else None


def _linear(module: nn.Linear) -> Layer:
    biased = module.bias is not None

    def layer(x: Tensor, parameters: Iterator[Parameter]) -> Tensor:
        weight, bias = next(parameters), next(parameters) if biased else None
        apply: Callable[..., Tensor] = _Linear.apply
        y = apply(x.flatten(1, -2), *weight, *(bias or (None, None)))
        return y.view(*x.shape[:-1], -1)

    return layer


def _layer_norm(module: nn.LayerNorm) -> Layer:
    shape, eps = module.normalized_shape, module.eps
    count = len(list(module.parameters()))

    def layer(x: Tensor, parameters: Iterator[Parameter]) -> Tensor:
        y = layer_norm(x, shape, eps=eps)
        ones = (1,) * (x.dim() - 1 - len(shape))
        for combine in (torch.mul, torch.add)[:count]:
            y = combine(y, next(parameters).value.view(len(x), *ones, *shape))
        return y

    return layer


def _flatten(module: nn.Flatten) -> Layer | None:
    start, end = module.start_dim, module.end_dim
    if start < 1:
        return None  # it would mix the examples, and here the workers
    return lambda x, _: x.flatten(start + 1, end if end < 0 else end + 1)


def _dropout(module: nn.Dropout) -> Layer | None:
    return (lambda x, _: x) if module.p == 0 else None


_LAYERS: dict[type[nn.Module], Callable[..., Layer | None]] = {
    nn.Dropout: _dropout,
    nn.Flatten: _flatten,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
}


class _Linear(torch.autograd.Function):
    """x·Wᵀ + b of each worker, with the gradients of W and b computed where they are wanted.

    What autograd hands out on its own would have to be copied there, which takes a tenth more.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        weight_gradient: Tensor,
        bias: Tensor | None,
        bias_gradient: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.wanted = weight_gradient, bias_gradient
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        [gradient] = gradients
        x, weight = ctx.saved_tensors
        weight_gradient, bias_gradient = ctx.wanted
        torch.bmm(gradient.mT, x, out=weight_gradient)
        if bias_gradient is not None:
            torch.sum(gradient, dim=1, out=bias_gradient)
        x_gradient = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        return x_gradient, weight_gradient, None, bias_gradient, None
