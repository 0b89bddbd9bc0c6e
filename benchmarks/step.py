"""Where the time of a step goes: asynchronous ByzSGD, plain settings, and the gradients alone.

    .venv/bin/python -m benchmarks.step --repeat 5

Every node is a process of its own on this machine. The configurations take turns, so that a noisy
machine is noisy to all of them; what is printed are medians over the repetitions, and ratios within
one repetition. Links are encrypted ("curve"), on the loopback ("none") or shared memory ("memory").
Parts are of one node in one step, the mean over nodes and steps: waits by the clock, computations
in seconds of CPU. Servers and workers overlap, so they do not add up to a step.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.step_cases import SERVER_PARTS, WORKER_PARTS, Case, System, measured

Results = dict[Case, list[dict[str, Any]]]

SMALL: Final = ("mnist_mlp", "mnist_cnn")
LARGE: Final = ("cifar_cnn",)
SYSTEMS: Final[tuple[System, ...]] = ("byzsgd", "plain")
WHOLE: Final = (
    ("step, ms", "step", 1e3),
    ("CPU of all nodes, ms a step", "cpu", 1e3),
    ("sent by all nodes, MB a step", "bytes", 1e-6),
    ("memory of all nodes (PSS), MB", "pss", 1e-6),
    ("aggregation, % of the CPU", "aggregation", 1e2),
)


def main() -> None:
    options = _options()
    cases = _cases(options)
    results: Results = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(options.repeat):
            for case in cases:
                print(f"{round_ + 1}/{options.repeat} {case.model} {case.name}", file=sys.stderr)
                results[case].append(measured(case, Path(folder)))
        print(_machine())
        for model in options.models:
            print(f"\n### {model}\n")
            print(table({case: rows for case, rows in results.items() if case.model == model}))
        if options.stall:
            stalled = measured(
                Case("cifar_cnn", options.large, "byzsgd", "curve", True), Path(folder)
            )
            print(f"\nLongest event-loop stall, cifar_cnn, CURVE: {1e3 * stalled['stall']:.0f} ms")


def _cases(options: argparse.Namespace) -> list[Case]:
    cases = []
    for model in options.models:
        steps = options.large if model in LARGE else options.small
        cases.append(Case(model, steps, "gradients alone"))
        cases += [
            Case(model, steps, system, links)
            for links in options.links
            for system in options.systems
        ]
    return cases


def table(results: Results) -> str:
    """Markdown: a column for each case, in milliseconds, and the ratios between them."""
    lines = ["| | " + " | ".join(case.name for case in results) + " |"]
    lines.append("|---|" + "---|" * len(results))
    for label, key, scale in WHOLE:
        lines.append(_line(label, (_cell(rows, scale, key) for rows in results.values())))
    for role, parts in (("server", SERVER_PARTS), ("worker", WORKER_PARTS)):
        for part in parts:
            cells = (_cell(rows, 1e3, role, part) for rows in results.values())
            lines.append(_line(f"{role}: {part}, ms", cells))
    for label, key, base in (
        ("step / gradients alone", "step", "gradients alone"),
        ("the same of CPU", "cpu", "gradients alone"),
        ("step / plain step", "step", "plain, {links}"),
        ("step / step without encryption", "step", "{system}, none"),
        ("the same of CPU", "cpu", "{system}, none"),
    ):
        cells = (_ratio(results, case, key, base) for case in results)
        lines.append(_line(f"**{label}**", cells))
    return "\n".join(lines)


def _cell(rows: list[dict[str, Any]], scale: float, *keys: str) -> str:
    """The median over the repetitions; nothing where there is no such number."""
    values: list[Any] = list(rows)
    for key in keys:
        values = [value[key] for value in values if key in value]
    return f"{scale * median(values):.2f}" if values else ""


def _ratio(results: Results, case: Case, key: str, base: str) -> str:
    """Within each repetition."""
    name = base.format(system=case.system, links=case.links)
    found = [rows for other, rows in results.items() if other.name == name]
    if not found or case.system == "gradients alone":
        return ""
    pairs = zip(results[case], found[0], strict=True)
    ratios = [mine[key] / theirs[key] for mine, theirs in pairs]
    return f"**{median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f})"


def _line(label: str, cells: Iterable[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _machine() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return json.dumps(
        {
            "commit": commit,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "command": " ".join(["python -m benchmarks.step", *sys.argv[1:]]),
        }
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models = [*SMALL, *LARGE]
    links = ["curve", "none", "memory"]
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of every case")
    parser.add_argument("--small", type=int, default=100, help="steps with d of about 80,000")
    parser.add_argument("--large", type=int, default=30, help="steps with d = 1,756,426")
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--links", nargs="+", choices=links, default=links)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--stall", action="store_true", help="measure the event loops' stalls too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
