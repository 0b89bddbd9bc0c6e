"""A model's parameters as one flat vector: the thing that nodes send, filter and average."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from byzsgd.errors import ConfigError
from byzsgd.training.kinds import prefers_channels_last

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) → scalar, the mean over the batch."""


def flat_model(build: Callable[[], nn.Module], seed: int = 0) -> "FlatModel":
    """A newly built model; torch's global random state is left as it was."""
    with _seeded(seed):
        return FlatModel(build())


def initial(build: Callable[[], nn.Module], seed: int) -> Tensor:
    """The (d,) float32 parameters every correct server starts from: a pure function of the seed."""
    return flat_model(build, seed).vector()


class FlatModel:
    """Computes with a module whose parameters are views on whatever vector it is given.

    It takes the module over, for training: use `module_at` for one of your own, and look at
    `module` only for what it is made of. One thread at a time.
    Raises ConfigError for a module whose state is not all in one float32 vector.
    """

    def __init__(self, module: nn.Module) -> None:
        _check(module)
        self.module = module.train()
        self._parameters = list(module.parameters())
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._channels_last = prefers_channels_last(module)
        self.dimension = sum(self._sizes)

    def vector(self) -> Tensor:
        """A copy of the current parameters, (d,)."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])

    def gradient(
        self, params: Tensor, inputs: Tensor, targets: Tensor, loss: Loss, seed: int | None = None
    ) -> tuple[Tensor, float]:
        """∇loss at `params` on one batch, a fresh (d,) tensor, and the loss.

        `params` (d,) is viewed, never changed; the gradient shares no memory with anything, so it
        can be sent without a copy. A parameter that the loss does not reach has gradient zero.
        Layers that draw random numbers (dropout) draw them from `seed`; without one they take
        torch's global state, and the gradient is no longer a pure function of the arguments.
        """
        if seed is not None:
            with _seeded(seed):
                return self.gradient(params, inputs, targets, loss)
        if self._channels_last and inputs.dim() == 4:
            inputs = inputs.to(memory_format=torch.channels_last)
        self._view(params)
        value = loss(self.module(inputs), targets)
        pieces = torch.autograd.grad(value, self._parameters, materialize_grads=True)
        return torch.cat([piece.reshape(-1) for piece in pieces]), value.item()

    def module_at(self, params: Tensor) -> nn.Module:
        """An independent module in evaluation mode with a copy of `params`."""
        other = self.twin()
        other._view(params.clone())
        return other.module.eval()

    def twin(self) -> "FlatModel":
        """Another one of the same model, for another thread."""
        return FlatModel(copy.deepcopy(self.module))

    def _view(self, params: Tensor) -> None:
        assert params.shape == (self.dimension,), (params.shape, self.dimension)
        assert params.dtype == torch.float32, params.dtype
        pieces = params.detach().split_with_sizes(self._sizes)
        for parameter, piece in zip(self._parameters, pieces, strict=True):
            parameter.data = piece.view(parameter.shape)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):  # the default would touch every accelerator
        torch.default_generator.manual_seed(seed)
        yield


def _check(module: nn.Module) -> None:
    parameters = dict(module.named_parameters())
    if not parameters:
        raise ConfigError(f"the model {type(module).__name__} has no parameters to train")
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise ConfigError(f"parameter {name} is {parameter.dtype}; only float32 can be trained")
        if not parameter.requires_grad:
            raise ConfigError(
                f"parameter {name} is frozen (requires_grad=False), but every parameter is "
                "exchanged; build the model with all of them trainable"
            )
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() or buffer.is_complex():
            raise ConfigError(
                f"the model keeps state outside its parameters (buffer {name}, as BatchNorm's "
                "running statistics), which replicas do not exchange; use GroupNorm or LayerNorm"
            )
