"""Asking memory for what a kernel needs soon, so that it computes while it waits."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LINE = 64
"""Bytes that memory gives at a time."""
WORD = ir.IntType(32)


def ask_for(builder: Any, place: Any) -> None:
    """Generate the request for the line at `place`, which may lie outside any array."""
    place = builder.bitcast(place, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [place.type, WORD, WORD, WORD])
    function = declared(builder, "llvm.prefetch.p0", kind)
    builder.call(function, [place, WORD(0), WORD(2), WORD(1)])  # for reading, second cache


def declared(builder: Any, name: str, kind: Any) -> Any:
    """The LLVM function of this name and type."""
    module = builder.module
    return module.globals.get(name) or ir.Function(module, kind, name)


def _prefetch(typing: Any, x: Any, at: Any) -> Any:
    """Ask for element `at` of the contiguous array `x`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        ask_for(builder, builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(x, types.int64), generate


prefetch: Any = intrinsic(_prefetch)
