"""What is known of torch's own layers. Of others, subclasses of these too, nothing is."""

from torch import nn

ELEMENTWISE = frozenset(
    {
        nn.CELU,
        nn.ELU,
        nn.GELU,
        nn.Hardsigmoid,
        nn.Hardswish,
        nn.Hardtanh,
        nn.Identity,
        nn.LeakyReLU,
        nn.LogSigmoid,
        nn.Mish,
        nn.ReLU,
        nn.ReLU6,
        nn.SELU,
        nn.Sigmoid,
        nn.SiLU,
        nn.Softplus,
        nn.Softsign,
        nn.Tanh,
        nn.Tanhshrink,
    }
)
"""They compute each number from one number."""

_OF_ANY_LAYOUT = ELEMENTWISE | {
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.Conv2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Flatten,
    nn.Linear,
    nn.MaxPool2d,
    nn.Sequential,
}


def prefers_channels_last(module: nn.Module) -> bool:
    """Whether images are best given with their channels side by side in memory.

    Convolutions are a third faster then. But GroupNorm is slower, and a module of one's own may
    have `view` fail. So it is a matter of the kinds of layers alone, the same in every process.
    """
    kinds = [type(part) for part in module.modules()]
    return nn.Conv2d in kinds and all(kind in _OF_ANY_LAYOUT for kind in kinds)


def chain_of(module: nn.Module) -> list[nn.Module] | None:
    """The layers that a plain nn.Sequential applies one after the other; None if it is none.

    None also where anything hooks into a layer: then it does more than its kind says.
    """
    if _altered(module):
        return None
    if type(module) is not nn.Sequential:
        return [module]
    chains = [chain_of(part) for part in module]
    return None if None in chains else [layer for chain in chains for layer in chain or ()]


def _altered(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "forward" in vars(module) or any(getattr(module, hook) for hook in hooks)
