"""Where the time of a step went."""

import math

from hypothesis import given
from hypothesis import strategies as st

from byzsgd.experiment.page.parts import BESIDE, PARTS, split


def test_parts_of_a_step() -> None:
    line = {"step": 5, "in_gradients_s": 8.0, "in_updating_s": 3.0, "in_starting_s": 100.0}
    work = {"prepare_s": 1.0, "aggregate_s": 1.0, "stack_s": 0.25, "apply_s": 0.5, "encode_s": 2.0}
    work["send_s"] = 6.0
    took = split({**line, **work, "quorum": ["worker-0"], "loss": 1.0})
    assert took == {
        "compute": 0.0,
        "encode": 2.0,
        "send": 6.0,  # beside all else, from which nothing of it is taken
        "aggregate": 2.25,
        "apply": 0.5,
        "wait": 5.0,  # what was prepared and encoded meanwhile is no waiting
        "other": 1.25,
    }


def test_phases_stand_for_work_where_none_was_measured() -> None:
    line = {"in_models_s": 1.0, "in_contracting_s": 2.0, "in_gradient_s": 4.0}
    none = dict.fromkeys((*PARTS, BESIDE), 0.0)
    assert split(line) == {**none, "wait": 1, "aggregate": 2, "compute": 4}


SECONDS = st.floats(0, 1e3)
NAMES = st.sampled_from(
    [
        *("in_gradients_s", "in_models_s", "in_pulling_s", "in_updating_s", "in_gradient_s"),
        *("in_contracting_s", "compute_s", "encode_s", "send_s", "prepare_s", "apply_s"),
    ]
)


@given(st.dictionaries(NAMES, SECONDS))
def test_parts_add_up_to_the_step_or_to_more_where_work_went_side_by_side(
    line: dict[str, float],
) -> None:
    took = split(line)
    total = sum(value for name, value in line.items() if name.startswith("in_"))
    assert min(took.values()) >= 0
    stacked = sum(took[part] for part in PARTS)
    assert stacked >= total * (1 - 1e-9)
    working = [name for name in line if not name.startswith("in_") and name != "send_s"]
    if not any(line[name] for name in working):
        assert math.isclose(stacked, total, abs_tol=1e-9)
    assert split({**line, "send_s": 0.0}) == {**took, BESIDE: 0.0}, "nothing else depends on it"
