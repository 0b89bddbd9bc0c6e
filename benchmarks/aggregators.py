"""How fast the aggregation rules are: against memory, plain torch and byzfl.

    .venv/bin/python -m benchmarks.aggregators                       # all tables
    .venv/bin/python -m benchmarks.aggregators rules --counts 7 11   # one of them, smaller
    .venv/bin/python -m benchmarks.aggregators --quick               # whether it runs at all

One thread, float32, results written into memory that is there already. The contenders of a table
take turns, so that a noisy machine is noisy to all of them; what is printed are medians of CPU
times, and ratios of them. "Reads" are multiples of the time that adding up all n·d numbers takes.
byzfl is no dependency: `pip install --no-deps byzfl==0.0.11` and scipy; without it its columns are
empty.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, islice
from math import comb
from statistics import median
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.clouds import FAMILIES, HARD_FAMILIES
from byzsgd.aggregators import AGGREGATORS, AggregationError, compiled, configured
from byzsgd.aggregators.distances import pairwise_squared
from byzsgd.aggregators.mda import BUDGET, minimum_diameter_choice
from byzsgd.aggregators.testing.byzfl import byzfl_rule

Contender = Callable[[], object]
Times = Mapping[str, float]

SLOW_S: Final = 0.3
"""What takes longer than this is timed three times only."""
PEERS: Final[dict[str, tuple[str, dict[str, int]]]] = {
    "median": ("Median", {}),
    "trimmed_mean": ("TrMean", {}),
    "meamed": ("Meamed", {}),
    "multi_krum": ("MultiKrum", {}),
    "krum": ("Krum", {}),
    "mda": ("MDA", {}),
    "geometric_median": ("GeometricMedian", {"T": 8}),
    "centered_clipping": ("CenteredClipping", {"L": 3}),
}
"""byzfl's class of the same rule, and what it is made with: as many iterations of clipping, and 8
of Weiszfeld's, where ours goes on until nothing moves. It has no Phocas and no Bulyan."""
MDA_PEER_COUNT_MAX: Final = 15
"""Beyond, byzfl's enumeration takes minutes."""


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} CPUs, one thread\n")
    for name in options.tables:
        print(TABLES[name](options), flush=True)


