"""The topics of the contract as a cluster has them: what `connects topics create` makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from schemas.catalogue import INPUT_TOPICS, OUTPUT_TOPICS
from worker.errors import OperatorNeeded
from worker.stream.marker import MARKER_TOPIC

DEAD_LETTER_TOPIC: Final = "connects-dead-letters"
LETTER_BYTES: Final = 4 * 1024 * 1024
LETTER_SLACK_BYTES: Final = 64 * 1024
"""For a letter's own headers and the batch around it."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic, by the contract's name, and its settings where the broker's defaults do not do."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreatedTopics:
    """What was made and what was there, with prefix."""

    created: tuple[str, ...]
    existing: tuple[str, ...]


def output_topic_specs() -> tuple[TopicSpec, ...]:
    """The topics that the worker writes."""
    return (
        *(TopicSpec(name) for name in OUTPUT_TOPICS),
        TopicSpec(DEAD_LETTER_TOPIC, {"max.message.bytes": str(LETTER_BYTES + LETTER_SLACK_BYTES)}),
        # Only the last marker of a ledger counts: small segments, so that the others can be compacted away.
        TopicSpec(
            MARKER_TOPIC, {"cleanup.policy": "compact", "segment.bytes": str(16 * 1024 * 1024), "segment.ms": "3600000"}
        ),
    )


def input_topic_specs() -> tuple[TopicSpec, ...]:
    """The topics that the worker reads."""
    return tuple(TopicSpec(name) for name in INPUT_TOPICS)


async def create_topics(
    kafka: Mapping[str, Any], prefix: str, partitions: int, replication: int, *, inputs: bool
) -> CreatedTopics:
    """Make the output topics, and with `inputs` the input topics, unless they exist; those are left as they are.

    Raises:
        OperatorNeeded: the broker refused one.
        KafkaError: the broker is away.
    """
    specs = (*output_topic_specs(), *(input_topic_specs() if inputs else ()))
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        answer = await admin.create_topics(
            [NewTopic(prefix + spec.name, partitions, replication, topic_configs=dict(spec.settings)) for spec in specs]
        )
    finally:
        await admin.close()
    created, existing = [], []
    for topic, code, *rest in answer.topic_errors:
        error: type[KafkaError] = for_code(code)
        if error is NoError:
            created.append(topic)
        elif error is TopicAlreadyExistsError:
            existing.append(topic)
        else:
            why = (rest[0] if rest else None) or error.description
            raise OperatorNeeded(f"the broker did not create topic {topic}: {why}")
    return CreatedTopics(tuple(created), tuple(existing))
