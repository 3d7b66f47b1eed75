"""Which partitions an operator has put on hold, in facts and in words: they are not read until they are resumed.

A hold is of one partition, or of a topic as a whole: then also of partitions that are added to it later.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from worker.kafka.records import TopicPartition

ALL_PARTITIONS: Final = -1
"""In the place of a partition: the hold is of the whole topic."""


class Hold(NamedTuple):
    """Nothing of `place` is read; `why` and by whom (`actor`) are the operator's words.

    Business time waits for it, unless `lets_time_go_on`.
    """

    place: TopicPartition
    lets_time_go_on: bool
    actor: str
    why: str
    since: datetime

    @property
    def partition(self) -> int | None:
        """The one partition that is on hold; None: the whole topic is."""
        return one_partition(self.place)

    @property
    def target(self) -> str:
        """How commands name it: TOPIC, or TOPIC/PARTITION."""
        return target_of(self.place)


Holds = Mapping[TopicPartition, Hold]
"""The holds by their places."""

NO_HOLDS: Final[Holds] = MappingProxyType({})


def whole(topic: str) -> TopicPartition:
    """The place of a hold on a whole topic."""
    return TopicPartition(topic, ALL_PARTITIONS)


def place_of(topic: str, partition: int | None) -> TopicPartition:
    """The place of a hold on a partition; None: on the whole topic."""
    return TopicPartition(topic, ALL_PARTITIONS if partition is None else partition)


def one_partition(place: TopicPartition) -> int | None:
    """The partition that a place is; None: it is a whole topic."""
    return None if place.partition == ALL_PARTITIONS else place.partition


def hold_of(holds: Holds, source: TopicPartition) -> Hold | None:
    """The hold that a partition is on; None: it is read."""
    return holds.get(whole(source.topic)) or holds.get(source)


def in_order(holds: Holds) -> list[Hold]:
    """All holds, by topic and partition."""
    return [holds[place] for place in sorted(holds)]


def by_place(holds: Iterable[Hold]) -> dict[TopicPartition, Hold]:
    """Holds, to be found by their places."""
    return {hold.place: hold for hold in holds}


def target_of(place: TopicPartition) -> str:
    """How commands name a place: TOPIC, or TOPIC/PARTITION."""
    return place.topic if place.partition == ALL_PARTITIONS else f"{place.topic}/{place.partition}"


def named(place: TopicPartition) -> str:
    """How sentences name a place."""
    if place.partition == ALL_PARTITIONS:
        return f"{place.topic}, all partitions"
    return f"{place.topic}, partition {place.partition}"


def hold_in_words(hold: Hold) -> str:
    """One line that says what is on hold, what that means, and how it is resumed."""
    why = " ".join(hold.why.split())
    return (
        f"{named(hold.place)}: on hold since {hold.since:%Y-%m-%d %H:%M:%S} UTC, by {hold.actor} ({why}), so nothing "
        f"of it is decided. {time_in_words(lets_time_go_on=hold.lets_time_go_on)}. "
        f"`connects positions resume {hold.target} --why TEXT` goes on where it stopped"
    )


def time_in_words(*, lets_time_go_on: bool) -> str:
    """What a hold means for business time, as a sentence without its full stop."""
    if lets_time_go_on:
        return "Business time goes on without it: its events may be late when it is resumed"
    return "Business time waits for it: nothing is settled, granted or expired meanwhile"
