"""A cluster that survives the loss of a broker: three copies of everything, of which two have to be in sync.

Nodes 2, 3 and 4 hold all copies and may be killed. The embedded stack's own node 1 is the controller, which decides who
leads; it holds no copy of anything.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from tests.kit.administering import administering
from tests.kit.brokers import AnotherBroker, changed_stack
from tests.kit.waiting import until_async
from tests.kit.world import PARTITIONS
from worker.embedded.stack import LocalStack
from worker.kafka.topics import input_topic_specs, output_topic_specs

NODES: Final = (2, 3, 4)
SESSION_SECONDS: Final = 6
"""So long a broker that was killed is taken for alive; others lead then what it led."""
_INTERNAL: Final = ("__transaction_state", "__consumer_offsets")
_INTERNAL_PARTITIONS: Final = 4
_INTERNAL_SETTINGS: Final = {"cleanup.policy": "compact", "segment.bytes": "104857600"}
_TWO_IN_SYNC: Final = {"min.insync.replicas": "2"}
_LOOK_SECONDS: Final = 0.5


class ThreeBrokers:
    """The brokers, and who leads and is in sync."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self.stack = stack
        self.brokers = {node: AnotherBroker(stack, folder / f"broker-{node}", node) for node in NODES}
        self.bootstrap = ",".join(broker.address for broker in self.brokers.values())
        self._kafka = {"bootstrap_servers": self.bootstrap}
        self._topics: list[str] = []

    async def start(self, *nodes: int) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.brokers[node].start) for node in nodes))

    async def make_topics(self, prefix: str) -> None:
        """All topics of a worker and Kafka's own, each with three copies."""
        await self._make(dict.fromkeys(_INTERNAL, _INTERNAL_SETTINGS), _INTERNAL_PARTITIONS)
        specs = (*output_topic_specs(), *input_topic_specs())
        await self._make({prefix + spec.name: spec.settings for spec in specs}, PARTITIONS)
        await self.in_sync()

    async def fall(self, node: int) -> None:
        """Kill a broker; returns when others lead all that it led."""
        await asyncio.to_thread(self.brokers[node].kill)
        await self._all(lambda partition: partition["leader"] not in {node, -1})

    async def come_back(self, node: int) -> None:
        """Start it again; returns when every copy is in sync."""
        await self.start(node)
        await self.in_sync()

    async def in_sync(self) -> None:
        await self._all(lambda partition: sorted(partition["isr"]) == list(NODES) and partition["leader"] in NODES)

    def end(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    async def _make(self, settings: Mapping[str, Mapping[str, str]], partitions: int) -> None:
        placed = {number: _turned(number) for number in range(partitions)}
        wanted = [
            NewTopic(name, -1, -1, replica_assignments=placed, topic_configs={**given, **_TWO_IN_SYNC})
            for name, given in settings.items()
        ]

        async def knows_all() -> bool:
            with suppress(KafkaError):
                async with administering(self._kafka) as admin:
                    return {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]} >= set(NODES)
            return False

        await until_async(knows_all)
        async with administering(self._kafka) as admin:
            answer = await admin.create_topics(wanted)
        assert not any(code for _, code, *_ in answer.topic_errors), answer
        self._topics += settings

    async def _all(self, condition: Callable[[Mapping[str, Any]], bool]) -> None:
        """Wait until it is true of every partition, as a broker that runs knows them."""

        async def true_of_all() -> bool:
            with suppress(KafkaError):
                async with administering(self._kafka) as admin:
                    looks = await admin.describe_topics(self._topics)
                if all(look["partitions"] and all(map(condition, look["partitions"])) for look in looks):
                    return True
            await asyncio.sleep(_LOOK_SECONDS)
            return False

        await until_async(true_of_all)


def _turned(number: int) -> list[int]:
    """The three nodes, of which another one leads each partition."""
    first = number % len(NODES)
    return [*NODES[first:], *NODES[:first]]


@contextmanager
def three_brokers(folder: Path) -> Iterator[ThreeBrokers]:
    """The cluster's controller and PostgreSQL, up; its three brokers are to be started."""
    changes: dict[str, Callable[[str], str]] = {"broker.session.timeout.ms": lambda _: str(SESSION_SECONDS * 1_000)}
    with changed_stack(folder / "stack", changes) as stack:
        cluster = ThreeBrokers(stack, folder)
        try:
            yield cluster
        finally:
            cluster.end()
