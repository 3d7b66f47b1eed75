"""What was published before the ledger was restored from a backup: found in the output topics, and kept to be compared.

The part of `connects relay adopt` that reads Kafka and writes the marker; who leads meanwhile is worker/offline.py.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NoReturn
from uuid import UUID

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from worker.errors import OperatorNeeded, Transient
from worker.kafka.contact import kafka_failures
from worker.kafka.output.marker import Figures, Marker, consumer_of
from worker.kafka.output.messages import unpack_whole
from worker.kafka.output.open_transactions import Look
from worker.kafka.output.outbox import RelayDatabase
from worker.kafka.output.partitioner import partition_of
from worker.kafka.output.place import Place, named
from worker.kafka.output.published_before import Named, differing, read_message
from worker.kafka.output.published_messages import partition_counts, read_in_parts, republished_by, span_of
from worker.kafka.output.relay_opening import transactional_id_of
from worker.kafka.output.transactions import TransactionalProducer, TransactionFailed
from worker.ledger.connections import Connection
from worker.ledger.leadership import Leadership
from worker.ledger.postgres import PostgresStore
from worker.ledger.sql import load
from worker.proof.checks import Progress
from worker.queries.asking import connected
from worker.queries.restore_marker import figures_without_a_relay, send_marker
from worker.settings import Settings

_SQL: Final = load("adopt.sql")
_NAMED_IN: Final = {
    "wallet-updated": load("state.sql")["wallets_after"],
    "membership-updated": _SQL["named_in_membership_updated"],
    "membership-charge-requested": _SQL["named_in_membership_charge_requested"],
}
_NAMES: Final = 1_000
_TRANSACTION_SECONDS: Final = 15.0
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_NOTHING: Final = "Nothing was changed."
_NO_BATCH: Final = UUID(int=0)


class Found(msgspec.Struct, frozen=True):
    """What is to be adopted. `messages` by output topic are in Kafka, and the restored ledger has not made them yet.

    `marker_seq`: the row up to which Kafka's marker knows all as published (None: there is no marker); `goes_on_after`:
    the last of them that the ledger has; `pending`: its rows after that, which were never published.
    """

    ledger_id: str
    marker_seq: int | None
    goes_on_after: int
    pending: int
    messages: dict[str, int]
    freelancers: int
    partitions: dict[str, int]


class Pending:
    """The messages of the rows that the ledger does not know as published, and which of them are."""

    def __init__(self, known_through: int) -> None:
        self._through = known_through
        self._rows: list[tuple[int, list[tuple[Named, str]]]] = []
        self._contents: dict[tuple[Named, str], bytes] = {}
        self._seen: set[tuple[Named, str]] = set()

    async def load(self, store: RelayDatabase) -> None:
        """Read the rows.

        Raises:
            Transient: the database is away.
        """
        after = self._through
        while rows := await store.outbox_rows(after, _CHUNK_BYTES):
            for row in rows:
                told: dict[tuple[Named, str], bytes] = {}
                for message in unpack_whole(row.messages):
                    name, content = read_message(message.topic, message.value)
                    told[name, message.republished] = content
                self._contents.update(told)
                self._rows.append((row.seq, list(told)))
            after = rows[-1].seq

    def see(self, name: Named, content: bytes, where: str, republished: str = "") -> None:
        """Note a message that is published and that the ledger made; `republished`: by which command once more.

        Raises:
            OperatorNeeded: the ledger made it otherwise.
        """
        made = self._contents.get((name, republished))
        if made is None:
            return
        self._seen.add((name, republished))
        if fields := differing(name.topic, content, made):
            raise OperatorNeeded(
                f"{name} was published at {where}, and this ledger, which has not published it, made it with another "
                f"{', '.join(fields)}: something was decided in it since it was restored. Restore it again, and run "
                f"this before anything else. {_NOTHING}"
            )

    def published(self) -> tuple[int, int]:
        """The last row that is published, and how many are not.

        Raises:
            OperatorNeeded: a row is published in part, or without one before it.
        """
        through, left = self._through, 0
        for seq, names in self._rows:
            there = self._seen.intersection(names)
            if names and not there:
                left += 1
            elif len(there) < len(names) or (left and names):
                raise OperatorNeeded(
                    f"outbox row {seq} is published in part, or without one before it: something was decided in this "
                    f"ledger since it was restored. Restore it again, and run this before anything else. {_NOTHING}"
                )
            elif not left:
                through = seq
        return through, left


class Adopting:
    """One adoption, under a leadership. `find`, then `write_marker`, or `forget`."""

    def __init__(
        self, settings: Settings, leadership: Leadership, command: UUID, store: PostgresStore, progress: Progress
    ) -> None:
        self._settings, self._leadership, self._command, self._store = settings, leadership, command, store
        self._kafka, self._prefix = settings.kafka_kwargs(), settings.topic_prefix
        self._progress = progress
        self._republished_by: set[str] = set()
        """The commands by which messages that the ledger made were published once more."""
        self.producer = TransactionalProducer(
            self._kafka, transactional_id_of(self._prefix, leadership.ledger_id), _TRANSACTION_SECONDS, _refuse_hanging
        )

    async def find(self) -> Found:
        """Fence the last relay, read the output topics to their ends, and keep what the ledger has not made.

        Raises:
            OperatorNeeded: nothing is to be adopted, or it would be a guess.
            Transient: the database or Kafka is away.
        """
        ledger_id = self._leadership.ledger_id
        figures = await figures_without_a_relay(self._settings, ledger_id, self.producer, self._store)
        self._require_something(figures)
        counts = await partition_counts(self._kafka, self._prefix)
        partitions = counts if figures.marker is None else {**counts, **figures.marker.partitions}
        pending = Pending(figures.dropped_through)
        await pending.load(self._store)
        async with connected(self._settings.database_url) as connection:
            await connection.execute(_SQL["forget_unfinished"])
            for topic, count in counts.items():
                self._progress.begin(topic, 0, "messages")
                for partition in range(count):
                    await self._read(connection, topic, partition, partitions[topic], pending)
            await self._require_all(connection)
            through, left = pending.published()
            messages = {row["topic"]: row["messages"] for row in await connection.fetch(_SQL["found"])}
            freelancers = await connection.fetchval(_SQL["freelancers"])
            is_republished = bool(await connection.fetchval(_SQL["unknown_commands"], list(self._republished_by)))
        self._require_explained(figures, through, messages, is_republished=is_republished)
        marker_seq = None if figures.marker is None else figures.marker.seq
        return Found(str(ledger_id), marker_seq, through, left, messages, freelancers, partitions)

    async def forget(self) -> None:
        """Forget what was kept, unless the command that adopts it was answered."""
        async with connected(self._settings.database_url) as connection:
            await connection.execute(_SQL["forget_unfinished"])

    async def write_marker(self, found: Found) -> None:
        """Have the next worker go on after the rows that are published.

        Raises:
            Transient: Kafka is away, or another relay of this ledger has fenced this one.
        """
        leadership = self._leadership
        batch_uid = await self._store.batch_uid_at(found.goes_on_after) or _NO_BATCH
        marker = Marker(leadership.ledger_id, leadership.epoch, found.goes_on_after, batch_uid, found.partitions)
        try:
            await send_marker(self.producer, self._prefix, marker)
        except TransactionFailed as failure:
            raise Transient(
                f"the marker may not be written: {failure}. What was found is kept. If a worker of the database before "
                "the restore still runs, stop it; then run this again."
            ) from failure

    def _require_something(self, figures: Figures) -> None:
        """Refuse where no restored database is to be seen."""
        marker, contradiction = figures.marker, figures.contradiction()
        if marker is None:  # what the topics have then decides
            return
        if contradiction is None and marker.epoch < self._leadership.epoch:
            raise OperatorNeeded(f"nothing is to be adopted: a worker can go on from the marker. {_NOTHING}")
        if marker.seq < figures.dropped_through:
            raise OperatorNeeded(
                f"{contradiction} ({figures}): the ledger is ahead of this cluster, as no restored database is. Point "
                "KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL at the cluster and the ledger that belong together. "
                f"{_NOTHING}"
            )

    async def _read(self, connection: Connection, topic: str, partition: int, keyed_by: int, pending: Pending) -> None:
        """Read one partition: what the ledger has made shows that all later messages are there still."""
        place = TopicPartition(self._prefix + topic, partition)
        is_continued = False
        async with consumer_of(self._kafka, "read_committed") as consumer:
            beginning, end = await span_of(consumer, place)
            async for records in read_in_parts(consumer, place, self._leadership.ledger_id, beginning, end):
                self._require_lease()
                is_continued |= await self._keep(connection, topic, records, pending)
                self._progress.advance(len(records))
        if not is_continued and (beginning or await _is_keyed_to(connection, topic, partition, keyed_by)):
            raise OperatorNeeded(
                f"{place.topic}, partition {partition}, begins at offset {beginning} and has nothing that this ledger "
                "has published: what was published after the backup may be gone (its retention has passed, or the "
                "topic was deleted), and could not be compared. Restore a newer database. "
                f"{_NOTHING}"
            )

    def _require_lease(self) -> None:
        if self._leadership.lost.is_set():
            raise Transient(f"another worker has taken the ledger: stop all workers, then run this again. {_NOTHING}")

    async def _keep(
        self, connection: Connection, topic: str, records: Sequence[ConsumerRecord], pending: Pending
    ) -> bool:
        """Keep those of these messages that the ledger has not made; whether it has made any of them."""
        if not records:
            return False
        told = [_read(topic, record) for record in records]
        names = [name for name, _ in told]
        known = {Named(*row) for row in await connection.fetch(_SQL["known"], *_columns(names))}
        new: list[tuple[str, str, str, bytes, int, int]] = []
        for record, (name, content) in zip(records, told, strict=True):
            if name in known:
                self._republished_by |= {republished_by(record)} - {""}
                pending.see(name, content, _where(record), republished_by(record))
            else:
                new.append((*name, content, record.partition, record.offset))
        if new:
            columns = _columns(new)
            await connection.execute(_SQL["keep"], *columns, self._command)
            if (row := await connection.fetchrow(_SQL["contradicting"], *columns)) is not None:
                raise OperatorNeeded(
                    f"{Named(*row[:3])} was published twice, each time with another content: at partition "
                    f"{row['other_partition']} offset {row['other_offset']}, and at partition {row['partition']} "
                    f"offset {row['offset']}. Which one counts is not for a program to say. {_NOTHING}"
                )
        return bool(known)

    async def _require_all(self, connection: Connection) -> None:
        """Refuse if a version between the ledger's last one and the topic's last one is missing."""
        row = await connection.fetchrow(_SQL["gap"])
        if row is not None:
            raise OperatorNeeded(
                f"{row['topic']}: of {row['freelancer_id']} the ledger has the versions up to {row['known']}, and the "
                f"topic some of {row['first']} to {row['last']} after that, not all: what is missing could not be "
                f"compared. Restore a newer database. {_NOTHING}"
            )

    def _require_explained(
        self, figures: Figures, through: int, messages: dict[str, int], *, is_republished: bool
    ) -> None:
        """Refuse if the marker knows more as published than the topics have, or less.

        `is_republished`: what the topics have of the other rows was published once more after the backup.
        """
        marker = figures.marker
        if marker is None and not messages:
            raise OperatorNeeded(
                "nothing is to be adopted: there is no marker, and nothing is published that this ledger has not made. "
                f"If a worker does not start, run `connects topics create --fix`. {_NOTHING}"
            )
        if marker is not None and marker.seq > through and not (messages or is_republished):
            raise OperatorNeeded(
                f"the marker knows the rows up to {marker.seq} as published, the ledger has those up to {through}, and "
                "the output topics have no message of the others: were they deleted? Restore the newest database. "
                f"{_NOTHING}"
            )
        if marker is not None and marker.seq < through:
            raise OperatorNeeded(
                f"the output topics have the rows up to {through}, and the marker knows those up to {marker.seq}. Give "
                f"the figures of `connects relay show` to the developers. {_NOTHING}"
            )


@asynccontextmanager
async def adopting(
    settings: Settings, leadership: Leadership, command: UUID, progress: Progress
) -> AsyncIterator[Adopting]:
    """An adoption, for as long as it lasts; what Kafka refuses is worded."""
    store = PostgresStore(settings.database_url, "relay-adopt")
    adoption = Adopting(settings, leadership, command, store, progress)
    try:
        with kafka_failures(settings.kafka_kwargs()):
            yield adoption
    finally:
        await adoption.producer.abandon()
        await store.close()


async def _refuse_hanging(look: Look) -> NoReturn:
    """Refuse to end a transaction whose rows the restored ledger does not have."""
    places: list[Place] = sorted(look.own)
    raise OperatorNeeded(
        f"{named(places)} holds a transaction of this ledger's relays that never ended there, and the restored ledger "
        "does not know whether it was published. Start a worker once on the database before the restore, or end the "
        f"transaction with `kafka-transactions.sh abort`; then run this again. {_NOTHING}"
    )


async def _is_keyed_to(connection: Connection, topic: str, partition: int, keyed_by: int) -> bool:
    """Whether the ledger has a freelancer whose messages of that topic go to the partition."""
    after = ""
    while rows := await connection.fetch(_NAMED_IN[topic], after, _NAMES):
        names = [row["freelancer_id"] for row in rows if row["freelancer_id"] is not None]
        if any(partition_of(name.encode(), keyed_by) == partition for name in names):
            return True
        if not names:
            return False
        after = names[-1]
    return False


def _read(topic: str, record: ConsumerRecord) -> tuple[Named, bytes]:
    try:
        return read_message(topic, record.value or b"")
    except ValueError as error:
        raise OperatorNeeded(
            f"{_where(record)} is not a message of {topic} ({error}): it cannot be compared. {_NOTHING}"
        ) from None


def _where(record: ConsumerRecord) -> str:
    return f"{record.topic}, partition {record.partition}, offset {record.offset}"


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
