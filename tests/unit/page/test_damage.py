"""What a page makes of records that are odd or damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byzsgd.experiment.page import write_page
from byzsgd.experiment.page.gather import gather
from byzsgd.experiment.page.render import render
from tests.unit.page.records import Text, experiment, manifest, page_of, record, sweep

FILES = (
    *("result.json", "environment.json", "experiment.json", "evaluations.jsonl", "events.jsonl"),
    *("nodes/server-1.jsonl", "nodes/worker-0.jsonl"),
    *("assumptions.json", "potency.json", "suspicion.json"),
)


@pytest.mark.parametrize("name", [*FILES, "../sweep.json"])
def test_a_damaged_file_is_told_of_and_costs_no_page(
    undrawn: None, tmp_path: Path, name: str
) -> None:
    folder = sweep(tmp_path)
    damaged = Path(gather([folder]).studies[0].samples[0].path)
    (damaged / name).write_text('{"step": 1}\n{]\n')
    found = write_page([folder], tmp_path / "page.html")
    assert any(Path(name).name in reason for reason in found.broken), found.broken
    whole_run = name in ("result.json", "experiment.json", "evaluations.jsonl", "events.jsonl")
    assert found.runs == 9 - whole_run
    assert Path(name).name in Text((tmp_path / "page.html").read_text())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside),
    max_leaves=5,
)


def spoilt(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """The same with some other value somewhere in it."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: spoilt(value[key], draw)}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [spoilt(value[0], draw), *value[1:]]
    return draw(JSON)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_value_anywhere_in_a_record_costs_the_page(
    undrawn: None, sound: Path, data: st.DataObject
) -> None:
    path = sound / data.draw(st.sampled_from(FILES))
    before = path.read_text()
    lines = before.splitlines() if path.suffix == ".jsonl" else [before]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = json.dumps(spoilt(json.loads(lines[at]), data.draw))
    path.write_text("\n".join(lines) + "\n")
    try:
        gathered = gather([sound])
        render(gathered)
    finally:
        path.write_text(before)
    assert gathered.runs or gathered.broken


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_value_in_a_manifest_costs_the_page(
    undrawn: None, sound: Path, data: st.DataObject
) -> None:
    cells = [
        {"labels": {"a": "x", "b": "1"}, "seed": 1, "digest": experiment().digest},
        {"labels": {"a": "x", "b": "2"}, "seed": 1, "impossible": "no"},
    ]
    manifest(sound.parent, cells, {"a": ["x"], "b": ["1", "2"]})
    path = sound.parent / "sweep.json"
    path.write_text(json.dumps(spoilt(json.loads(path.read_text()), data.draw)))
    try:
        gathered = gather([sound.parent])
        render(gathered)
    finally:
        path.unlink()
    assert gathered.studies


@pytest.mark.parametrize("value", [-1, 1e-300, 1e300, 10**400])
def test_figures_of_any_size_are_drawn(tmp_path: Path, value: float) -> None:
    path = record(tmp_path, experiment())
    for file in ("nodes/server-1.jsonl", "nodes/worker-0.jsonl", "evaluations.jsonl"):
        lines = [json.loads(line) for line in (path / file).read_text().splitlines()]
        changed = [{name: value if name != "step" else at for name, at in e.items()} for e in lines]
        (path / file).write_text("".join(json.dumps(each) + "\n" for each in changed))
    text = page_of([tmp_path], tmp_path / "page.html")
    assert text.count("<svg") >= 4
