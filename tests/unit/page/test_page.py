"""The page of a sweep, and the command that writes it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from typer.testing import CliRunner

from byzsgd.cli import app
from byzsgd.experiment.page import page, write_page
from tests.unit.page.records import Text, experiment, manifest, page_of, record


def test_a_page_says_all_that_there_is(swept: Path, tmp_path: Path) -> None:
    text = page_of([swept], tmp_path / "page.html")
    told_ = Text(text)
    for words in (
        *("Overview", "Throughput", "Accuracy", "Where the time went", "Links, staleness"),
        *("Models pulled", "Simulated beside real", "The paper's figures beside ours"),
        *("Were the assumptions met?", "What the liars achieved", "Who was suspicious"),
        *("4 of 5 done, 1 impossible", "8 finished, 1 failed", "3 f + 2 servers <needed>"),
        *("4 of 4 simulated ones are within 25 % of the real one", "Against nothing"),
    ):
        assert words in told_, words
    assert told_.fetched == [], "it needs nothing else"
    assert not told_.tags & {"script", "link", "img", "iframe"}
    assert len(told_.ids) == len(set(told_.ids))
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_equal_records_give_equal_pages(sound: Path, tmp_path: Path) -> None:
    assert page_of([sound], tmp_path / "page.html") == page([sound])


def test_labels_are_text_whatever_they_contain(tmp_path: Path) -> None:
    odd = ["<script>alert(1)</script>", "$\\frac$ $x", "_hidden", "七", ""]
    made = [experiment(seed=seed) for seed in range(len(odd))]
    cells = [
        {"labels": {"<i>": label}, "seed": 1, "digest": each.digest}
        for label, each in zip(odd, made, strict=True)
    ]
    for each in made:
        record(tmp_path, each)
    manifest(tmp_path / "swept", cells, {"<i>": odd})
    text = page_of([tmp_path], tmp_path / "page.html")
    found = Text(text)
    assert not found.tags & {"script", "i "}
    assert all(label in found for label in odd[:4])


def test_runs_of_no_sweep_are_cells_by_their_folders(undrawn: None, tmp_path: Path) -> None:
    one = record(tmp_path, experiment("one"))
    two = record(tmp_path, experiment("two"), status=None, simulated=True)
    text = Text(page_of([tmp_path], tmp_path / "page.html"))
    for words in (f"one/{one.name}", f"two/{two.name}, simulated", "1 finished, 1 pending"):
        assert words in text, words
    assert "The paper's" not in text


def test_lines_over_an_axis_of_numbers(tmp_path: Path) -> None:
    cells = []
    for every in (1, 5, 10):
        made = experiment(gather_every=every)
        record(tmp_path, made)
        labels = {"system": "plain", "plan.gather_every": str(every)}
        cells.append({"labels": labels, "seed": 1, "digest": made.digest})
    axes = {"system": ["plain"], "plan.gather_every": ["1", "5", "10"]}
    manifest(tmp_path / "swept", cells, axes)
    text = Text(page_of([tmp_path], tmp_path / "page.html"))
    assert "Steps per second over plan.gather_every" in text
    assert "gather_every = 5" in text


def test_nothing_at_all_is_a_page_too(undrawn: None, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    file = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(tmp_path / "empty"), "--html", str(file)])
    assert result.exit_code == 1
    assert "No run was found" in file.read_text()
    cells = [{"labels": {"a": "x"}, "seed": 1, "digest": "0" * 64}]
    manifest(tmp_path / "swept", cells, {"a": ["x"]})
    found = write_page([tmp_path / "swept"], file)
    assert (found.runs, found.broken) == (0, [])
    assert "not run yet" in file.read_text()


def test_the_command(undrawn: None, sound: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "page.html"
    result = CliRunner().invoke(app, ["report", str(sound), "--html", str(file)])
    assert (result.exit_code, result.stdout) == (0, f"{file}: a page of 1 run\n")
    assert file.read_text().startswith("<!DOCTYPE html>")
    words = ["report", str(sound), str(tmp_path / "no"), "--html", str(file), "--json"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 1
    assert json.loads(found.stdout)["broken"] == [f"{tmp_path / 'no'}: there is no such run"]
    (tmp_path / "file").touch()
    refused = CliRunner().invoke(app, ["report", str(sound), "--html", str(tmp_path / "file/x")])
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


def test_no_other_command_pays_for_drawing() -> None:
    code = "import sys, byzsgd.cli; assert not {'matplotlib', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
