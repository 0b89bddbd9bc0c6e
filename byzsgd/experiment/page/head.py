"""What stands above a study's figures: when and on what it ran, how far it is, what is doubtful."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from byzsgd.experiment.page.sample import Sample
from byzsgd.experiment.page.study import Study
from byzsgd.experiment.page.words import count, situation_text


class Fact(NamedTuple):
    name: str
    text: str


class Remark(NamedTuple):
    """Something doubtful, of one cell or run, or of several alike."""

    text: str
    of: str


def facts(study: Study) -> list[Fact]:
    found = [
        Fact("Cells", _progress(study)),
        Fact("Runs", _runs(study)),
        Fact("When", _when(study.samples)),
        _each_once("Machine", [_machine(run.environment) for run in study.samples]),
        _each_once("Versions", [_versions(run.environment) for run in study.samples]),
        _each_once("Commit", [_commit(run.environment) for run in study.samples]),
    ]
    return [fact for fact in found if fact.text]


def remarks(study: Study) -> list[Remark]:
    """Impossible cells with reasons, runs that failed, warnings: each text once."""
    found: dict[str, list[str]] = {}
    for cell in study.cells:
        of = situation_text(cell.labels)
        if cell.impossible:
            found.setdefault(f"impossible: {cell.impossible}", []).append(of)
        for run in cell.samples.values():
            for text in _doubts(run):
                found.setdefault(text, []).append(of)
    if study.strangers:
        found["of no cell of the manifest, left out"] = list(study.strangers)
    return [Remark(text, _joined(of)) for text, of in found.items()]


def _doubts(run: Sample) -> list[str]:
    ending = f"{run.status} at step {run.steps} of {run.steps_planned}"
    doubts = [] if run.finished else [ending + (f": {run.message}" if run.message else "")]
    return doubts + [f"warning: {warning}" for warning in run.warnings]


def _joined(of: list[str], most: int = 4) -> str:
    """Each once, and no more than a line of them."""
    each = [f"{name} ({times}×)" if times > 1 else name for name, times in Counter(of).items()]
    rest = len(each) - most
    return "; ".join(each[:most]) + (f"; and {rest} more" if rest > 0 else "")


def _progress(study: Study) -> str:
    if not study.swept:
        return ""
    done = sum(len(cell.finished) == cell.planned for cell in study.cells)
    some = sum(0 < len(cell.finished) < cell.planned for cell in study.cells)
    impossible = sum(bool(cell.impossible) for cell in study.cells)
    parts = [f"{done} of {len(study.cells) - impossible} done"]
    parts += [f"{some} in part"] if some else []
    parts += [f"{impossible} impossible"] if impossible else []
    return ", ".join(parts)


def _runs(study: Study) -> str:
    counts = Counter(run.status for run in study.samples)
    told = ", ".join(f"{number} {status}" for status, number in counts.items())
    return told or "none yet"


def _when(samples: list[Sample]) -> str:
    """From the folders' names, which begin with the time in UTC."""
    form = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)")
    found = sorted(found.groups() for run in samples if (found := form.match(run.folder)))
    if not found:
        return ""
    first, last = (
        f"{y}-{m}-{d} {hour}:{minute}" for y, m, d, hour, minute in (found[0], found[-1])
    )
    return f"{first} UTC" if first == last else f"begun from {first} to {last} UTC"


def _each_once(name: str, texts: list[str]) -> Fact:
    """Most sweeps have one machine; where there are more, how many runs each had."""
    counts = Counter(filter(None, texts))
    several = len(counts) > 1
    told = [f"{text} ({count(n, 'run')})" if several else text for text, n in counts.items()]
    return Fact(name, "; ".join(told))


def _machine(environment: Mapping[str, Any]) -> str:
    cores, platform = environment.get("cores"), environment.get("platform")
    return ", ".join([f"{cores} cores"] * bool(cores) + [str(platform)] * bool(platform))


def _versions(environment: Mapping[str, Any]) -> str:
    names = [name for name in environment if name not in ("cores", "platform", "git_commit")]
    return ", ".join(f"{name} {environment[name]}" for name in names if environment[name])


def _commit(environment: Mapping[str, Any]) -> str:
    return str(environment.get("git_commit") or "")
