"""The picture of a run: it fits, it says what matters, and it stays away from stdout."""

import io

import pytest
from rich.console import Console

from byzsgd.experiment.progress import NodeProgress, Progress
from byzsgd.experiment.view import View, line, render


def progress(servers: int = 5, workers: int = 7, liar: str = "alie") -> Progress:
    names = [f"server-{i}" for i in range(servers)] + [f"worker-{i}" for i in range(workers)]
    nodes = {name: NodeProgress(name, state="running", step=210) for name in names}
    nodes["server-0"].liar = nodes["worker-1"].liar = liar
    return Progress(
        name="quickstart",
        steps=300,
        nodes=nodes,
        step=210,
        loss=0.1323,
        accuracy=0.9442,
        diameter=0.01312,
        steps_per_second=84.22,
    )


def drawn(shown: Progress, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(shown))
    return capture.get().splitlines()


def test_the_picture_has_all_figures_and_nodes() -> None:
    text = "\n".join(drawn(progress()))
    for words in ("quickstart", "step 210/300, 0:01 left", "accuracy 94.4 %", "loss 0.132"):
        assert words in text
    for words in ("steps/s 84.2", "diameter 0.0131", "server-4", "worker-6", "lies with"):
        assert words in text
    assert text.count("alie") == 2
    assert len(text.splitlines()) == 4 + 7


@pytest.mark.parametrize("width", [80, 60, 120])
@pytest.mark.parametrize(("servers", "workers"), [(5, 7), (1, 1), (101, 200)])
def test_it_fits(width: int, servers: int, workers: int) -> None:
    shown = progress(servers, max(2, workers), liar="hidden_vulnerability")
    shown.name = "x" * 64
    shown.steps = shown.step = shown.nodes["server-0"].step = 999_999
    shown.loss, shown.diameter, shown.steps_per_second = 1e300, 1e-300, 99_999.9
    lines = drawn(shown, width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 18, "a large cluster does not scroll the figures away"


def test_nothing_measured_yet() -> None:
    text = "\n".join(drawn(Progress("new", 300, {"server-0": NodeProgress("server-0")})))
    assert "step 0/300" in text
    assert "left" not in text
    assert "accuracy –" in text
    assert "starting" in text


def test_of_many_nodes_the_dead_the_liars_and_the_slow_are_shown() -> None:
    shown = progress(workers=60)
    shown.nodes["worker-40"].state = "dead"
    shown.nodes["worker-50"].step = 3
    text = "\n".join(drawn(shown))
    for name in ("worker-1", "worker-40", "worker-50"):
        assert name in text
    assert "and 49 more, step 210–210" in text


def test_names_are_not_taken_for_markup() -> None:
    shown = progress()
    shown.message = "worker-1 died: [red]no[/red] [/]"
    assert shown.message in "\n".join(drawn(shown))
    assert shown.message in plain(shown)


def plain(*shown: Progress) -> str:
    file = io.StringIO()
    with View(Console(file=file, width=40)) as view:
        for one in shown:
            view.show(one)
    return file.getvalue()


def test_elsewhere_than_on_a_terminal_a_line_each_ten_percent() -> None:
    steps = []
    for step in range(301):
        shown = progress()
        shown.step = step
        steps.append(shown)
    lines = plain(*steps).splitlines()
    assert len(lines) == 11, "one for the first step, and one for each tenth"
    assert lines[3] == (
        "quickstart: step 90/300 (30 %), accuracy 94.4 %, loss 0.132, steps/s 84.2, diameter 0.0131"
    )
    assert lines[-1].startswith("quickstart: step 300/300 (100 %), ")


def test_a_message_is_printed_once() -> None:
    shown = Progress("x", 10, message="starting 12 processes")
    assert plain(shown, shown) == "x: starting 12 processes\n"


def test_figures_that_are_not_finite() -> None:
    shown = progress()
    shown.loss = float("nan")
    shown.diameter = float("inf")
    assert "loss nan" in line(shown)
    assert "diameter inf" in "\n".join(drawn(shown))


def test_a_view_is_on_stderr_only(capfd: pytest.CaptureFixture[str]) -> None:
    with View() as view:
        view.show(progress())
    out, err = capfd.readouterr()
    assert out == ""
    assert "quickstart" in err


def test_a_live_view_leaves_its_last_picture() -> None:
    file = io.StringIO()
    with View(Console(file=file, width=80, force_terminal=True)) as view:
        view.show(progress())
    assert "worker-6" in file.getvalue()
    assert "\x1b[?25h" in file.getvalue(), "the cursor is shown again"
