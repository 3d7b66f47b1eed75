"""The demo's view of a worker: the ledger's figures, and its messages, as any consumer reads them."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.catalogue import OUTPUT_TOPICS
from worker.demo.checks import Published
from worker.demo.marketplace import Message
from worker.demo.stage import PARTITIONS
from worker.domain.model import ChargeId, ChargeKey, FreelancerId
from worker.ledger.sql import load

_SQL: Final = load("demo.sql", "worker.demo")
_LAST_CHANGES: Final = 40
_AWAITED: Final = 20_000
_DELAYS: Final = 5_000
_WAIT_FOR_AN_INSTANT: Final = frozenset({"refund.job-closed-without-hire", "grant.monthly", "grant.upgrade"})
"""Rules whose changes may be due some time after the event that causes them."""

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Cause(msgspec.Struct):
    """The record that caused a change; without a topic, the schedule or a command did."""

    topic: str | None
    partition: int | None = None
    offset: int | None = None


class Update(msgspec.Struct):
    """A wallet-updated message, as far as the demo needs it."""

    freelancer_id: str
    version: int
    delta: int
    balance_after: int
    rule: str
    explanation: str
    cause: Cause


class _MembershipUpdate(msgspec.Struct):
    freelancer_id: str
    version: int


class _Charge(msgspec.Struct):
    freelancer_id: FreelancerId
    charge_id: ChargeId


class Tap:
    """Sends messages, and remembers when each record was acknowledged until its effect was read."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self.kafka = kafka
        self._producer = AIOKafkaProducer(**kafka, enable_idempotence=True)
        self._sending: set[asyncio.Task[None]] = set()
        self.acknowledged: Counter[tuple[str, int]] = Counter()
        self.sent_at: OrderedDict[Place, float] = OrderedDict()

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def send(self, message: Message) -> None:
        """Hand a message to the producer; `flush` waits for its acknowledgement."""
        sent_at = time.monotonic()
        waiting = await self._producer.send(message.topic, key=message.key, value=message.value)
        task = asyncio.create_task(self._acknowledge(waiting, sent_at))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def flush(self) -> None:
        """Wait until all that was sent is acknowledged."""
        await asyncio.gather(*self._sending)

    async def stop(self) -> None:
        """Send what is left and disconnect."""
        await self._producer.stop()

    @property
    def total(self) -> int:
        """How many records were acknowledged."""
        return self.acknowledged.total()

    async def _acknowledge(self, waiting: "asyncio.Future[Any]", sent_at: float) -> None:
        record = await waiting
        self.acknowledged[record.topic, record.partition] += 1
        self.sent_at[record.topic, record.partition, record.offset] = sent_at
        while len(self.sent_at) > _AWAITED:
            self.sent_at.popitem(last=False)


