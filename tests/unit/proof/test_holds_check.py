"""Holds compared with the commands that made them."""

from worker.kafka.holds import place_of
from worker.proof.holds_check import HoldCommand, compared, expected_holds

TOPIC, ONE, TWO = place_of("job-closed", None), place_of("job-closed", 1), place_of("job-closed", 2)
OTHER = place_of("hire-made", None)


def held(place: tuple[str, int], seq: int, *, lets_time_go_on: bool = False) -> HoldCommand:
    return HoldCommand(place_of(*place), resumes=False, lets_time_go_on=lets_time_go_on, seq=seq)


def resumed(place: tuple[str, int], seq: int) -> HoldCommand:
    return HoldCommand(place_of(*place), resumes=True, lets_time_go_on=False, seq=seq)


def test_the_last_command_counts() -> None:
    assert expected_holds([held(ONE, 1), held(TWO, 2), resumed(ONE, 3)]) == {TWO: (False, 2)}
    assert expected_holds([held(ONE, 1), held(ONE, 2, lets_time_go_on=True)]) == {ONE: (True, 2)}
    assert expected_holds([held(ONE, 1), resumed(ONE, 2), held(ONE, 3)]) == {ONE: (False, 3)}


def test_a_topic_takes_the_place_of_its_partitions() -> None:
    assert expected_holds([held(ONE, 1), held(OTHER, 2), held(TOPIC, 3)]) == {OTHER: (False, 2), TOPIC: (False, 3)}
    assert expected_holds([held(ONE, 1), held(TWO, 2), held(OTHER, 3), resumed(TOPIC, 4)]) == {OTHER: (False, 3)}


def test_what_is_not_as_it_was_commanded_is_named() -> None:
    expected = {ONE: (False, 1), TWO: (True, 2)}
    assert list(compared(expected, expected)) == []
    assert list(compared({TWO: (True, 2)}, expected)) == ["job-closed, partition 1: the hold is missing"]
    assert list(compared({**expected, OTHER: (False, 3)}, expected)) == [
        "hire-made, all partitions: the row should not be there: no command put it on hold"
    ]
    assert list(compared({**expected, TWO: (False, 2)}, expected)) == [
        "job-closed, partition 2: lets_time_go_on, decision_seq is False, 2, should be True, 2"
    ]
