"""What a sweep refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import load
from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.swept import choose
from tests.unit.sweep.tables import BASE, complaint, tables


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"repeat": 0}, "sweep.repeat = 0: must be a whole number, at least 1"),
        ({"target": 90}, "sweep.target = 90: must be an accuracy, above 0 and up to 1"),
        ({"repeats": 3}, "sweep.repeats = 3: unknown key 'repeats'; did you mean 'repeat'?"),
        ({"axes": 3}, "sweep.axes = 3: must be a table of axes"),
        ({"axes": {"x": {}}}, "sweep.axes.x: has no variants"),
        ({"axes": {"plan.steps": []}}, 'sweep.axes."plan.steps" = []: has no variants'),
        ({"axes": {"x": 3}}, "sweep.axes.x = 3: must be a list of values of one key, or a table"),
        ({"axes": {"x": {"a": 3}}}, "sweep.axes.x.a = 3: must be a table of what it changes"),
        (
            {"axes": {"plan": {"steps": [1, 2]}}},
            'values of one key are meant, that key in quotes: "plan.steps" = [1, 2]',
        ),
        ({"axes": {"plan.steps": [1, "1"]}}, 'steps" = [1, "1"]: has 1 more than once'),
        ({"axes": {"x": {"a": {"name": "y"}}}}, 'x.a.name = "y": is the same for all of a sweep'),
        ({"axes": {"seed": [1, 2]}}, "sweep.axes.seed = [1, 2]: is seed, seed + 1, … of the file"),
        ({"axes": {"x": {"a": {"sweep.repeat": 2}}}}, "cannot be changed by a variant"),
        ({"axes": {"x": {"a": {"plann.steps": 2}}}}, "unknown key 'plann'; did you mean 'plan'?"),
        ({"axes": {"x": {"a": {"plan..steps": 2}}}}, "plan..steps: is no key, such as"),
        (
            {"axes": {"x": {"a": {"training": {"model": "mlp"}}}}},
            "would replace all of [training]: write dotted keys in quotes, such as 'training.mo",
        ),
        ({"repeat": 10_001, "axes": {}}, "sweep.axes: make 10,001 cells with all repetitions"),
        ({"axes": {"plan.steps": list(range(5001))}}, "make 10,002 cells"),
    ],
)
def test_refused(more: dict[str, Any], words: str) -> None:
    text = complaint({**BASE, "sweep": {"repeat": 2, **more}})
    assert text.startswith("sweep: sweep.")
    assert words in text
    assert "\n" not in text, "one fault, one line"


def test_all_mistakes_at_once() -> None:
    axes = {"x": {"a": 1, "b": {"seed": 1, "name": "y"}}, "y": {}}
    text = complaint(tables(axes, target=0.0, repeat=0, more=1))
    assert text.startswith("sweep: 7 faults\n")


def test_a_name_that_nobody_knows_is_a_mistake_and_not_impossible() -> None:
    text = complaint(tables({"x": {"a": {}, "b": {"plan.step": 3}, "c": {"training.task": "dig"}}}))
    assert "plan.step = 3: unknown key 'step'; did you mean 'steps'?" in text
    assert "unknown task 'dig'; did you mean 'digits'? (known" in text
    assert "(x=b, seed 7 and 1 more)" in text


def test_a_sweep_of_which_nothing_is_possible_is_a_mistake() -> None:
    text = complaint({**tables(), "seed": "x", "plan": {}})
    assert 'seed = "x": must be a whole number' in text
    assert "plan.steps: is missing (system=plain, what=nothing, seed x and 7 more)" in text


def test_which_command_a_file_is_for(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(tables()))
    with pytest.raises(ConfigError, match="sweep: describes several experiments: use byzsgd sweep"):
        load(path)
    assert "sweep: is missing; byzsgd run takes" in complaint(BASE)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("plain", "--only plain: write AXIS=VARIANT, such as system=plain"),
        ("sistem=plain", "unknown axis 'sistem'; did you mean 'system'?"),
        ("system=plane", "did you mean 'plain'? (known: byzsgd, plain)"),
    ],
)
def test_only_what_there_is(word: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(load_sweep(tables()), [word])
    assert words in str(caught.value)