class Reader:
    """Reads all messages of the worker, read_committed, from their beginning on."""

    def __init__(self, kafka: Mapping[str, Any], tap: Tap) -> None:
        self._consumer = AIOKafkaConsumer(**kafka, isolation_level="read_committed", auto_offset_reset="earliest")
        self._kafka = kafka
        self._places = [TopicPartition(topic, partition) for topic in OUTPUT_TOPICS for partition in range(PARTITIONS)]
        self._tap = tap
        self._following: asyncio.Task[None] | None = None
        self.read = Published()
        self.count = 0
        self.rules: Counter[str] = Counter()
        """Changes of wallets, and by which rule."""
        self.latest: deque[Update] = deque(maxlen=_LAST_CHANGES)
        self.delays: deque[float] = deque(maxlen=_DELAYS)
        """Seconds from sending an event to reading its wallet-updated; what is due later does not count."""

    async def start(self) -> None:
        """Begin to follow."""
        await self._consumer.start()
        self._consumer.assign(self._places)
        self._following = asyncio.create_task(self._follow())

    def measure_from_now(self) -> None:
        """Measure delays from now on: what was sent before does not count."""
        self._tap.sent_at.clear()
        self.delays.clear()

    async def read_to_the_end(self, limit_seconds: float) -> None:
        """Wait until everything was read.

        Raises:
            TimeoutError: it took longer.
        """
        async with asyncio.timeout(limit_seconds):
            async with AIOKafkaConsumer(**self._kafka, isolation_level="read_uncommitted") as asking:
                ends = await asking.end_offsets(self._places)
            for place in self._places:
                while await self._consumer.position(place) < ends[place]:  # noqa: ASYNC110 - it has no event for that
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._consumer.stop()

    async def _follow(self) -> None:
        wallets = msgspec.json.Decoder(Update)
        memberships = msgspec.json.Decoder(_MembershipUpdate)
        charges = msgspec.json.Decoder(_Charge)
        async for record in self._consumer:
            if record.topic == "wallet-updated":
                self._note(wallets.decode(record.value))
            elif record.topic == "membership-updated":
                membership = memberships.decode(record.value)
                self.read.memberships.setdefault(membership.freelancer_id, []).append(membership.version)
            else:
                charge = charges.decode(record.value)
                self.read.charges.append(ChargeKey(charge.freelancer_id, charge.charge_id))

    def _note(self, update: Update) -> None:
        self.count += 1
        self.rules[update.rule] += 1
        seen = (update.version, update.delta, update.balance_after)
        self.read.wallets.setdefault(update.freelancer_id, []).append(seen)
        self.latest.append(update)
        cause = update.cause
        if cause.topic is None or update.rule in _WAIT_FOR_AN_INSTANT:
            return
        sent_at = self._tap.sent_at.pop((cause.topic, cause.partition or 0, cause.offset or 0), None)
        if sent_at is not None:
            self.delays.append(time.monotonic() - sent_at)


@dataclass
class Figures:
    """Counts of the ledger at one moment. `business_time` is the worker's."""

    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    firsts: int = 0
    late: int = 0
    wallets: int = 0
    overdrawn: int = 0
    parked: int = 0
    dead_letters: int = 0
    pending: int = 0
    on_plus: int = 0
    unanswered: int = 0
    paid: int = 0
    failed: int = 0
    lapsed: int = 0
    """Charges that lapsed and were not paid since."""
    next_cycle: date | None = None
    next_cycles: int = 0
    business_time: datetime | None = None

    def of_reason(self, reason: str) -> int:
        """Decisions with that reason that did something."""
        return self.decisions["applied", reason]

    @property
    def ever_lapsed(self) -> int:
        """Charges that lapsed, whether or not they were paid since."""
        return self.lapsed + self.of_reason("paid-after-lapse")

    def outcomes(self) -> Counter[str]:
        """Decisions by outcome."""
        found: Counter[str] = Counter()
        for (outcome, _), count in self.decisions.items():
            found[outcome] += count
        return found


class Watcher:
    """Polls the ledger, each time only for what is new."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._seen = 0
        self.figures = Figures()

    async def poll(self) -> Figures:
        """Bring the figures up to date."""
        ask, figures = self._connection, self.figures
        batch = await ask.fetchrow(_SQL["last_batch"])
        if batch is None:
            return figures
        rows = await ask.fetch(_SQL["decisions_between"], self._seen, batch["last_seq"])
        self._seen = batch["last_seq"]
        for row in rows:
            figures.decisions[row["outcome"], row["reason"]] += row["decisions"]
            figures.firsts += row["decisions"] if row["kind"] == "first" else 0
            figures.late += row["late"]
        for row in await ask.fetch(_SQL["figures"]):
            for name, count in row.items():
                setattr(figures, name, count)
        figures.business_time = batch["business_time"]
        return figures

    async def cycles_waiting(self, until: datetime) -> int:
        """How many memberships have a cycle start at or before then that is not booked yet."""
        waiting: int = await self._connection.fetchval(_SQL["cycles_waiting"], until.astimezone(UTC).date())
        return waiting
