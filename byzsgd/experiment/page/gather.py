"""Records and manifests as studies: sweeps, and runs that belong to none."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from byzsgd.errors import ConfigError
from byzsgd.experiment.page.manifest import Manifest, read_sample
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.report import report
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.manifest import MANIFESTS, encryption_of, is_simulated


@dataclass
class Gathered:
    studies: list[Study] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def runs(self) -> int:
        return sum(len(study.samples) for study in self.studies)


def gather(paths: Iterable[Path]) -> Gathered:
    """Each sweep whose folder is among `paths` or right inside one, then all runs of no sweep."""
    paths = list(paths)
    found, gathered = report(paths), Gathered()
    left: dict[Path, Run] = {}
    for run in found.runs:
        left.setdefault(run.path.resolve(), run)  # paths may lead to a run in two ways
    folders = dict.fromkeys(folder for path in paths for folder in _folders(path.resolve()))
    for folder in folders:
        _add_sweeps(folder, left, gathered)
    if left:
        gathered.studies.append(_loose(list(left.values()), gathered.broken))
    gathered.broken += [reason for path, reason in found.broken if path.resolve() not in folders]
    gathered.broken += [
        why for study in gathered.studies for run in study.samples for why in run.broken
    ]
    return gathered


def _folders(path: Path) -> Iterator[Path]:
    for folder in (path, *sorted(path.glob("*"))):
        if any((folder / name).is_file() for name in MANIFESTS.values()):
            yield folder


def _add_sweeps(folder: Path, left: dict[Path, Run], gathered: Gathered) -> None:
    """The sweeps of a folder, real and simulated. Their runs are taken out of `left`."""
    manifests = list(_manifests(folder, gathered.broken))
    inside = {path: run for path, run in left.items() if path.parent == folder}
    strangers = tuple(_strangers(manifests, inside.values()))
    for manifest in manifests:
        gathered.studies.append(_study(manifest, inside.values(), gathered.broken, strangers))
        strangers = ()  # they are told of once
    if manifests:
        for path in inside:
            del left[path]


def _study(
    manifest: Manifest, runs: Collection[Run], broken: list[str], strangers: tuple[str, ...]
) -> Study:
    return Study(
        name=manifest.name,
        simulated=manifest.manner.simulated,
        axes=manifest.axes,
        cells=manifest.cells(runs, broken),
        target=manifest.target,
        strangers=strangers,
    )


def _manifests(folder: Path, broken: list[str]) -> Iterator[Manifest]:
    for simulated, name in MANIFESTS.items():
        if (folder / name).is_file():
            try:
                yield Manifest.read(folder, simulated)
            except ConfigError as error:
                broken.append(str(error))


def _strangers(manifests: list[Manifest], runs: Iterable[Run]) -> Iterator[str]:
    """Runs of none of the cells; of those whose experiment is a cell's also how they were run."""
    for run in runs:
        if any(manifest.knows(run) for manifest in manifests):
            if not any(manifest.holds(run) for manifest in manifests):
                yield f"{run.path.name} ({_made(run)})"
        else:
            yield run.path.name


def _made(run: Run) -> str:
    return "simulated" if is_simulated(run) else f"real, encryption {encryption_of(run)}"


def _loose(runs: list[Run], broken: list[str]) -> Study:
    """Runs of no sweep: each is a cell, called by its folder."""
    alone = len({run.name for run in runs}) == 1
    cells = []
    for run in runs:
        label = run.path.name if alone else f"{run.name}/{run.path.name}"
        if read := read_sample(run, broken):
            label += ", simulated" if read.simulated else ""
            cells.append(Cell((("run", label),), {0: read}))
    name = runs[0].name if alone else "runs"
    simulated = all(cell.samples[0].simulated for cell in cells) and bool(cells)
    axes = {"run": tuple(dict.fromkeys(cell.labels[0][1] for cell in cells))}
    return Study(name, simulated, axes, tuple(cells), swept=False)
