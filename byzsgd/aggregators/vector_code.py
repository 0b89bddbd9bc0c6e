"""Programs compiled to vector instructions: one pass over the rows, all between in registers.

A program goes to LLVM as it is, through a numba intrinsic: no source text is generated and imported
(31 rows would take numba 10 seconds to read, and take LLVM a third of one), and numba caches the
result like that of any kernel. All that decides what is compiled stays in this file and in the
program's text: of changes elsewhere that cache knows nothing.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic

from byzsgd.aggregators.compiled import kernel
from byzsgd.aggregators.networks import Program, Step

AHEAD = 1024
"""How many bytes ahead rows are fetched: processors follow about 32 streams themselves, and lose
all of them at one more."""

cgutils: Any = untyped_cgutils
VALUES, RESULTS = 1, 2
"""What a block may hold that is non-finite, as bits: values or sums of them; results."""

Array: TypeAlias = np.ndarray[Any, Any]


class Doubts:
    """For each block, what in it may be non-finite."""

    def __init__(self, bits: Array) -> None:
        self._bits = bits

    def any(self) -> bool:
        return bool(self._bits.any())

    def results(self) -> list[int]:
        """The numbers of the blocks whose results are in doubt."""
        blocks: list[int] = (self._bits & RESULTS).nonzero()[0].tolist()
        return blocks


def sweep(program: Program, store: Array, order: Sequence[int], out: Array, width: int) -> Doubts:
    """Fill (d,) `out` with the program's result on the rows `store[order]`, NaN as +Inf.

    `store` is contiguous, and d at least the lanes of a vector. Doubts are kept by blocks of
    `width` coordinates.
    """
    # Nothing below looks where it reads.
    if len(order) != program.inputs or min(order) < 0 or max(order) >= len(store):
        raise IndexError(f"{program.inputs} rows out of {len(store)}, not {order}")
    bits = np.zeros(-(-len(out) // width), dtype=np.uint8)
    _kernel(program, store.itemsize)(store, np.array(order, dtype=np.int64), out, width, bits)
    return Doubts(bits)


@cache
def _kernel(program: Program, itemsize: int) -> Callable[[Array, Array, Array, int, Array], None]:
    text = program.text

    def fill(store: Array, order: Array, out: Array, width: int, doubts: Array) -> None:
        for block in range(len(doubts)):
            begin = block * width
            doubts[block] = _sweep(text, store, order, begin, min(begin + width, len(out)), out)

    # A name of its own gives each program and type an index of its own in numba's cache: processes
    # that compile different ones at once would else pick the same number for their files.
    fill.__qualname__ = f"fill_{hashlib.sha256(text.encode()).hexdigest()[:16]}_{itemsize}"
    return kernel(fill)


def _sweep_in_llvm(
    context: Any, text: Any, store: Any, order: Any, begin: Any, end: Any, out: Any
) -> tuple[Any, Callable[..., ir.Value]] | None:
    """(text, store, order, begin, end, out) → what of it may be non-finite."""
    if not isinstance(text, types.StringLiteral):
        return None
    program = Program.parse(text.literal_value)
    signature = types.uint8(text, store, order, begin, end, out)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, values, strict=True)
            if isinstance(kind, types.Array)
        ]
        features = context.codegen().magic_tuple()[2]
        return _Emitter(builder, store.dtype, features).loop(program, *arrays, *values[3:5])

    return signature, generate


_sweep: Any = intrinsic(prefer_literal=True)(_sweep_in_llvm)


class _Emitter:
    """Writes LLVM instructions on vectors of one width."""

    def __init__(self, builder: ir.IRBuilder, dtype: Any, features: str) -> None:
        self.builder = builder
        self.bytes = dtype.bitwidth // 8
        self.lanes = _register_bytes(features) // self.bytes
        self.scalar = ir.FloatType() if self.bytes == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, self.lanes)

    def loop(
        self, program: Program, store: Any, order: Any, out: Any, begin: ir.Value, end: ir.Value
    ) -> ir.Value:
        """Runs the program on all lanes from begin to end."""
        builder = self.builder
        rows = self._rows(program.inputs, store, order)
        values = cgutils.alloca_once_value(builder, self._all(0.0))
        results = cgutils.alloca_once_value(builder, self._all(0.0))
        lanes = ir.Constant(begin.type, self.lanes)
        last = builder.sub(end, lanes)
        with cgutils.for_range_slice(builder, begin, end, lanes, begin.type) as (at, _):
            # The last vector ends where the block ends, and does some coordinates twice.
            here = builder.select(builder.icmp_signed("<", at, last), at, last)
            self._fetch(rows, here)
            inputs = [builder.load(self._at(row, here), align=self.bytes) for row in rows]
            result = self._run(program, [self._less(v, self._all(math.inf)) for v in inputs])
            builder.store(result, self._at(out.data, here), align=self.bytes)
            self._doubt(inputs, values)
            self._doubt([result], results)
        return builder.add(self._mark(values, VALUES), self._mark(results, RESULTS))

    def _run(self, program: Program, inputs: list[ir.Value]) -> ir.Value:
        values = list(inputs)
        for step in program.steps:
            values.append(self._step(step, *(values[operand] for operand in step.operands)))
        return values[program.result]

    def _less(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """One instruction, and b if a is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def _step(self, step: Step, *v: ir.Value) -> ir.Value:
        b = self.builder
        match step.operation:
            case "min":
                return self._less(*v)
            case "max":
                return b.select(b.fcmp_ordered(">", *v), *v)
            case "add":
                return b.fadd(*v)
            case "halves":
                return b.fadd(*(b.fmul(value, self._all(0.5)) for value in v))
            case "nearer":
                centre, low, high = v
                farther = b.fcmp_ordered(">", b.fsub(centre, low), b.fsub(high, centre))
                return b.select(farther, high, low)
            case "over":
                return b.fdiv(*v, self._all(float(step.divisor)))

    def _doubt(self, values: list[ir.Value], doubt: ir.Value) -> None:
        """Adds 0 times a sum, which is NaN if one of its terms is NaN or Inf, and else 0."""
        total = values[0]
        for value in values[1:]:
            total = self.builder.fadd(total, value)
        nothing = self.builder.fmul(total, self._all(0.0))
        self.builder.store(self.builder.fadd(self.builder.load(doubt), nothing), doubt)

    def _mark(self, doubt: ir.Value, mark: int) -> ir.Value:
        """`mark` if a lane of the doubt is NaN, or else 0."""
        vector = self.builder.load(doubt)
        total = ir.Constant(self.scalar, 0.0)
        for lane in range(self.lanes):
            total = self.builder.fadd(total, self.builder.extract_element(vector, _int32(lane)))
        byte = ir.IntType(8)
        doubtful = self.builder.fcmp_unordered("uno", total, total)
        return self.builder.select(doubtful, ir.Constant(byte, mark), ir.Constant(byte, 0))

    def _rows(self, n: int, store: Any, order: Any) -> list[ir.Value]:
        """Where each row begins."""
        builder = self.builder
        stride = cgutils.unpack_tuple(builder, store.strides, 2)[0]
        base = builder.ptrtoint(store.data, stride.type)
        rows = []
        for k in range(n):
            index = builder.load(builder.gep(order.data, [_int32(k)]))
            address = builder.add(base, builder.mul(index, stride))
            rows.append(builder.inttoptr(address, self.scalar.as_pointer()))
        return rows

    def _fetch(self, rows: list[ir.Value], at: ir.Value) -> None:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, *[ir.IntType(32)] * 3])
        fetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0i8")
        ahead = self.builder.add(at, ir.Constant(at.type, AHEAD // self.bytes))
        for row in rows:
            there = self.builder.bitcast(self.builder.gep(row, [ahead]), byte)
            self.builder.call(fetch, [there, _int32(0), _int32(3), _int32(1)])  # read, keep, data

    def _at(self, row: ir.Value, at: ir.Value) -> ir.Value:
        return self.builder.bitcast(self.builder.gep(row, [at]), self.vector.as_pointer())

    def _all(self, number: float) -> ir.Constant:
        return ir.Constant(self.vector, [ir.Constant(self.scalar, number)] * self.lanes)


def _int32(number: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), number)


def _register_bytes(features: str) -> int:
    """How wide this processor's vector registers are."""
    offered = features.split(",")
    return 64 if "+avx512f" in offered else 32 if "+avx" in offered else 16
