"""Which saved models are evaluated when, and which files are removed."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from byzsgd.experiment.evaluations import WAITING_MAX, Evaluations
from byzsgd.experiment.files import model_path, saved_steps

SERVERS = ("server-1", "server-2", "server-3")


class Questions(Evaluations):
    """Evaluations that note what they ask, by step the servers whose models are meant."""

    def __init__(self, record: Path) -> None:
        super().__init__(record, SERVERS, self._note)
        self.record = record
        self.asked: list[tuple[int, tuple[str, ...]]] = []

    def _note(self, step: int, files: Sequence[str]) -> None:
        servers = tuple(Path(file).parent.name for file in files)
        assert list(files) == [str(model_path(self.record, server, step)) for server in servers]
        assert all(Path(file).exists() for file in files)
        self.asked.append((step, servers))

    def write(self, server: str, step: int) -> None:
        """What the server does: the file first, the word after it."""
        path = model_path(self.record, server, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.saved(server, step)


@pytest.fixture
def evaluations(tmp_path: Path) -> Questions:
    (tmp_path / "models").mkdir()
    return Questions(tmp_path)


def test_a_step_is_asked_about_once_all_expected_servers_have_saved_it(
    evaluations: Questions,
) -> None:
    evaluations.write("server-3", 10)
    evaluations.write("server-1", 10)
    assert evaluations.asked == []
    evaluations.write("server-2", 10)
    assert evaluations.asked == [(10, SERVERS)]
    evaluations.consider()
    assert len(evaluations.asked) == 1, "once"
    evaluations.answered(10)
    assert evaluations.last == 10
    assert len(evaluations.asked) == 1


def test_while_the_evaluator_is_busy_steps_wait_in_order(evaluations: Questions) -> None:
    for step in (10, 20, 30):
        for server in SERVERS:
            evaluations.write(server, step)
    evaluations.write("server-1", 40)
    assert evaluations.asked == [(10, SERVERS)]
    for step in (10, 20, 30):
        evaluations.answered(step)
    assert evaluations.asked == [(10, SERVERS), (20, SERVERS), (30, SERVERS)]
    assert saved_steps(evaluations.record, "server-1") == [30, 40]


def test_no_more_steps_wait_than_may(evaluations: Questions) -> None:
    steps = range(1, WAITING_MAX + 5)
    for step in steps:
        for server in SERVERS:
            evaluations.write(server, step)
    evaluations.answered(1)
    assert evaluations.asked[-1] == (steps[-WAITING_MAX], SERVERS)
    assert len(saved_steps(evaluations.record, "server-1")) == len(steps), "till that is answered"
    evaluations.answered(steps[-WAITING_MAX])
    assert saved_steps(evaluations.record, "server-1") == [*steps][-WAITING_MAX:]


def test_a_step_counts_from_when_its_models_were_there(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    now = [1.0]
    evaluations = Evaluations(tmp_path, SERVERS, lambda step, files: None, lambda: now[0])
    for server, at_s in zip(SERVERS, (1.0, 2.0, 3.0), strict=True):
        now[0] = at_s
        evaluations.saved(server, 10)
    now[0] = 50.0
    assert evaluations.answered(10) == 3.0


def test_older_files_are_removed_once_a_step_is_evaluated(evaluations: Questions) -> None:
    for step in (10, 20):
        for server in (*SERVERS, "server-0"):  # which lies, and saves as well
            path = model_path(evaluations.record, server, step)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for server in SERVERS:
        evaluations.saved(server, 20)
    assert saved_steps(evaluations.record, "server-1") == [10, 20]
    evaluations.answered(20)
    for server in (*SERVERS, "server-0"):
        assert saved_steps(evaluations.record, server) == [20]


def test_a_late_word_of_an_evaluated_step_asks_for_nothing_older_again(
    evaluations: Questions,
) -> None:
    for step in (10, 20):
        for server in SERVERS[:2]:
            evaluations.write(server, step)
    evaluations.write("server-3", 20)
    evaluations.answered(20)
    evaluations.write("server-3", 10)
    evaluations.lost("server-1")
    assert evaluations.asked == [(20, SERVERS)]


def test_a_lost_server_is_not_waited_for_but_what_it_saved_counts(evaluations: Questions) -> None:
    evaluations.write("server-1", 10)
    evaluations.write("server-2", 10)
    evaluations.write("server-1", 20)
    evaluations.lost("server-3")
    assert evaluations.asked == [(10, ("server-1", "server-2"))]
    evaluations.answered(10)
    evaluations.lost("server-1")
    assert len(evaluations.asked) == 1
    evaluations.write("server-2", 20)
    assert evaluations.asked[1:] == [(20, ("server-1", "server-2"))]


def test_a_stranger_can_be_lost_and_return(evaluations: Questions) -> None:
    evaluations.lost("worker-3")
    evaluations.returned("worker-3")
    assert evaluations.asked == []
    for server in SERVERS:
        evaluations.write(server, 10)
    assert evaluations.asked == [(10, SERVERS)], "nobody waits for what a worker saves"


def test_one_that_returned_is_waited_for_again(evaluations: Questions) -> None:
    evaluations.lost("server-3")
    for server in SERVERS[:2]:
        evaluations.write(server, 10)
    evaluations.answered(10)
    evaluations.returned("server-3")
    for server in SERVERS[:2]:
        evaluations.write(server, 20)
    assert evaluations.asked == [(10, SERVERS[:2])]
    evaluations.write("server-3", 20)
    assert evaluations.asked[1:] == [(20, SERVERS)]


def test_the_newest_file_of_each_server_stays_however_old(evaluations: Questions) -> None:
    """It may have crashed, and will go on from there."""
    for step in (10, 20):
        evaluations.write("server-3", step)
    evaluations.lost("server-3")
    for step in (20, 30, 40):
        for server in SERVERS[:2]:
            evaluations.write(server, step)
        evaluations.answered(step)
    assert saved_steps(evaluations.record, "server-3") == [20]
    assert saved_steps(evaluations.record, "server-1") == [40]
