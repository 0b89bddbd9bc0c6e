"""Gradients of several workers by one pass over a stack of batches, each with its own parameters.

For chains of layers that are written out in `stacked_layers`. torch.func.vmap, which takes any
model, spends more on dispatch than it saves on models this small.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from byzsgd.training.flat import Loss
from byzsgd.training.kinds import chain_of
from byzsgd.training.stacked_layers import Layer, Parameter, layer_of


class Stacked:
    """The layers of a model, and how its parameters lie in a vector. One thread at a time."""

    def __init__(self, layers: Sequence[Layer], shapes: Sequence[torch.Size]) -> None:
        self._layers = layers
        self._shapes = shapes
        self._sizes = [shape.numel() for shape in shapes]
        self._values = torch.empty(0, sum(self._sizes))

    def twin(self) -> "Stacked":
        """Another one of the same model, for another thread."""
        return Stacked(self._layers, self._shapes)

    def gradients(
        self, params: Sequence[Tensor], inputs: Tensor, targets: Sequence[Tensor], loss: Loss
    ) -> tuple[Tensor, Tensor]:
        """∇loss of each, a fresh (n, d) tensor, and the losses (n,); `inputs` are (n, B, …)."""
        rows = torch.empty(len(params), sum(self._sizes))
        values = [piece.requires_grad_() for piece in self._pieces(self._copied(params))]
        parameters = [
            Parameter(value, gradient)
            for value, gradient in zip(values, self._pieces(rows), strict=True)
        ]
        losses = _losses(self._outputs(inputs, parameters), targets, loss)
        gradients = torch.autograd.grad(losses.sum(), values, materialize_grads=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient.data_ptr() != parameter.gradient.data_ptr():  # not yet where it belongs
                parameter.gradient.copy_(gradient)
        return rows, losses.detach()

    def _copied(self, params: Sequence[Tensor]) -> Tensor:
        """(n, d), in memory that the next call uses again: fresh memory costs more than copying."""
        if len(self._values) < len(params):
            self._values = torch.empty(len(params), sum(self._sizes))
        values = self._values[: len(params)]
        torch.stack(list(params), out=values)
        return values

    def _pieces(self, rows: Tensor) -> list[Tensor]:
        pieces = rows.split_with_sizes(self._sizes, dim=1)
        shapes = zip(pieces, self._shapes, strict=True)
        return [piece.view(len(rows), *shape) for piece, shape in shapes]

    def _outputs(self, inputs: Tensor, parameters: Sequence[Parameter]) -> Tensor:
        left = iter(parameters)
        for layer in self._layers:
            inputs = layer(inputs, left)
        return inputs


def stacked(module: nn.Module) -> Stacked | None:
    """None for a model with a layer that is not known here, or that is applied twice."""
    chain = chain_of(module)
    if chain is None:
        return None
    layers = [layer_of(part) for part in chain]
    known = [layer for layer in layers if layer is not None]
    applied = [parameter for part in chain for parameter in part.parameters()]
    if len(known) < len(layers) or len(applied) > len(list(module.parameters())):
        return None
    return Stacked(known, [parameter.shape for parameter in applied])


def _losses(outputs: Tensor, targets: Sequence[Tensor], loss: Loss) -> Tensor:
    """(n,) losses, each of its own outputs."""
    if loss is cross_entropy:
        joined = torch.cat(list(targets))
        if _are_classes(outputs, joined):
            each = cross_entropy(outputs.flatten(0, 1), joined, reduction="none")
            return each.view(len(targets), -1).mean(dim=1)
    pairs = zip(outputs.unbind(), targets, strict=True)
    return torch.stack([loss(output, target).reshape(()) for output, target in pairs])


def _are_classes(outputs: Tensor, targets: Tensor) -> bool:
    """One class for each example; what is below 0 might be an example that does not count."""
    if outputs.dim() != 3 or targets.dim() != 1 or targets.is_floating_point():
        return False
    return int(targets.min()) >= 0
