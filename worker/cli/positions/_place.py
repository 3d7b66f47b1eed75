"""TOPIC[/PARTITION], as `hold` and `resume` take it."""

from typing import Annotated

import typer

from worker.domain.rule_catalogue import RULES
from worker.kafka.holds import one_partition, place_of
from worker.kafka.records import LARGEST_PARTITION, TopicPartition

Place = Annotated[
    str,
    typer.Argument(
        metavar="TOPIC[/PARTITION]",
        help="A topic, by its name in the contract, as a whole; or one partition of it: job-closed/0.",
    ),
]


def read_place(text: str) -> TopicPartition:
    """What is to be on hold, or is: a partition, or a whole topic.

    Raises:
        typer.BadParameter: it names no input topic, or no partition.
    """
    topic, slash, partition = text.partition("/")
    if topic not in RULES:
        raise typer.BadParameter(f"TOPIC is one of {', '.join(RULES)}, not {topic!r}")
    if not slash:
        return place_of(topic, None)
    if not (partition.isascii() and partition.isdigit() and int(partition) <= LARGEST_PARTITION):
        raise typer.BadParameter(f"PARTITION is a number from 0 to {LARGEST_PARTITION}, not {partition!r}")
    return place_of(topic, int(partition))


def arguments_of(place: TopicPartition) -> dict[str, object]:
    """The place, as the command's row has it."""
    return {"topic": place.topic, "partition": one_partition(place)}
