"""Records and manifests such as runs and sweeps leave, and what a page made of them says."""

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import Lines, measures_path, write_json
from byzsgd.experiment.page import write_page
from byzsgd.experiment.page.gather import gather
from byzsgd.experiment.page.study import Study
from byzsgd.experiment.record import Record, Status

STEPS = 12
SYSTEMS = ("plain", "byzsgd-async", "byzsgd-sync")
STEP_S = {"plain": 0.01, "byzsgd-async": 0.02, "byzsgd-sync": 0.03}


def experiment(name: str = "swept", seed: int = 1, **plan: Any) -> Experiment:
    return Experiment(
        name=name,
        seed=seed,
        cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        plan={"steps": STEPS, **plan},
        byzantine={"server-0": {"attack": "nan"}},
    )


def record(
    runs: Path,
    made: Experiment,
    step_s: float = 0.01,
    status: Status | None = "finished",
    simulated: bool = False,
    best: float = 0.9,
    **more: Any,
) -> Path:
    """A record such as a run leaves, whose steps all took `step_s`; pending without a status.

    It gets better evenly, up to `best`; `more` is told in its result.
    """
    kept = Record.begin(made, runs)
    for step in range(0, STEPS + 1, 4):
        accuracy = 0.1 + (best - 0.1) * step / STEPS
        kept.evaluation(
            step=step, accuracy=accuracy, loss=1.0, diameter=0.1, models=4, seconds=step * step_s
        )
    for node in made.cluster.nodes:
        with Lines(measures_path(kept.path, node)) as lines:
            for step in range(1, STEPS + 1):
                told = {**measures(node.role, step_s), **seen(made, node.role, step)}
                lines.write(step=step, seconds=100 + step * step_s, **told)
        if not simulated:
            (kept.path / "logs" / f"{node}.log").touch()
        kept.event("totals", node=str(node), **totals(made, node))
    if status is None:
        kept.close()
        return kept.path
    more |= {"history": "0" * 64} if simulated else {}
    ended = kept.finish(
        status, accuracy=0.9, steps=STEPS, diameter=0.1, seconds=1.0, message="", **more
    )
    return ended.path


def measures(role: str, step_s: float) -> dict[str, float]:
    if role == "server":
        return {
            "in_gradients_s": 0.8 * step_s,
            "in_updating_s": 0.2 * step_s,
            "prepare_s": 0.1 * step_s,
            "aggregate_s": 0.1 * step_s,
            "encode_s": 0.1 * step_s,
        }
    return {"in_models_s": 0.4 * step_s, "in_gradient_s": 0.6 * step_s, "compute_s": 0.5 * step_s}


def seen(made: Experiment, role: str, step: int) -> dict[str, Any]:
    """Of an update at a server, or of the models at a worker; worker-6 is never chosen."""
    if role == "worker":
        heard = {"step": step - 1, "of": ["server-0", "server-1"], "marks": [step, 7]}
        return {"models": {**heard, "moved": 0.1, "lies": {"server-0": 2.5}}}
    workers = [str(worker) for worker in made.cluster.worker_ids]
    found = {"ratio": step / 4, "bound": 1.0, "met": int(step <= 4), "moved": 0.5, "lies": {}}
    heard = {"step": step - 1, "marks": list(range(len(workers)))}
    return {"quorum": workers, "chosen": workers[:-1], "gradients": {**heard, **found}}


def totals(made: Experiment, node: Any) -> dict[str, Any]:
    peers = made.cluster.workers if node.role == "server" else made.cluster.servers
    kind = "worker" if node.role == "server" else "server"
    judged = {
        "server-0": {"not finite": 4, "lipschitz": 9, "outlier": 5, "late": 5},
        "server-1": {"accepted": 18, "lipschitz": 1, "outlier": 1, "late": 20},
    }
    return {
        "bytes_sent": 1200 * peers,
        "bytes_received": 1200 * peers,
        "cpu_s": 0.12,
        "links": {f"{kind}-{peer}": [1200, 1200] for peer in range(peers)},
        "lags": {"-1": 10, "0": 80, "2": 10},
        **({"judged": judged} if node.role == "worker" else {}),
    }


def manifest(
    folder: Path, cells: list[dict[str, Any]], axes: Mapping[str, Any], **more: Any
) -> None:
    simulated = bool(more.get("simulated"))
    name = "sweep-simulated.json" if simulated else "sweep.json"
    values = {"name": folder.name, "repeat": 1, "target": 0.6, "simulated": simulated}
    write_json(folder / name, {**values, "axes": axes, "cells": cells, **more})


def sweep(runs: Path, simulated: bool = False, slower: float = 1.0) -> Path:
    """Three systems in two situations, two seeds; one is impossible, one failed, one not run."""
    cells: list[dict[str, Any]] = []
    for at, what in enumerate(("nothing", "gather_every 5")):
        for place, system in enumerate(SYSTEMS):
            for seed in (1, 2):
                labels = {"system": system, "what": what}
                made = experiment(seed=seed, window=3 + place, gather_every=10 + at)
                cell = {"labels": labels, "seed": seed, "digest": made.digest}
                if at and system == "byzsgd-sync":
                    cell = {
                        "labels": labels,
                        "seed": seed,
                        "impossible": "3 f + 2 servers <needed>",
                    }
                elif at and system == "byzsgd-async":
                    if seed == 1:
                        record(runs, made, status="failed", simulated=simulated)
                else:
                    step_s = slower * STEP_S[system] * (1 if seed == 1 else 2)
                    record(runs, made, step_s, simulated=simulated)
                cells.append(cell)
    axes = {"system": list(SYSTEMS), "what": ["nothing", "gather_every 5"]}
    manifest(runs / "swept", cells, axes, simulated=simulated)
    return runs / "swept"


def studies(folder: Path) -> tuple[Study, Study]:
    """The real one and the simulated one."""
    real, simulated = gather([folder]).studies
    return real, simulated


class Text(HTMLParser):
    """What a page says and asks for: its words, ids, tags, and whatever would be fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href") and not str(value).startswith("#"):
                self.fetched.append(str(value))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def __contains__(self, words: str) -> bool:
        return words in " ".join(" ".join(self.words).split())


def page_of(paths: list[Path], file: Path) -> str:
    write_page(paths, file)
    return file.read_text(encoding="utf-8")
