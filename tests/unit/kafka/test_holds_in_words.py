"""Holds in facts and in words."""

from datetime import UTC, datetime

import pytest

from worker.kafka.holds import Hold, by_place, hold_in_words, hold_of, in_order, place_of, target_of, whole
from worker.kafka.records import TopicPartition

SINCE = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
TOPIC = "job-closed"


def hold(place: TopicPartition, *, lets_time_go_on: bool = False) -> Hold:
    return Hold(place, lets_time_go_on, "ana", "the importer\nsends garbage", SINCE)


def test_a_hold_of_a_partition_is_of_that_one_alone() -> None:
    holds = by_place([hold(TopicPartition(TOPIC, 1))])
    assert hold_of(holds, TopicPartition(TOPIC, 1)) == hold(TopicPartition(TOPIC, 1))
    assert hold_of(holds, TopicPartition(TOPIC, 0)) is None
    assert hold_of(holds, TopicPartition("hire-made", 1)) is None
    assert hold_of(holds, whole(TOPIC)) is None


def test_a_hold_of_a_topic_is_of_all_its_partitions() -> None:
    holds = by_place([hold(whole(TOPIC))])
    assert all(hold_of(holds, TopicPartition(TOPIC, partition)) == hold(whole(TOPIC)) for partition in range(99))
    assert hold_of(holds, TopicPartition("hire-made", 0)) is None


@pytest.mark.parametrize("partition", [None, 0, 12])
def test_a_place_is_named_as_it_is_typed(partition: int | None) -> None:
    place = place_of(TOPIC, partition)
    assert hold(place).partition == partition
    assert target_of(place) == hold(place).target == (TOPIC if partition is None else f"{TOPIC}/{partition}")


def test_holds_are_listed_by_topic_and_partition() -> None:
    places = [TopicPartition(TOPIC, 3), whole("hire-made"), TopicPartition(TOPIC, 0)]
    assert [one.place for one in in_order(by_place(map(hold, places)))] == sorted(places)


def test_a_hold_says_in_one_line_what_it_means_and_how_it_ends() -> None:
    assert hold_in_words(hold(whole(TOPIC))) == (
        "job-closed, all partitions: on hold since 2026-03-14 09:30:00 UTC, by ana (the importer sends garbage), so "
        "nothing of it is decided. Business time waits for it: nothing is settled, granted or expired meanwhile. "
        "`connects positions resume job-closed --why TEXT` goes on where it stopped"
    )
    assert hold_in_words(hold(TopicPartition(TOPIC, 2), lets_time_go_on=True)) == (
        "job-closed, partition 2: on hold since 2026-03-14 09:30:00 UTC, by ana (the importer sends garbage), so "
        "nothing of it is decided. Business time goes on without it: its events may be late when it is resumed. "
        "`connects positions resume job-closed/2 --why TEXT` goes on where it stopped"
    )
