"""Reports as plain text: the plan of an experiment, and runs side by side."""

import math
from collections.abc import Iterable, Sequence

from byzsgd.experiment.plan import (
    PROCESS_PRIVATE_BYTES,
    PROCESS_RSS_BYTES,
    MemoryPlan,
    PlanReport,
    SidePlan,
)


def plan_text(report: PlanReport) -> str:
    """For people; `PlanReport.to_dict` is for programs."""
    process, unshared = size(PROCESS_RSS_BYTES), size(PROCESS_PRIVATE_BYTES)
    beside = f"{process} for Python, torch and numba ({unshared} unshared)"
    lines = [
        f"{report.name}: {report.steps:,} steps of {report.dimension:,} parameters, "
        f"digest {report.digest[:12]}",
        "",
        *table([_SIDE_HEAD, *map(_side_row, report.sides)]),
        *(_lies(side) for side in report.sides if side.liars),
        "",
        *_traffic(report),
        "",
        f"The most a node can be made to hold, beside {beside}:",
        *table([_MEMORY_HEAD, *map(_memory_row, report.memory)]),
        *(f"\nwarning: {warning}" for warning in report.warnings),
    ]
    return "\n".join(lines)


def _lies(side: SidePlan) -> str:
    return "  lies: " + ", ".join(f"{node} ({attack})" for node, attack in side.liars.items())


def _traffic(report: PlanReport) -> Iterable[str]:
    ratio = report.vectors / report.vectors_plain
    yield (
        f"network  {report.vectors:,.1f} vectors a step over {report.links} links, "
        f"{size(report.step_bytes)}: {ratio:.1f} times the {report.vectors_plain} vectors of a "
        f"plain parameter server"
    )
    if report.sides[0].nodes > 1:
        yield (
            f"gather   after every {report.gather_every} steps; the theory asks for "
            f"T ≤ 1/(3 l η₁), which holds for l ≤ {report.lipschitz_max:.3g}"
        )


def table(rows: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """Columns as wide as their widest cell; the first `words` to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_cells(row, widths, words)).rstrip() for row in rows]


def _cells(row: Sequence[str], widths: Sequence[int], words: int) -> Iterable[str]:
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if column < words else cell.rjust(width)


def size(nbytes: float) -> str:
    """Bytes in decimal units, to three digits: 22.9 MB."""
    power = max(0, min(4, int(math.log10(max(1, nbytes)) // 3)))
    return f"{nbytes / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


_SIDE_HEAD = ("", "nodes", "liars", "f", "f allowed", "quorum", "quorum allowed")
_MEMORY_HEAD = ("", "links", "received", "to send", "at work", "together")


def _side_row(side: SidePlan) -> tuple[str, ...]:
    return (
        f"{side.role}s",
        str(side.nodes),
        str(len(side.liars)),
        str(side.f),
        _range(0, side.f_max),
        str(side.quorum),
        _range(side.quorum_min, side.quorum_max),
    )


def _memory_row(memory: MemoryPlan) -> tuple[str, ...]:
    parts = (memory.held, memory.outboxes, memory.workspace, memory.vectors)
    return (memory.role, str(memory.links), *map(size, parts))


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
