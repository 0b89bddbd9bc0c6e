"""numba, where it is there: kernels that run without the GIL and are compiled once per machine.

Kernels take C-contiguous numpy arrays, index rows through an `order` array and write into what they
are given. Whoever has a kernel also has a way in plain torch: for CUDA tensors, for half precision
and for machines without numba. Modules with kernels are imported when one is first needed, since
numba takes a third of a second.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

AVAILABLE = importlib.util.find_spec("numba") is not None
COMPILED_TYPES = (torch.float32, torch.float64)

SUMS_IN_ANY_ORDER = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""What a kernel's additions may become, so that they fill vector registers. Never `nnan` nor
`ninf`: liars send both."""


def compiles(vectors: Tensor) -> bool:
    """Whether kernels work on `vectors`; if not, torch does."""
    return AVAILABLE and vectors.device.type == "cpu" and vectors.dtype in COMPILED_TYPES


def kernel(function: Function) -> Function:
    """Compile for each type it is called with, once per machine: the next process reads a cache."""
    return _jit(function)


def summing_kernel(function: Function) -> Function:
    """As `kernel`, and its floating-point sums may be taken in any order."""
    return _jit(function, fastmath=set(SUMS_IN_ANY_ORDER))


def for_each_type(compile_: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Compile a function for each type of its first argument as a kernel of its own.

    Kernels of one name share an index in numba's cache, and of two processes that first compile it
    for different types at the same time, one could find the other's code there.
    """

    def decorate(function: Function) -> Function:
        @cache
        def made(kind: str) -> Function:
            twin: Any = FunctionType(function.__code__, function.__globals__, function.__name__)
            twin.__qualname__ = f"{function.__qualname__}_{kind}"
            return compile_(twin)

        def call(first: Any, *others: Any) -> Any:
            return made(first.dtype.name)(first, *others)

        call.made = made  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def _jit(function: Function, **how: Any) -> Function:
    import numba

    # numba looks at the file of the function alone to tell whether what it cached is stale. What a
    # kernel calls may stand in another: a name that changes with any of them is always right.
    function.__qualname__ += f"_{_sources()}"
    how |= {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Function = numba.njit(cache=True, **how)(function)
    except RuntimeError:  # no folder for a cache can be written to: compile in every process
        compiled = numba.njit(**how)(function)
    return compiled


@cache
def _sources() -> str:
    """A digest of the files with parts that kernels are made of."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    parts = b"".join(text for text in texts if b"numba.extending" in text)
    return hashlib.sha256(parts).hexdigest()[:12]
