"""What strength "auto" costs, beside the same attack at a fixed strength and a naive search.

    .venv/bin/python -m benchmarks.attacks                     # alie against every rule below
    .venv/bin/python -m benchmarks.attacks --attack ipm --sizes 79510
    .venv/bin/python -m benchmarks.attacks --quick             # whether it runs at all

One thread, float32. They take turns; what is printed are medians of CPU times, and ratios of them.
"Fixed" is the attack with a number for its strength; "torch" is the same in plain torch, whole rows
at a time; "auto" plays the rule through at 16 strengths besides; "naive" aggregates all
d coordinates for each of so many strengths.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.aggregators import interleaved
from byzsgd.aggregators import Rule, configured
from byzsgd.attacks import forge

RULES: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("krum", ()),
    ("mda", ()),
    ("bulyan", ()),
    ("median", ()),
    ("trimmed_mean", ()),
    ("mda", ("nnm",)),
)
OPTION: Final = {"alie": "z", "ipm": "epsilon", "sign_flip": "factor"}
EVALUATIONS: Final = 16
CLAIM: Final = 2.0
"""What the specification allows "auto" to cost, as a multiple of "fixed"."""


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, attack {options.attack}\n")
    for d in options.sizes:
        for n, f in CLUSTERS[: 1 if options.quick else None]:
            print(table(options, n, f, d), flush=True)


CLUSTERS: Final = ((11, 3), (51, 12))


def table(options: argparse.Namespace, n: int, f: int, d: int) -> str:
    honest = torch.randn(n - f, d, generator=torch.Generator().manual_seed(n)) + 0.1
    lines = [
        f"n = {n}, f = {f}, d = {d:,}:\n",
        "| rule | fixed, ms | auto, ms | torch / fixed | auto / fixed | auto / torch |"
        " naive / auto | naive / fixed | auto ≤ 2 × fixed |",
        "| --- " * 9 + "|",
    ]
    for name, pre in RULES:
        rule = configured(name, pre=pre)
        lines.append(_line(options, honest, rule, n, f))
    return "\n".join(lines) + "\n"


def _line(options: argparse.Namespace, honest: Tensor, rule: Rule, n: int, f: int) -> str:
    made = partial(forge, options.attack, honest, n=n, f=f, rule=rule)
    declared = rule.tolerable(n, f)
    auto = {OPTION[options.attack]: "auto"}
    contenders: dict[str, Callable[[], Any]] = {
        "": made,  # finds the caches as the naive search left them, and is not counted
        "fixed": made,
        "torch": partial(_plain, honest, options.attack),
        "auto": partial(made, **auto),
        "naive": partial(_naive, honest, rule, options.attack, n, f, declared),
    }
    times = interleaved(contenders, options.rounds)
    fixed, auto_s = times["fixed"], times["auto"]
    ratios = (
        times["torch"] / fixed,
        auto_s / fixed,
        auto_s / times["torch"],
        times["naive"] / auto_s,
        times["naive"] / fixed,
    )
    cells = [rule.name, f"{fixed * 1e3:.2f}", f"{auto_s * 1e3:.2f}", *(f"{r:.1f}" for r in ratios)]
    return f"| {' | '.join(cells)} | {'yes' if auto_s <= CLAIM * fixed else 'no'} |"


def _plain(honest: Tensor, attack: str) -> Tensor:
    """The fixed attack as one would first write it."""
    mean = honest.mean(0)
    if attack != "alie":
        return mean.mul_(-0.1)
    return mean.sub_((honest - mean).square_().mean(0).sqrt_(), alpha=1.5)


def _naive(honest: Tensor, rule: Rule, attack: str, n: int, f: int, declared: int) -> float:
    """The whole aggregation at every strength: the largest displacement."""
    made: Callable[..., Tensor] = partial(forge, attack, honest, n=n, f=f)
    base = made(**{OPTION[attack]: 0.0})
    direction = made(**{OPTION[attack]: 1.0}) - base
    mean, best = honest.mean(0), 0.0
    rows = torch.cat([honest, honest.new_empty(f, honest.shape[1])])
    for evaluation in range(EVALUATIONS):
        rows[n - f :] = base + direction * 2.0 ** (evaluation / 2 - 4)
        best = max(best, float(torch.linalg.vector_norm(rule(rows, declared) - mean)))
    return best


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--attack", choices=OPTION, default="alie")
    parser.add_argument("--sizes", type=int, nargs="+", default=[79_510, 1_700_000], help="d")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="small")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.rounds = [5000], 3
    return options


if __name__ == "__main__":
    main()
