"""A sweep's manifest, and which records are of which of its cells."""

import itertools
import math
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from byzsgd.errors import ConfigError
from byzsgd.experiment.files import read_json
from byzsgd.experiment.page.parts import number
from byzsgd.experiment.page.sample import Sample, sample
from byzsgd.experiment.page.study import Cell, Labels
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.manifest import Manner, is_simulated
from byzsgd.runtime.roster import Encryption


class Manifest:
    """`sweep.json`, as far as a page needs it."""

    def __init__(self, path: Path, tables: Mapping[str, Any], simulated: bool) -> None:
        self.name = str(tables.get("name", path.parent.name))
        target = number(tables.get("target"))
        self.target = None if math.isnan(target) else target
        self.manner = Manner(simulated, _encryption(tables))
        axes = {axis: tuple(map(str, names)) for axis, names in tables["axes"].items()}
        self.axes = axes or {"experiment": (self.name,)}
        self._entries: dict[Labels, list[dict[str, Any]]] = {}
        for entry in tables["cells"]:
            labels = {axis: str(entry["labels"][axis]) for axis in axes}
            place = tuple((labels or {"experiment": self.name}).items())
            if any(variant not in self.axes[axis] for axis, variant in place):
                raise ValueError(f"{labels} is not among the axes' variants")
            self._entries.setdefault(place, []).append(entry)

    @classmethod
    def read(cls, folder: Path, simulated: bool) -> "Manifest":
        path = folder / Manner(simulated).manifest
        tables = read_json(path)
        try:
            return cls(path, tables, simulated)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: is no manifest of a sweep: {error!r}") from None

    @cached_property
    def _digests(self) -> set[str]:
        entries = itertools.chain.from_iterable(self._entries.values())
        return {str(entry.get("digest", "")) for entry in entries} - {""}

    def cells(self, runs: Collection[Run], broken: list[str]) -> tuple[Cell, ...]:
        """What is compared stands together: all variants of the first axis, then the next ones."""
        situations = list(dict.fromkeys(labels[1:] for labels in self._entries))
        order = sorted(self._entries, key=lambda labels: situations.index(labels[1:]))
        return tuple(self._cell(labels, runs, broken) for labels in order)

    def _cell(self, labels: Labels, runs: Collection[Run], broken: list[str]) -> Cell:
        entries, samples = self._entries[labels], {}
        for place, entry in enumerate(entries):
            digest = {str(entry.get("digest", ""))} - {""}
            candidates = [run for run in runs if _is_of(run, digest) and self.manner.is_of(run)]
            if candidates and (read := read_sample(max(candidates, key=_merit), broken)):
                seed = number(entry.get("seed"))
                samples[place if math.isnan(seed) else int(seed)] = read
        reasons = [str(entry["impossible"]) for entry in entries if entry.get("impossible")]
        return Cell(labels, samples, len(entries), reasons[0] if reasons else "")

    def knows(self, run: Run) -> bool:
        """Whether a run's experiment is one of the cells'."""
        return _is_of(run, self._digests)

    def holds(self, run: Run) -> bool:
        """Whether it was run as the sweep's are, too."""
        return self.knows(run) and self.manner.is_of(run)


def _encryption(tables: Mapping[str, Any]) -> Encryption:
    """Manifests of simulated sweeps have none, and what Manner says is then of no account."""
    found: Encryption = tables.get("encryption") or "curve"
    if found not in get_args(Encryption):
        raise ValueError(f"encryption {found!r} is none of {get_args(Encryption)}")
    return found


def _is_of(run: Run, digests: set[str]) -> bool:
    """Of a run that has not ended only the digest's first digits are known."""
    if run.result:
        return run.experiment_digest in digests
    return any(digest.startswith(run.experiment_digest) for digest in digests)


def _merit(run: Run) -> tuple[bool, str]:
    return run.status == "finished", run.path.name


def read_sample(run: Run, broken: list[str]) -> Sample | None:
    """A record that cannot be told of is listed as broken: one must not cost the others' page."""
    try:
        return sample(run, is_simulated(run))
    except ConfigError as error:
        broken.append(str(error))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        broken.append(f"{run.path}: is damaged: {error!r}")
    return None