def selection(options: argparse.Namespace) -> str:
    """MDA's subset from distances: typical inputs, then the hardest known ones."""
    minimum_diameter_choice(FAMILIES["gaussian"](31, 10, 0), 10, BUDGET)  # loads the kernel
    lines = []
    for n in (31, 50, 100, 200):
        for f in ((n - 1) // 3, (n - 1) // 2):
            hard = HARD_FAMILIES if n <= 100 else {}
            for name, family in {**FAMILIES, **hard}.items():
                times, exact = [], 0
                for seed in range(options.rounds):
                    squared = family(n, f, seed)
                    spent, choice = _timed(partial(minimum_diameter_choice, squared, f, BUDGET))
                    times.append(spent)
                    exact += choice.exact
                row = [n, f, name, _ms(median(times)), _ms(max(times)), f"{exact}/{len(times)}"]
                lines.append(row)
    head = ["n", "f", "input", "median ms", "max ms", "exact"]
    return _table("MDA selection alone", head, lines)


def enumeration(options: argparse.Namespace) -> str:
    """MDA's subset against trying all of them."""
    lines = []
    for n, f, peer in ((7, 2, True), (15, 4, True), (20, 6, not options.quick), (31, 10, False)):
        x = FAMILIES["gaussian"](n, f, 0)
        select = partial(minimum_diameter_choice, x, f, BUDGET)
        ours = median(_timed(select)[0] for _ in range(9))
        tried, spent = _enumerated(x, f, seconds=0.2 if options.quick else 2.0)
        every = spent * comb(n, f) / tried
        points = torch.randn(n, 10, generator=torch.Generator().manual_seed(0))
        theirs = _peer_time("mda", points, f, 1) if peer else None
        lines.append(
            [
                n,
                f,
                f"{comb(n, f):,}",
                _ms(ours),
                f"{every:.3g} s" + ("" if tried == comb(n, f) else " (from a sample)"),
                f"{every / ours:,.0f}×",
                f"{theirs:.3g} s" if theirs else "",
                f"{theirs / ours:,.0f}×" if theirs else "",
            ]
        )
    head = ["n", "f", "subsets", "ours, ms", "all subsets", "ratio", "byzfl (d = 10)", "ratio"]
    return _table("MDA selection against enumeration", head, lines)


def rules(options: argparse.Namespace) -> str:
    """Whole rules at large d, in reads of memory: medians over processes, and their range."""
    parts = []
    for n in options.counts:
        runs = [_rule_times(n, options, peers=not k) for k in range(options.processes)]
        names = [name for name in runs[0] if ":" not in name]
        lines = [
            [
                name,
                _ms(runs[0][name]),
                _ratio(name, "read", runs),
                _ratio(name, "torch.mean(0)", runs),
                *_against(name, runs[0]),
            ]
            for name in names
        ]
        head = ["", "ms", "reads", "/ torch.mean(0)", "plain torch", "byzfl"]
        title = f"n = {n}, f = {(n - 1) // 3}, d = {options.d:,}, {len(runs)} processes"
        parts.append(_table(title, head, lines))
    return "\n".join(parts)


def fallback(options: argparse.Namespace) -> str:
    """Without numba."""
    lines = []
    compiled.AVAILABLE = False
    for n in options.counts:
        x, out = normal(n, options.d), torch.empty(options.d)
        times = interleaved(
            {
                "median": partial(AGGREGATORS["median"], x, 0, out=out),
                "torch.median": partial(x.median, 0),
                "pairwise": partial(pairwise_squared, x),
                "norms": partial(_norms, x),
            },
            max(3, options.rounds // 3),
        )
        lines.append(
            [
                n,
                _ms(times["median"]),
                f"{times['torch.median'] / times['median']:.1f}×",
                _ms(times["pairwise"]),
                f"{times['norms'] / times['pairwise']:.1f}×",
            ]
        )
    compiled.AVAILABLE = True
    head = ["n", "median, ms", "faster than torch.median", "pairwise, ms", "than a loop of norms"]
    return _table(f"Plain torch, d = {options.d:,}", head, lines)


def compilation(options: argparse.Namespace) -> str:
    """Seconds until a rule has run once: never before on this machine, and in a later process."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("mda", "median", "trimmed_mean", "meamed", "phocas", "bulyan"):
            for n in (5, 11) if options.quick else (5, 7, 11, 15, 31):
                f = (n - 3) // 4
                cold, warm = (_first_call(name, n, f, folder) for _ in range(2))
                lines.append([name, n, f, f"{cold:.2f}", f"{warm:.2f}"])
    head = ["rule", "n", "f", "cold, s", "from the cache, s"]
    return _table("Compiling, in a process that has imported torch and numba", head, lines)


TABLES: Final[dict[str, Callable[[argparse.Namespace], str]]] = {
    "selection": selection,
    "enumeration": enumeration,
    "rules": rules,
    "fallback": fallback,
    "compilation": compilation,
}


def _rule_times(n: int, options: argparse.Namespace, peers: bool) -> Times:
    """Measured by a process of its own: where its memory lies makes a difference that stays."""
    program = (
        "import json, sys, torch; from benchmarks import aggregators as b\n"
        "torch.set_num_threads(1); n, d, rounds, peers = map(int, sys.argv[1:])\n"
        "contenders = b.contenders(b.normal(n, d), (n - 1) // 3, peers)\n"
        "print(json.dumps(b.interleaved(contenders, rounds)))"
    )
    numbers = (n, options.d, options.rounds, peers and not options.quick)
    command = [sys.executable, "-c", program, *(str(int(number)) for number in numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    times: Times = json.loads(done.stdout)
    return times


def _ratio(name: str, to: str, runs: Sequence[Times]) -> str:
    ratios = [run[name] / run[to] for run in runs]
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def contenders(x: Tensor, f: int, peers: int) -> dict[str, Contender]:
    """Everything of one table. A peer's name is the rule's with ":" and who it is."""
    n, out = len(x), torch.empty(x.shape[1])
    made: dict[str, Contender] = {
        "read": lambda: _read(x),
        "torch.mean(0)": lambda: torch.mean(x, 0, out=out),
        "pairwise": lambda: pairwise_squared(x),
    }
    for rule in (*AGGREGATORS.values(), configured("average", pre=["nnm"])):
        most = max(k for k in range(f + 1) if rule.minimum_n(k) <= n)  # fewer only for Bulyan
        made[rule.name] = partial(rule, x, most, out=out)
    if not peers:
        return made
    made |= {
        "pairwise: loop of norms": lambda: _norms(x),
        "pairwise: torch.cdist": lambda: torch.cdist(x, x),
        "median: torch.median": lambda: x.median(0),
        "trimmed_mean: torch.sort": lambda: x.sort(0).values[f : n - f].mean(0),
    }
    for name in PEERS:
        theirs = _peer(name, f) if name != "mda" or n <= MDA_PEER_COUNT_MAX else None
        if theirs:
            made[f"{name}: byzfl"] = partial(theirs, x)
    return made


def _against(name: str, times: Times) -> Iterator[str]:
    """How many times faster than plain torch, and than byzfl."""
    start = f"{name}: "
    peers = {key.removeprefix(start): times[key] for key in times if key.startswith(start)}
    yield ", ".join(
        f"{spent / times[name]:.1f}× {peer}" for peer, spent in peers.items() if peer != "byzfl"
    )
    yield f"{peers['byzfl'] / times[name]:.0f}×" if "byzfl" in peers else ""


def interleaved(among: Mapping[str, Contender], rounds: int) -> Times:
    """The median CPU seconds of each; who is slow has fewer turns."""
    times: dict[str, list[float]] = {name: [] for name in among}
    for contender in among.values():
        contender()
    for turn in range(rounds):
        for name, contender in among.items():
            if turn < 3 or times[name][0] < SLOW_S:
                times[name].append(_timed(contender)[0])
    return {name: median(spent) for name, spent in times.items()}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.thread_time()
    result = work()
    return time.thread_time() - start, result


@compiled.summing_kernel
def _sum(x: Any) -> Any:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


def _read(x: Tensor) -> float:
    """One pass over all of it, as fast as one core can."""
    return float(_sum(x.view(-1).numpy()))


def _norms(x: Tensor) -> list[float]:
    """What other libraries do."""
    return [(a - b).norm().item() for a, b in combinations(x, 2)]


def normal(n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n))


def _enumerated(squared: Tensor, f: int, seconds: float) -> tuple[int, float]:
    """How many subsets were tried for their diameter, and how long that took."""
    n, rows = len(squared), squared.tolist()
    tried, best, start = 0, float("inf"), time.thread_time()
    subsets = combinations(range(n), n - f)
    while batch := list(islice(subsets, 1000)):
        for subset in batch:
            best = min(best, max(rows[i][j] for i, j in combinations(subset, 2)))
        tried += len(batch)
        if time.thread_time() - start > seconds:
            break
    return tried, time.thread_time() - start


def _peer(name: str, f: int) -> Callable[[Tensor], Tensor] | None:
    try:
        called, options = PEERS[name]
        theirs = byzfl_rule(called, **options)
    except AggregationError:
        return None
    return lambda x: theirs(x, f)


def _peer_time(name: str, x: Tensor, f: int, rounds: int) -> float | None:
    theirs = _peer(name, f)
    return median(_timed(lambda: theirs(x))[0] for _ in range(rounds)) if theirs else None


def _first_call(name: str, n: int, f: int, folder: str) -> float:
    program = (
        "import sys, time, torch, numba\n"
        "from byzsgd.aggregators import AGGREGATORS\n"
        "start = time.perf_counter()\n"
        "AGGREGATORS[sys.argv[1]].warm([int(sys.argv[2])], int(sys.argv[3]))\n"
        "print(time.perf_counter() - start)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, name, str(n), str(f)],
        env={**os.environ, "BYZSGD_CACHE_DIR": folder, "NUMBA_CACHE_DIR": f"{folder}/{name}-{n}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _table(title: str, head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return f"{title}:\n\n" + "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows) + "\n"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--d", type=int, default=1_000_000, help="coordinates")
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 7, 11, 15, 31], help="n")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--processes", type=int, default=5, help="for the table of rules")
    parser.add_argument("--quick", action="store_true", help="small, and without byzfl's rules")
    options = parser.parse_args()
    options.tables = options.tables or list(TABLES)
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"no table {', '.join(sorted(unknown))}: there are {', '.join(TABLES)}")
    if options.quick:
        options.d, options.counts, options.rounds, options.processes = 20_000, [7, 11], 3, 2
    return options


if __name__ == "__main__":
    main()
