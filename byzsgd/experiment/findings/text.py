"""For people: were assumptions met, what did the liars achieve, who is suspicious."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from byzsgd.errors import ConfigError
from byzsgd.experiment.files import ASSUMPTIONS, POTENCY, SUSPICION, read_optional
from byzsgd.experiment.findings.seen import number, row, table, tables, whole
from byzsgd.experiment.findings.suspicion import PROOFS, standing_out
from byzsgd.experiment.results import Run
from byzsgd.experiment.text import table as columns

ROWS_MAX: Final = 12
NOTHING: Final = "–"

POTENCY_HEAD: Final = (
    *("liar", "attack", "changed", "aggregated", "selected"),
    *("norm", "cosine", "distance", "moved"),
)
SUSPICION_HEAD: Final = ("sender", "lies with", "proof", "stands out by")

Told = Mapping[str, Any]


def findings_text(run: Run) -> str:
    """Empty where the record holds none of it."""
    try:
        return _text(run)
    except ConfigError as error:
        return f"broken: {error}"


def _text(run: Run) -> str:
    liars = tables(read_optional(run.path / POTENCY), "liars")
    nodes = tables(read_optional(run.path / SUSPICION), "nodes")
    blocks = [
        [*assumptions_lines(read_optional(run.path / ASSUMPTIONS))],
        [*_columns(POTENCY_HEAD, [potency_row(each) for each in liars], words=2)],
        [*_suspicion_lines(nodes)],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def assumptions_lines(found: Told) -> Iterator[str]:
    if not whole(found.get("updates")):
        return
    judged, met, bound = whole(found.get("judged")), whole(found.get("met")), found.get("bound")
    ratio = math.sqrt(max(0.0, number(found.get("ratio"))))  # as its bound is one of the root
    told = f"root of the variance-norm ratio of honest gradients {figure(ratio)} (median)"
    if not judged:
        yield f"{told}; for {found.get('rule')} there is no bound to compare it with"
        return
    most = f"at most {figure(bound)} is allowed" if bound is not None else "any is allowed"
    share = f"{percent(met / judged)} of {judged:,} updates"
    yield f"{told}; for {found.get('rule')} {most}: so it was at {share}"


def potency_row(liar: Told) -> tuple[str, ...]:
    """What it did, as `POTENCY_HEAD` has it."""
    return (
        str(liar.get("node")),
        str(liar.get("attack")),
        _of(liar.get("changed"), liar.get("words")),
        _of(liar.get("aggregated"), liar.get("aggregations")),
        _of(liar.get("selected"), liar.get("aggregated")),
        *(figure(liar.get(name)) for name in ("norm", "cosine", "distance", "moved")),
    )


def suspicion_row(node: Told) -> tuple[str, ...]:
    """What there is against it, as `SUSPICION_HEAD` has it."""
    found, shares, usual = (table(node, name) for name in ("counts", "shares", "usual"))
    proofs = [f"{name} {whole(found[name]):,}" for name in PROOFS if whole(found.get(name))]
    odd = [
        f"{name} {percent(number(shares.get(name)))} ({percent(number(usual.get(name)))})"
        for name in row(node, "stands_out")
    ]
    lies = node.get("lies_with")
    return str(node.get("node")), str(lies or NOTHING), _joined(proofs), _joined(odd)


def figure(value: object) -> str:
    known = number(value)
    return NOTHING if math.isnan(known) else f"{known:.3g}".replace("-", "−")


def percent(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{100 * value:.0f} %"


def _suspicion_lines(nodes: Sequence[Told]) -> Iterator[str]:
    if not nodes:
        return
    found = list(standing_out(nodes))
    if not found:
        yield f"nobody of {len(nodes)} is suspicious"
        return
    yield from _columns(SUSPICION_HEAD, [suspicion_row(node) for node in found[:ROWS_MAX]], 4)
    if len(found) > ROWS_MAX:
        yield f"and {len(found) - ROWS_MAX} more"
    yield "A share in per cent, and in brackets the median of the others of its side; no proof."


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    return columns([head, *rows], words) if rows else []


def _of(part: object, whole_: object) -> str:
    if not isinstance(part, int) or not isinstance(whole_, int):
        return NOTHING
    return f"{part:,} of {whole_:,}"


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(parts) or NOTHING
