"""What links cost: point to point against raw sockets, and many to one against gloo.

    .venv/bin/python -m benchmarks.transport --repeat 5

Every node is a process of its own on this machine, and of each pair one sends as fast as credit
allows. Contenders take turns, so that a noisy machine is noisy to all of them; what is printed are
medians over the repetitions, with ranges, and ratios within one repetition. CPU is that of all
processes together, their transport's threads included; nothing looks at the vectors.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from benchmarks.transport_links import Way, links
from benchmarks.transport_peers import Measured, gloo_gather, raw_sockets

MB = 1_000_000
FAN_IN, FAN_IN_BYTES = 7, 7 * MB
GOALS = "goals: 0.85 × raw at 4–100 MB, 0.5 CPU s/GB, fan-in 1.5 × gloo"

Contender = Callable[[], Measured]


def main() -> None:
    options = _options()
    print(f"`python -m benchmarks.transport {' '.join(sys.argv[1:])}`; {GOALS}\n")
    print("| one to one | MB | GB/s | CPU s/GB | × raw |\n|---|---|---|---|---|")
    for size in options.sizes:
        nbytes = int(size * MB)
        count = max(8, int(options.volume * 1000 * MB / nbytes))
        contenders: dict[str, Contender] = {"raw TCP": partial(raw_sockets, nbytes, count)}
        for way in options.ways:
            contenders[way] = partial(links, way, 1, nbytes, count)
        _print_table(f"{size:g}", measured(contenders, options.repeat), "raw TCP")
    print(f"\n| {FAN_IN} to one | MB | GB/s | CPU s/GB | × gloo |\n|---|---|---|---|---|")
    rounds = max(5, int(options.volume * 1000 * MB / FAN_IN_BYTES / FAN_IN))
    contenders = {"gloo gather": partial(gloo_gather, FAN_IN, FAN_IN_BYTES, rounds)}
    for way in options.ways:
        contenders[way] = partial(links, way, FAN_IN, FAN_IN_BYTES, rounds)
    _print_table(f"{FAN_IN_BYTES / MB:g}", measured(contenders, options.repeat), "gloo gather")


def measured(contenders: dict[str, Contender], repeat: int) -> dict[str, list[Measured]]:
    """All contenders in turn, so many times."""
    results: dict[str, list[Measured]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, contender in contenders.items():
            print(name, file=sys.stderr)
            results[name].append(contender())
    return results


def _print_table(size: str, results: dict[str, list[Measured]], reference: str) -> None:
    for name, runs in results.items():
        pairs = zip(runs, results[reference], strict=True)
        ratios = [mine.gb_per_s / theirs.gb_per_s for mine, theirs in pairs]
        cells = (
            _told([run.gb_per_s for run in runs]),
            _told([run.cpu_s_per_gb for run in runs]),
            _told(ratios),
        )
        print(f"| {name} | {size} | " + " | ".join(cells) + " |", flush=True)


def _told(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of every contender")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.4, 4, 40, 100], help="in MB")
    parser.add_argument(
        "--volume", type=float, default=2, help="GB to be moved in each measurement"
    )
    parser.add_argument("--ways", nargs="+", type=Way, choices=list(Way), default=list(Way))
    return parser.parse_args()


if __name__ == "__main__":
    main()
