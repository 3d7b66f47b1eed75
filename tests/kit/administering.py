"""Topics and settings of the real brokers, through aiokafka's administration client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from tests.kit.waiting import until_async


@asynccontextmanager
async def administering(kafka: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that is closed afterwards."""
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_topic(admin: AIOKafkaAdminClient, topic: NewTopic) -> None:
    """Create it and wait until each of its partitions has a leader."""
    answer = await admin.create_topics([topic])
    for error in answer.topic_errors:
        if error[1]:
            raise for_code(error[1])(error)
    partitions = topic.num_partitions if topic.num_partitions > 0 else len(topic.replica_assignments)
    await until_async(lambda: is_led(admin, topic.name, partitions))


async def delete_topics(admin: AIOKafkaAdminClient, *topics: str) -> None:
    """Delete them and wait until the broker knows that they are gone.

    What is sent before that, to a topic of the same name that is made anew, goes into the log that is being deleted.
    """
    await admin.delete_topics(list(topics))

    async def are_gone() -> bool:
        return not set(topics) & set(await admin.list_topics())

    await until_async(are_gone)


async def delete_topics_of(kafka: Mapping[str, Any], prefix: str) -> None:
    """Delete all topics that nobody will use again."""
    async with administering(kafka) as admin:
        if topics := [topic for topic in await admin.list_topics() if topic.startswith(prefix)]:
            await admin.delete_topics(topics)


async def is_led(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> bool:
    """Whether each of so many partitions has a leader."""
    (look,) = await admin.describe_topics([topic])
    return [partition["leader"] >= 0 for partition in look["partitions"]] == [True] * partitions
