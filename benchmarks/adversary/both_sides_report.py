"""What came of each attack of servers with each of workers."""

import math
from collections.abc import Iterator
from statistics import median
from typing import Final

from benchmarks.adversary.found import Figure, Found, accuracy, at_least, shown
from benchmarks.adversary.preset import Claim, Report, every, grid
from byzsgd.experiment.results import Run

NOBODY: Final = "nobody"
BROKEN: Final = 10.0
"""Points of accuracy below the run without attacks."""
LOSS: Final = 1.0
"""Whose loss is above this has not learnt: chance is ln 10 = 2.3."""
APART: Final = 10.0
"""Times the diameter of the run without attacks."""
SLOWER: Final = 10.0
"""Times as long for as many steps."""
LAST: Final = 5
"""Steps over which the workers' loss is taken."""
WEAK: Final = (
    "Two of seven such lies are too short, too old or too near the truth to turn an average "
    "round in 60 steps, or they do not aim at accuracy (mimic, backdoor)."
)


def report(found: Found) -> Report:
    lines = [
        "Accuracy in %, with each attack of workers (rows) and of a server (columns); a cell is "
        f"broken below {_bar(found):.1f}:",
        "",
        *_matrix(found, accuracy, ".0f"),
        "",
        "Final diameter of the correct replicas; where liars say nothing, or too late, all wait "
        "for the same quorum, and it is 0:",
        "",
        *_matrix(found, diameter, ".2g"),
        "",
        f"A plain parameter server is broken below {_bar(found):.1f} %, where workers have a loss "
        f"above {LOSS:g}, and where it takes more than {SLOWER:g} times as long:",
        "",
        *_plain(found),
    ]
    return Report(lines, [*_claims(found), *_claims_of_plain(found)])


def diameter(run: Run) -> float:
    return run.diameter


def seconds(run: Run) -> float:
    """In virtual time."""
    return run.seconds


def loss(run: Run) -> float:
    """Of the honest workers over their last steps: what a lying server's model is worth."""
    workers = (node for node in run.experiment.honest if node.role == "worker")
    last = [
        float(line["loss"]) if line.get("loss") is not None else math.inf
        for node in workers
        for line in run.measures(node)[-LAST:]
    ]
    return median(last) if last else math.nan


def _bar(found: Found) -> float:
    return found.figure(accuracy, server=NOBODY, worker=NOBODY) - BROKEN


def _matrix(found: Found, of: Figure, form: str) -> list[str]:
    servers = found.variants("server")
    rows = [
        (worker, *(_cell(found, of, form, "", server=s, worker=worker) for s in servers))
        for worker in found.variants("worker")
    ]
    return grid(("", *servers), rows)


def _plain(found: Found) -> list[str]:
    names = dict.fromkeys((*found.variants("worker"), *found.variants("server")))
    rows = [(name, *_of_workers(found, name), *_of_server(found, name)) for name in names]
    heads = ("two workers lie: accuracy, %", "broken", "the server lies: workers' loss", "broken")
    return grid(("attack", *heads), rows)


def _of_workers(found: Found, name: str) -> tuple[str, str]:
    if name not in found.variants("worker", "plain-workers"):
        return "", ""
    text = _cell(found, accuracy, ".1f", "plain-workers", worker=name)
    return text, _yes(_worker_breaks(found, name))


def _of_server(found: Found, name: str) -> tuple[str, str]:
    if name not in found.variants("server", "plain-server"):
        return "", ""
    text = _cell(found, loss, ".2g", "plain-server", server=name)
    return text, _yes(_server_breaks(found, name))


def _cell(found: Found, of: Figure, form: str, sweep: str, **labels: str) -> str:
    if found.state(sweep, **labels) == "failed":
        return "stuck"
    return shown(found.figure(of, sweep, **labels), form)


def _worker_breaks(found: Found, name: str) -> bool | None:
    if _held_up(found, "plain-workers", "worker", name):
        return True
    kept = at_least(found.figure(accuracy, "plain-workers", worker=name), _bar(found))
    return None if kept is None else not kept


def _server_breaks(found: Found, name: str) -> bool | None:
    if _held_up(found, "plain-server", "server", name):
        return True
    return at_least(found.figure(loss, "plain-server", server=name), LOSS)


def _held_up(found: Found, sweep: str, side: str, name: str) -> bool:
    """For ever, or for so long that it makes no difference."""
    took_s, usual_s = (found.figure(seconds, sweep, **{side: who}) for who in (name, NOBODY))
    return found.state(sweep, **{side: name}) == "failed" or took_s > SLOWER * usual_s


def _yes(broken: bool | None) -> str:
    return "–" if broken is None else "yes" if broken else "no"


def _claims(found: Found) -> list[Claim]:
    cells = list(_cells(found))
    stuck = [f"{w} with {s}" for s, w in cells if found.state(server=s, worker=w) == "failed"]
    known = {(s, w): found.figure(accuracy, server=s, worker=w) for s, w in cells}
    worst = min(known, key=lambda cell: known[cell])
    apart = {cell: found.figure(diameter, server=cell[0], worker=cell[1]) for cell in cells}
    farthest = max(apart, key=lambda cell: apart[cell])
    still = found.figure(diameter, server=NOBODY, worker=NOBODY)
    holds = every({str(cell): at_least(value, _bar(found)) for cell, value in known.items()})
    return [
        Claim(
            f"With one third of liars on both sides none of {len(cells)} combinations is broken "
            f"(more than {BROKEN:.0f} points lost).",
            False if stuck else holds,
            f"worst: {worst[1]} with {worst[0]}, {shown(known[worst])} %; stuck: {len(stuck)}",
        ),
        Claim(
            f"The correct replicas stay together (within {APART:.0f} times the diameter without "
            "attacks).",
            at_least(APART * still, apart[farthest]),
            f"{farthest[1]} with {farthest[0]}: {shown(apart[farthest], '.2g')}, "
            f"without attacks {shown(still, '.2g')}",
        ),
    ]


def _claims_of_plain(found: Found) -> list[Claim]:
    workers = {
        name: _worker_breaks(found, name) for name in found.variants("worker", "plain-workers")[1:]
    }
    servers = {
        name: _server_breaks(found, name) for name in found.variants("server", "plain-server")[1:]
    }
    return [
        Claim(
            "A plain parameter server is broken by each attack of two workers.",
            every(workers),
            _unbroken(workers),
            WEAK,
        ),
        Claim(
            "A plain parameter server is broken by each attack of its server.",
            every(servers),
            _unbroken(servers),
            "Noise of a model's own length, an old model or an error that grows slowly do not "
            "undo what is learnt in 60 steps.",
        ),
    ]


def _unbroken(broken: dict[str, bool | None]) -> str:
    names = [name for name, breaks in broken.items() if not breaks]
    return f"{len(broken) - len(names)} of {len(broken)}; not by {', '.join(names) or 'none'}"


def _cells(found: Found) -> Iterator[tuple[str, str]]:
    for server in found.variants("server"):
        for worker in found.variants("worker"):
            yield server, worker
