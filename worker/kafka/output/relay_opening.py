"""How a relay takes publishing over: it fences the one before, then finds out how far that one has come."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from aiokafka.errors import KafkaError

from schemas.catalogue import OUTPUT_TOPICS
from worker.backoff import Backoff
from worker.errors import LeadershipLost, OperatorNeeded, Transient
from worker.kafka.output.flush import Route
from worker.kafka.output.hanging import Hanging
from worker.kafka.output.marker import MARKER_TOPIC, Figures, Marker, compare, marker_key
from worker.kafka.output.obstacles import Obstacles
from worker.kafka.output.open_transactions import Look
from worker.kafka.output.outbox import RelayDatabase
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.place import Place, named
from worker.kafka.output.published_messages import find_published
from worker.kafka.output.transactions import TransactionalProducer


def transactional_id_of(prefix: str, ledger_id: UUID) -> str:
    """The transactional id of a ledger's relays, by which each fences the one before."""
    return f"{prefix}connects-relay-{ledger_id}"


def relay_producer(
    kafka: Mapping[str, Any], prefix: str, ledger_id: UUID, database: RelayDatabase, transaction_seconds: float
) -> TransactionalProducer:
    """The producer of a ledger's relays, which to start fences the one before."""
    was_committed = Hanging(kafka, prefix, ledger_id, database).was_committed
    return TransactionalProducer(kafka, transactional_id_of(prefix, ledger_id), transaction_seconds, was_committed)


async def output_places(producer: TransactionalProducer, prefix: str) -> set[Place]:
    """All partitions of the output topics and of the marker's.

    Raises:
        Transient: one of the topics does not exist, or the broker does not say.
    """
    topics = [prefix + name for name in (*OUTPUT_TOPICS, MARKER_TOPIC)]
    return {(topic, number) for topic in topics for number in range(await producer.partition_count(topic))}


class Opening:
    """Of one relay. `kafka` are aiokafka's connection arguments."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        prefix: str,
        ledger_id: UUID,
        database: RelayDatabase,
        transaction_seconds: float,
    ) -> None:
        self._kafka, self._prefix, self._ledger_id = kafka, prefix, ledger_id
        self._database, self._transaction_seconds = database, transaction_seconds
        self.marker_topic = prefix + MARKER_TOPIC
        transactional_id = transactional_id_of(prefix, ledger_id)
        self.obstacles = Obstacles(kafka, transactional_id, self.marker_topic, marker_key(ledger_id))
        self.waits_for: str | None = None
        """What it waits for now, in words."""
        self._look: Look | None = None

    async def until_writable(self, places: Collection[Place], report: Callable[[str], None]) -> None:
        """Wait while one of these partitions has no leader: each attempt to write to it would take its whole time.

        `report` is called with what is in the way.
        """
        backoff = Backoff()
        reported: str | None = None
        while True:
            try:
                why = await self.obstacles.find(places)
            except (KafkaError, OSError, TimeoutError):
                return  # the whole cluster is away: taking over again waits for it
            if why is None:
                return
            if why != reported:
                report(why)
            reported = why
            await backoff.pause()

    async def fence(self, epoch: int) -> TransactionalProducer:
        """Start the producer that fences all before it.

        Raises:
            LeadershipLost: the epoch is over.
            Transient, KafkaError, OSError, TimeoutError: the broker or the database is away, or a partition.
        """
        self.waits_for = "Kafka to say where the marker is"
        if (why := await self.obstacles.find()) is not None:
            raise Transient(why)
        await self._prove(epoch)
        producer = relay_producer(self._kafka, self._prefix, self._ledger_id, self._database, self._transaction_seconds)
        self.waits_for = "the transaction coordinator (a partition of the cluster's topic __transaction_state)"
        await producer.start()
        try:
            # A worker that was stopped since its last look at the epoch may just have fenced its successor: look again.
            await self._prove(epoch)
        except BaseException:
            await producer.abandon()
            raise
        return producer

    async def end_hanging(self, producer: TransactionalProducer) -> None:
        """End what an earlier relay left open in the output topics and the marker's, though its transaction is over.

        Raises:
            OperatorNeeded: what hangs at one place was committed in part.
            Transient, KafkaError, OSError, TimeoutError: the broker or the database is away.
        """
        self._look, self.waits_for = None, "Kafka to say what is open in the output topics"
        self._look = await producer.end_hanging(await output_places(producer, self._prefix))

    async def figures(self) -> Figures:
        """What the marker and the ledger say about each other.

        Raises:
            Transient, KafkaError: database or broker are away.
        """
        self.waits_for = f"the marker in {self.marker_topic}"
        self.waits_for += self._held_back()
        return await compare(self._kafka, self.marker_topic, self._ledger_id, self._database)

    async def published_after(self, published: int) -> int:
        """How far the outputs themselves go, where the marker is lost; rows up to `published` are known as published.

        Raises:
            OperatorNeeded: the outputs contradict the ledger.
            Transient, KafkaError, OSError, TimeoutError: database or broker are away.
        """
        self.waits_for = f"the output topics to be read, as the marker is lost{self._held_back()}"
        if self._look is not None:
            await self._look.until_others_are_over()
        _, last, _ = await find_published(self._kafka, self._prefix, self._ledger_id, self._database, published)
        return last

    async def routes(self, producer: TransactionalProducer, marker: Marker | None) -> tuple[dict[str, Route], Place]:
        """Where messages and markers go. A partition count that the marker knows stays, even if some were added since.

        Raises:
            OperatorNeeded: a topic has fewer partitions than it had.
            Transient: the broker does not say.
        """
        self.waits_for = "Kafka to describe the output topics"
        known = {} if marker is None else marker.partitions
        routes: dict[str, Route] = {}
        for name in OUTPUT_TOPICS:
            topic = self._prefix + name
            count = await producer.partition_count(topic)
            if count < known.get(name, 0):
                raise OperatorNeeded(
                    f"topic {topic} had {known[name]} partitions and has {count}: it was recreated with fewer. "
                    f"`connects topics create --fix` adds the missing ones"
                )
            routes[name] = Route.of(name, self._prefix, known.get(name, count))
        count = await producer.partition_count(self.marker_topic)
        return routes, (self.marker_topic, partition_of(marker_key(self._ledger_id), count))

    def _held_back(self) -> str:
        if self._look is None or not self._look.of_others:
            return ""
        return f"; another producer's transaction is open in {named(self._look.of_others)}"

    async def _prove(self, epoch: int) -> None:
        if not await self._database.still_mine(epoch):
            raise LeadershipLost(f"epoch {epoch} is over: another worker publishes for this ledger")
