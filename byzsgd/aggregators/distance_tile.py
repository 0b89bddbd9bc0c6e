"""The inner loop of pairwise distances: four rows against four, as vector instructions.

Written in LLVM's terms, since what matters here cannot be said in Python: each pair's squares are
added in an order that is fixed here, not by a compiler, so that a distance is the same to the bit
wherever its two rows stand in a tile and on whatever machine that has fused multiply-add; sums
fill whole registers; and the memory that the next block needs is asked for while this one is
computed, so that reading and computing take place at the same time.
"""

from itertools import product
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from byzsgd.aggregators.prefetching import WORD, ask_for, declared

SIDE = 4
"""4×4 rows: 16 sums and what they are made from fit 32 vector registers."""
REGISTER_BYTES = 64
BLOCK = 256
"""Coordinates summed in the rows' own type: 16 in each lane. Were all their roundings of one sign,
as where two rows differ by a constant, they would come to 16/2 · 6e-8 of the sum."""

INDEX = ir.IntType(64)


def _add_tile(typing: Any, x: Any, rows: Any, sums: Any, tile: Any, begin: Any, end: Any) -> Any:
    """sums[tile, 4i+j] += Σ (a_i − b_j)² over the coordinates [begin, end), at most BLOCK of them.

    `x` is the contiguous matrix. `rows[tile]` are 12 offsets of rows in it: four a, four b, and
    four whose next block is going to be needed. `sums` are float64.
    """
    signature = types.void(x, rows, sums, types.int64, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args[:3]
        x, rows, sums = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(kinds, arguments[:3], strict=True)
        )
        tile, begin, end = arguments[3:]
        offsets = builder.gep(rows, [builder.mul(tile, INDEX(3 * SIDE))])
        pointers = [
            builder.gep(x, [builder.load(builder.gep(offsets, [INDEX(k)]))])
            for k in range(3 * SIDE)
        ]
        target = builder.gep(sums, [builder.mul(tile, INDEX(SIDE * SIDE))])
        _Tile(builder, context.get_data_type(kinds[0].dtype), pointers).add(begin, end, target)
        return context.get_dummy_value()

    return signature, generate


add_tile: Any = intrinsic(_add_tile)


class _Tile:
    def __init__(self, builder: Any, element: Any, pointers: list[Any]) -> None:
        self.builder, self.element = builder, element
        self.bytes = 8 if isinstance(element, ir.DoubleType) else 4
        self.lanes = REGISTER_BYTES // self.bytes
        self.vector = ir.VectorType(element, self.lanes)
        self.zero = self.vector([0.0] * self.lanes)
        self.left, self.right = pointers[:SIDE], pointers[SIDE : 2 * SIDE]
        self.ahead = pointers[2 * SIDE :]
        self.sums = [
            cgutils.alloca_once(builder, self.vector)  # type: ignore[no-untyped-call]
            for _ in range(SIDE * SIDE)
        ]

    def add(self, begin: Any, end: Any, target: Any) -> None:
        builder = self.builder
        for total in self.sums:
            builder.store(self.zero, total)
        rest = builder.and_(builder.sub(end, begin), INDEX(self.lanes - 1))
        full = builder.sub(end, rest)
        lanes = INDEX(self.lanes)
        with cgutils.for_range_slice(builder, begin, full, lanes, inc=True) as (at, _):
            for row in self.ahead:
                ask_for(builder, builder.gep(row, [builder.add(at, INDEX(BLOCK))]))
            self._step(lambda row: self._load(row, at))
        with builder.if_then(builder.icmp_signed("<", full, end), likely=False):
            within = self._first(rest)
            self._step(lambda row: self._load_some(row, full, within))
        self._add_to(target)

    def _step(self, load: Any) -> None:
        left, right = [load(row) for row in self.left], [load(row) for row in self.right]
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        fused = declared(self.builder, f"llvm.fmuladd.{self._suffix()}", kind)
        for (a, b), total in zip(product(left, right), self.sums, strict=True):
            difference = self.builder.fsub(a, b)
            before = self.builder.load(total)
            self.builder.store(self.builder.call(fused, [difference, difference, before]), total)

    def _load(self, row: Any, at: Any) -> Any:
        values = self.builder.load(self._place(row, at))
        values.align = self.bytes
        return values

    def _load_some(self, row: Any, at: Any, within: Any) -> Any:
        """Zeros beyond the end, which differ by zero."""
        place, bits = self._place(row, at), ir.VectorType(ir.IntType(1), self.lanes)
        kind = ir.FunctionType(self.vector, [place.type, WORD, bits, self.vector])
        load = declared(self.builder, f"llvm.masked.load.{self._suffix()}.p0", kind)
        return self.builder.call(load, [place, WORD(self.bytes), within, self.zero])

    def _first(self, count: Any) -> Any:
        """Which lanes are among the first `count`."""
        kind = ir.VectorType(INDEX, self.lanes)
        empty = kind(ir.Undefined)
        one = self.builder.insert_element(empty, count, WORD(0))
        everywhere = self.builder.shuffle_vector(one, empty, _lanes([0] * self.lanes))
        return self.builder.icmp_signed("<", kind(list(range(self.lanes))), everywhere)

    def _add_to(self, target: Any) -> None:
        """Add up each register's lanes, two registers at a time, until a lane is a pair's sum."""
        totals, group = [self.builder.load(total) for total in self.sums], self.lanes
        while group > 1:
            halves = zip(totals[::2], totals[1::2], strict=True)
            totals, group = [self._halved(a, b, group) for a, b in halves], group // 2
        wide = ir.VectorType(ir.DoubleType(), self.lanes)
        for k, total in enumerate(totals):
            at = self.builder.gep(target, [INDEX(k * self.lanes)])
            at = self.builder.bitcast(at, wide.as_pointer())
            before = self.builder.load(at)
            before.align = 8
            value = total if self.bytes == 8 else self.builder.fpext(total, wide)
            self.builder.store(self.builder.fadd(before, value), at, align=8)

    def _halved(self, a: Any, b: Any, group: int) -> Any:
        """Each group of lanes' lower half plus its upper half: a's groups, then b's."""
        lower = [k for k in range(2 * self.lanes) if k % group < group // 2]
        upper = [k + group // 2 for k in lower]
        shuffle = self.builder.shuffle_vector
        return self.builder.fadd(shuffle(a, b, _lanes(lower)), shuffle(a, b, _lanes(upper)))

    def _place(self, row: Any, at: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(row, [at]), self.vector.as_pointer())

    def _suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.bytes}"


def _lanes(chosen: list[int]) -> Any:
    return ir.VectorType(WORD, len(chosen))(chosen)
