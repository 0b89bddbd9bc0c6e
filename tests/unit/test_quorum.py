"""First vectors of distinct senders, within bounds."""

from byzsgd.protocol import Quorum
from tests.world import servers

A, B, C, D, E = servers(5)


def quorum(size: int = 3, window: int = 2) -> Quorum[int]:
    return Quorum(size, window, closed=-1)


def reasons(q: Quorum[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, reason), count in q.refused.items():
        found[reason] = found.get(reason, 0) + count
    return found


def test_is_full_when_enough_distinct_senders_spoke() -> None:
    q = quorum()
    assert q.add(C, 0, "c")
    assert q.add(A, 0, "a")
    assert not q.full(0)
    assert q.add(B, 0, "b")
    assert q.full(0)


def test_hands_over_in_sender_order_whatever_came_first() -> None:
    q = quorum()
    for sender in (C, A, B):
        q.add(sender, 0, f"from {sender}")
    expected = ((A, f"from {A}"), (B, f"from {B}"), (C, f"from {C}"))
    assert q.held(0) == expected
    assert q.take(0) == expected


def test_counts_senders_not_messages() -> None:
    q = quorum()
    for attempt in range(10):
        q.add(A, 0, attempt)
    assert not q.full(0)
    assert q.held(0) == ((A, 0),), "the first one wins"
    assert q.refused == {(A, "duplicate"): 9}


def test_refuses_what_comes_after_the_quorum_is_full() -> None:
    q = quorum()
    for sender in (A, B, C):
        q.add(sender, 0, str(sender))
    before = q.held(0)
    assert not q.add(D, 0, "too late by one")
    assert q.held(0) == before
    assert q.refused == {(D, "surplus"): 1}


def test_refuses_what_comes_after_the_slot_was_taken() -> None:
    q = quorum()
    for sender in (A, B, C):
        q.add(sender, 1, str(sender))
    taken = q.take(1)
    assert not q.add(D, 1, "late")
    assert not q.add(D, 0, "later still")
    assert not q.add(A, 1, "again")
    assert taken == ((A, str(A)), (B, str(B)), (C, str(C)))
    assert q.refused == {(D, "late"): 2, (A, "late"): 1}


def test_half_of_a_full_window_is_for_the_senders_newest_slots() -> None:
    q = quorum(size=3, window=4)
    for slot in range(10):
        assert q.add(A, slot, f"a{slot}"), "whoever is behind can go on there"
    assert [slot for slot in range(10) if q.held(slot)] == [0, 1, 8, 9]
    assert not q.add(A, 7, "neither next nor newest")
    assert q.refused == {(A, "early"): 1}


def test_of_the_two_newest_slots_either_may_come_first() -> None:
    q = quorum(size=3, window=4)
    for slot in (0, 1, 2, 3, 9, 8, 9, 8):
        q.add(A, slot, "a")
    assert [slot for slot in range(10) if q.held(slot)] == [0, 1, 8, 9]
    assert q.refused == {(A, "duplicate"): 2}


def test_nothing_leaves_a_full_slot() -> None:
    """Others were turned away from it: a liar could undo a quorum that is there."""
    q = quorum(size=2, window=2)
    for sender in (A, B, C):
        q.add(sender, 5, "x")
    q.add(A, 4, "x")
    assert not q.add(A, 6, "would take the place of step 5")
    assert q.held(5) == ((A, "x"), (B, "x"))
    assert q.refused == {(C, "surplus"): 1, (A, "early"): 1}


def test_a_slot_that_its_only_sender_left_is_forgotten() -> None:
    q = quorum(size=3, window=1)
    for slot in range(5):
        q.add(A, slot, "x")
    assert list(q._held) == [4]


def test_refuses_a_sender_that_is_more_than_a_window_ahead() -> None:
    q = quorum(window=2)
    assert q.add(A, 5, "x")
    assert q.add(A, 10**9, "y")
    assert not q.add(A, 0, "one too many, though it is the next to be used")
    assert q.kept(A) == 2
    assert q.add(B, 0, "others are not concerned")
    assert q.refused == {(A, "early"): 1}


def test_room_in_the_window_comes_back_when_slots_close() -> None:
    q = quorum(window=2)
    q.add(A, 0, "x")
    q.add(A, 1, "y")
    q.close(0)
    assert q.kept(A) == 1
    assert q.add(A, 2, "z")


def test_closing_never_opens_again() -> None:
    q = quorum()
    q.close(7)
    q.close(3)
    assert not q.add(A, 7, "late")
    assert q.add(A, 8, "in time")


def test_ones_own_vector_counts_even_if_a_whole_quorum_was_faster() -> None:
    q = quorum()
    for sender in (B, D, C):
        q.add(sender, 0, str(sender))
    q.include(A, 0, "mine")
    assert q.take(0) == ((A, "mine"), (B, str(B)), (D, str(D))), "the last to arrive gave way"


def test_ones_own_vector_counts_once() -> None:
    q = quorum()
    q.include(A, 0, "mine")
    q.include(A, 0, "mine")
    assert not q.add(A, 0, "not mine")
    q.add(B, 0, "b")
    assert not q.full(0)
    q.add(C, 0, "c")
    q.include(A, 0, "mine")
    assert q.take(0) == ((A, "mine"), (B, "b"), (C, "c"))


def test_a_taken_tuple_is_not_changed_by_anything_later() -> None:
    q = quorum(size=1)
    q.add(A, 0, "a")
    taken = q.take(0)
    q.include(B, 0, "b")
    q.add(C, 0, "c")
    assert taken == ((A, "a"),)


def test_newest_slot_with_enough() -> None:
    q = quorum(window=4)
    for slot, senders in {1: (A, B), 3: (A, B, C), 4: (A, B), 9: (A,)}.items():
        for sender in senders:
            q.add(sender, slot, "x")
    assert q.newest(1, after=0) == 9
    assert q.newest(2, after=0) == 4
    assert q.newest(3, after=0) == 3
    assert q.newest(3, after=3) is None
    assert q.newest(4, after=0) is None


def test_rounds_of_one_step_are_distinct_slots_in_order() -> None:
    q: Quorum[tuple[int, int]] = Quorum(1, 4, closed=(0, 2))
    assert not q.add(A, (0, 1), "closed from the beginning")
    assert q.add(A, (5, 1), "second")
    assert q.add(A, (5, 0), "first")
    assert q.take((5, 0)) == ((A, "first"),)
    assert q.take((5, 1)) == ((A, "second"),)
    assert not q.add(B, (5, 1), "late")


def test_every_refusal_is_counted_under_its_reason() -> None:
    q = quorum(size=1, window=1)
    q.add(A, 1, "kept")
    q.add(A, 1, "again")
    q.add(B, 1, "full")
    q.add(A, 2, "beyond the window")
    q.take(1)
    q.add(C, 1, "late")
    assert reasons(q) == {"duplicate": 1, "surplus": 1, "early": 1, "late": 1}
