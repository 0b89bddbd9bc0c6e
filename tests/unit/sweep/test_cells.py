"""Which experiments a sweep has."""

from typing import Any

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.swept import choose
from tests.unit.sweep.tables import BASE, tables


def test_every_combination_seed_by_seed() -> None:
    found = load_sweep(tables())
    assert [str(cell) for cell in found.cells] == [
        f"system={system}, what={what}, seed {seed}"
        for seed in (7, 8)
        for system in ("plain", "byzsgd")
        for what in ("nothing", "mute")
    ]
    assert found.reference == "plain"
    cells = {str(cell): cell.experiment for cell in found.cells}
    plain = {"cluster": {"servers": 1, "workers": 4}, "aggregation": {"gradients": "average"}}
    mute = {"seed": 8, "byzantine": {"server-4": {"attack": "mute"}}}
    assert cells["system=plain, what=nothing, seed 7"] == Experiment.from_dict({**BASE, **plain})
    assert cells["system=byzsgd, what=mute, seed 8"] == Experiment.from_dict({**BASE, **mute})
    impossible = [cell for cell in found.cells if cell.impossible]
    assert {str(cell)[:23] for cell in impossible} == {"system=plain, what=mute"}
    assert impossible[0].impossible.startswith("byzantine.server-4: is not in the cluster")
    assert len(found.impossible()) == 1, "once for both seeds"


def test_a_short_axis_is_called_by_its_key_and_its_values() -> None:
    values: list[Any] = [1, 10]
    found = load_sweep(tables({"plan.gather_every": values, "aggregation.gradients": ["mda"]}))
    assert [cell.labels for cell in found.cells[:2]] == [
        {"plan.gather_every": "1", "aggregation.gradients": "mda"},
        {"plan.gather_every": "10", "aggregation.gradients": "mda"},
    ]
    assert [c.experiment.plan.gather_every for c in found.cells[:2] if c.experiment] == values


def test_of_two_changes_of_a_key_the_earlier_axis_has_the_last_word() -> None:
    axes = {"a": {"a": {"plan.steps": 3}}, "b": {"b": {"plan.steps": 5, "plan.gather_every": 2}}}
    [cell, _] = load_sweep(tables(axes)).cells
    assert cell.experiment
    assert (cell.experiment.plan.steps, cell.experiment.plan.gather_every) == (3, 2)


def test_a_variant_changes_one_key_of_a_table_or_empties_it() -> None:
    base = {**tables({"x": {"one": {"byzantine.worker-1.z": 2}, "none": {"byzantine": {}}}})}
    base["byzantine"] = {"worker-1": {"attack": "alie", "z": 1}}
    one, none, *_ = load_sweep(base).cells
    assert one.experiment
    assert none.experiment
    assert [lie.to_dict() for lie in one.experiment.liars.values()] == [{"attack": "alie", "z": 2}]
    assert none.experiment.liars == {}


def test_without_axes_an_experiment_is_repeated() -> None:
    found = load_sweep({**BASE, "sweep": {"repeat": 3}})
    assert [(dict(cell.labels), cell.seed) for cell in found.cells] == [({}, 7), ({}, 8), ({}, 9)]


def test_settings_are_made_before_variants_change_them() -> None:
    changed = {"plan.steps": 5, "sweep.repeat": 1, "cluster.servers": 8}
    plain, _, byzsgd, _ = load_sweep(tables(), changed).cells
    assert plain.experiment
    assert byzsgd.experiment
    assert (plain.experiment.cluster.servers, plain.experiment.plan.steps) == (1, 5)
    assert (byzsgd.experiment.cluster.servers, byzsgd.experiment.plan.steps) == (8, 5)


def test_only_some() -> None:
    found = load_sweep(tables({"a=b": {"c=d": {}, "e": {}}, "x": {"y": {}, "z": {}, "w": {}}}))
    chosen = choose(found, ["a=b=c=d", "x=y", "x=w"])
    assert [str(cell) for cell in chosen] == [
        f"a=b=c=d, x={x}, seed {seed}" for seed in (7, 8) for x in "yw"
    ]
