"""What keeps the worker from writing its topics, in words: which topic and partition, and what was waited for."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from worker.kafka.broker import TopicLooks, probing
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.place import Place
from worker.kafka.troubles import NO_LEADER

_SECONDS: Final = 10.0


class Obstacles:
    """Of one relay: the partitions that it writes, its marker's, and the coordinator of its transactions."""

    def __init__(self, kafka: Mapping[str, Any], transactional_id: str, marker_topic: str, marker_key: bytes) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._marker_topic = marker_topic
        self._marker_key = marker_key

    async def find(self, places: Collection[Place] = ()) -> str | None:
        """What is in the way of a transaction to these places and the marker's; None: nothing that is known.

        Raises:
            KafkaError, OSError, TimeoutError: the cluster does not answer.
        """
        async with probing(self._kafka, _SECONDS) as probe:
            looks = await probe.topics({self._marker_topic, *(topic for topic, _ in places)})
            why = self._first_unwritable(looks, places)
            if why is None and not await probe.has_transaction_coordinator(self._transactional_id):
                why = (
                    "the coordinator of the worker's transactions is not available: a partition of the cluster's "
                    f"topic __transaction_state {NO_LEADER}, or the topic cannot be created. Nothing is published "
                    "until then, and what is decided waits in the outbox"
                )
            return why

    def _first_unwritable(self, looks: TopicLooks, places: Collection[Place]) -> str | None:
        for topic in sorted({self._marker_topic, *(topic for topic, _ in places)}):
            if topic in looks.denied:
                return f"the topic {topic} {looks.denied[topic]}"
            if topic not in looks.found:
                return f"the topic {topic} does not exist. Run `connects topics create`"
        count = len(looks.found[self._marker_topic].leaders)
        marker_place = (self._marker_topic, partition_of(self._marker_key, count))
        for topic, partition in sorted({marker_place, *places}):
            if looks.found[topic].leaders.get(partition, -1) < 0:
                return (
                    f"{topic}, partition {partition} {NO_LEADER}: nothing is published until it has one, and what is "
                    "decided waits in the outbox"
                )
        return None
