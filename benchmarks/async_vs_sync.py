"""Asynchronous against synchronous, and what it costs to trust nobody.

    .venv/bin/python -m benchmarks.async_vs_sync --html async-vs-sync.html

Five systems on one transport, in every situation of `sweeps/async-vs-sync.toml`, as real processes
that take turns, and how soon their models are good (`sweeps/accuracy.toml`). Then the same in
virtual time, at what everything cost in a real run that was measured in CPU seconds, and more nodes
than this machine has room for (`sweeps/scale.toml`); torch.distributed beside it. Nothing is
encrypted unless `--encryption curve` is given. It can be stopped at any time, and goes on from
there.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import gloo
from byzsgd.experiment.calibrated import calibrated
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.local import run_local
from byzsgd.experiment.page import write_page
from byzsgd.experiment.page.agreement import AGREED, agree
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import Sweep, load_sweep
from byzsgd.experiment.sweep.manifest import Manner
from byzsgd.experiment.sweep.run import run_missing
from byzsgd.experiment.sweep.swept import Swept, choose
from byzsgd.experiment.sweep.text import swept_text
from byzsgd.experiment.sweep.view import SweepView
from byzsgd.runtime.malloc import keep_freed_memory

SWEEPS: Final = Path(__file__).with_name("sweeps")
LOOPBACK: Final = {"kind": "exponential", "mean": 0.0001}
"""In seconds: what a message takes beside the work that the costs account for."""
NOT_SIMULATED: Final = ("bfloat16", "d = 7,510", "d = 1,756,426")
"""Situations in which something costs more or less than in the run that is measured."""
GLOO_STEPS: Final = 60


def main() -> None:
    options = _options()
    keep_freed_memory()
    changes: dict[str, object] = {"sweep.repeat": options.repeat, **json.loads(options.set)}
    file, runs, links = (
        SWEEPS / "async-vs-sync.toml",
        options.runs,
        Manner(encryption=options.encryption),
    )
    real = _run(load_sweep(file, changes), runs, links, options.only)
    print(swept_text(real), "\n")
    good = _run(load_sweep(SWEEPS / "accuracy.toml", changes), runs, links, [])
    print(swept_text(good), "\n")

    measured = _measured(real, runs)
    twin = {**changes, "simulation.cost": str(measured), "faults.delay": LOOPBACK}
    simulated = _run(
        load_sweep(file, twin), runs, Manner(simulated=True), _simulated(real, options.only)
    )
    print(*agreement(real, simulated), "", sep="\n")
    apart = {"sweep.repeat": options.repeat, "simulation.cost": _apart(measured, runs)}
    scale = _run(load_sweep(SWEEPS / "scale.toml", apart), runs, Manner(simulated=True), [])
    print(swept_text(scale), "\n")

    step_s = gloo.measured("mnist_cnn", GLOO_STEPS)
    print(f"torch.distributed (gloo) with the plain system's steps: {1e3 * step_s:.1f} ms")
    write_page([swept.folder for swept in (real, good, scale)], options.html)
    print(f"\n{options.html}")


def agreement(real: Swept, simulated: Swept) -> Iterator[str]:
    """Markdown: step times of both, where both ran."""
    yield "| system | situation | real, ms | simulated, ms | ratio |"
    yield "|---|---|---|---|---|"
    pairs = []
    theirs = _steps(simulated)
    for labels, real_s in _steps(real).items():
        if labels in theirs:
            pairs.append((theirs[labels], real_s))
            figures = (
                f"{1e3 * real_s:.1f} | {1e3 * theirs[labels]:.1f} | {theirs[labels] / real_s:.2f}"
            )
            yield f"| {' | '.join(labels)} | {figures} |"
    within = sum(agree(*pair) for pair in pairs)
    yield f"\n{within} of {len(pairs)} within {AGREED:.0%}"


def _steps(swept: Swept) -> dict[tuple[str, ...], float]:
    """Seconds of a step, the median over seeds."""
    found: dict[tuple[str, ...], list[float]] = {}
    for cell in swept.chosen:
        run = swept.run_of(cell)
        if run and run.status == "finished":
            found.setdefault(tuple(cell.labels.values()), []).append(run.step_s)
    return {labels: median(steps) for labels, steps in found.items()}


def _simulated(real: Swept, only: Sequence[str]) -> list[str]:
    """What to run in virtual time: what was to run, as far as its costs are known."""
    situations = [name for name in real.sweep.table.axes["situation"] if name not in NOT_SIMULATED]
    wanted = {word.removeprefix("situation=") for word in only if word.startswith("situation=")}
    others = [word for word in only if not word.startswith("situation=")]
    return [
        *others,
        *(f"situation={name}" for name in situations if name in (wanted or situations)),
    ]


def _measured(real: Swept, runs: Path) -> Path:
    """The record of a run of the asynchronous system with nothing wrong, in CPU seconds."""
    cell = next(
        cell
        for cell in real.sweep.cells
        if tuple(cell.labels.values()) == ("byzsgd-async", "nothing wrong")
    )
    assert cell.experiment
    experiment = Experiment.from_dict({**cell.experiment.to_dict(), "name": "cpu-times"})
    for path in sorted((runs / experiment.name).glob("*/result.json")):
        run = Run.open(path.parent)
        if (run.experiment_digest, run.status) == (experiment.digest, "finished"):
            return path.parent
    links = real.manner.encryption
    return run_local(experiment, runs=runs, encryption=links, measure_cpu=True).path


def _apart(measured: Path, runs: Path) -> str:
    """A file of costs of nodes that have a machine each.

    Vectors cost what they did in that run, all else is measured for every cell. The file's name
    says what is in it, since an experiment's digest has only the name.
    """
    cost = calibrated(measured)
    per_vector = {"send_s": cost.send_s, "receive_s": cost.receive_s}
    text = json.dumps({"base": "measured", **per_vector})
    path = runs / f"costs-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(text)
    return str(path)


def _run(sweep: Sweep, runs: Path, manner: Manner, only: Iterable[str]) -> Swept:
    with SweepView() as view:
        done = run_missing(sweep, choose(sweep, only), runs, manner, view)
    if done.interrupted:
        raise SystemExit("interrupted; start it again to go on")
    return done


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where records go")
    parser.add_argument("--repeat", type=int, default=3, help="seeds of every experiment")
    parser.add_argument("--html", type=Path, default=Path("async-vs-sync.html"))
    parser.add_argument("--encryption", choices=("none", "curve"), default="none")
    parser.add_argument("--only", nargs="*", default=[], metavar="AXIS=VARIANT")
    parser.add_argument("--set", default="{}", metavar="JSON", help="other values of keys")
    return parser.parse_args()


if __name__ == "__main__":
    main()
