"""How often Python looks for garbage is as it was once everything is over that has it look seldom."""

import gc

from worker.garbage import seldom_collected


def test_of_several_at_one_time_the_last_to_end_has_it_look_as_often_as_before() -> None:
    before = gc.get_threshold()
    first, second = seldom_collected(), seldom_collected()
    with first:
        seldom = gc.get_threshold()
        assert seldom != before
        second.__enter__()
    assert gc.get_threshold() == seldom
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
