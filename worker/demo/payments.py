"""A simulated payment service: it reads the charges that the worker requests, and answers them, one way or another.

Most are paid after a moment, some fail, some are never answered, and some are answered twice. Whatever it replies, and
however often it is asked, money is taken once for a charge, or not at all.
"""

import asyncio
import heapq
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.fields import rfc3339
from worker.demo.marketplace import Message
from worker.demo.marketplace_members import Members
from worker.demo.stage import PARTITIONS
from worker.demo.time import DemoTime
from worker.domain.model import ChargeId, ChargeKey, FreelancerId

REQUESTED: Final = "membership-charge-requested"
SETTLED: Final = "membership-charge-settled"

_FATES: Final = {"paid": 0.78, "failed": 0.12, "paid, after weeks": 0.04, "never answered": 0.06}
_MOMENT_SECONDS: Final = (0.05, 1.2)
_WEEKS_DAYS: Final = (31, 45)
_TWICE: Final = 0.08
_EARNINGS_REFUSED: Final = 0.15
_LOOK_SECONDS: Final = 0.02


class ChargeRequested(msgspec.Struct):
    """The fields of a membership-charge-requested that a payment service needs."""

    freelancer_id: FreelancerId
    charge_id: ChargeId
    amount_cents: int
    source: str

    @property
    def key(self) -> ChargeKey:
        """Identifies the charge; its id alone may not."""
        return ChargeKey(self.freelancer_id, self.charge_id)


@dataclass(frozen=True)
class _Due:
    request: ChargeRequested
    outcome: str


class PaymentService:
    """Answers charges in the time of the demo until it is stopped. All chance depends on the seed and the charge."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        time: DemoTime,
        members: Members,
        send: Callable[[Message], Awaitable[None]],
        seed: int,
    ) -> None:
        self._kafka = kafka
        self._time, self._members, self._send, self._seed = time, members, send, seed
        self._seen: set[ChargeKey] = set()
        self._due: list[tuple[datetime, int, Message | _Due]] = []
        self._count = 0
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.taken: dict[ChargeKey, int | None] = {}
        """Cents taken for each paid charge; None: it was paid in earlier days, and the amount is not known."""

    def remember(self, message: Message) -> None:
        """Note a reply of earlier days: that charge is not answered again."""
        if message.topic == SETTLED and message.value is not None:
            reply = json.loads(message.value)
            charge = ChargeKey(reply["freelancer_id"], reply["charge_id"])
            self._seen.add(charge)
            if reply["outcome"] == "paid":
                self.taken[charge] = None

    async def start(self) -> None:
        """Begin to read, and to answer."""
        consumer = AIOKafkaConsumer(**self._kafka, isolation_level="read_committed", auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(REQUESTED, partition) for partition in range(PARTITIONS)])
        self._tasks = [asyncio.create_task(self._read(consumer)), asyncio.create_task(self._answer())]

    def require_well(self) -> None:
        """Raise the error with which it failed, if it has failed."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self) -> None:
        """Stop answering: charges that are not answered by now never are."""
        self._ended.set()
        reading, answering, self._tasks = self._tasks[:1], self._tasks[1:], []
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await asyncio.gather(*answering)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        decoder = msgspec.json.Decoder(ChargeRequested)
        try:
            async for record in consumer:
                self._asked(decoder.decode(record.value))
        finally:
            await consumer.stop()

    def _asked(self, request: ChargeRequested) -> None:
        """Decide how a charge will be answered; one that is requested again is known, and has no effect."""
        if request.key in self._seen:
            return
        self._seen.add(request.key)
        chance = random.Random(f"{self._seed}/{request.charge_id}")  # noqa: S311 - a seed is the point
        (fate,) = chance.choices(list(_FATES), list(_FATES.values()))
        if fate == "never answered":
            return
        wait = timedelta(seconds=self._time.speed * chance.uniform(*_MOMENT_SECONDS))
        if fate == "paid, after weeks":
            wait = timedelta(days=chance.uniform(*_WEEKS_DAYS))
        if request.source == "earnings-balance" and chance.random() < _EARNINGS_REFUSED:
            fate = "failed"
        self._put(self._time.now() + wait, _Due(request, "failed" if fate == "failed" else "paid"))

    def _put(self, when: datetime, what: Message | _Due) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, what))

    async def _answer(self) -> None:
        while not self._ended.is_set():
            while self._due and self._due[0][0] <= self._time.now():
                _, _, what = heapq.heappop(self._due)
                await (self._send(what) if isinstance(what, Message) else self._pay(what))
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._ended.wait()
            except TimeoutError:
                pass

    async def _pay(self, due: _Due) -> None:
        """Take the money and report it; what the earnings do not cover by now fails."""
        request, outcome, members = due.request, due.outcome, self._members
        who, cents = request.freelancer_id, request.amount_cents
        of_earnings = request.source == "earnings-balance"
        if of_earnings and members.earnings.get(who, 0) < cents:
            outcome = "failed"
        if outcome == "paid":
            self.taken[request.key] = cents
        fields = {"freelancer_id": who, "charge_id": request.charge_id, "outcome": outcome}
        message = self._message(SETTLED, {**fields, "source": "the earnings balance" if of_earnings else "the card"})
        await self._send(message)
        if outcome == "paid" and of_earnings:
            members.earnings[who] = members.earnings.get(who, 0) - cents
            topic, balance = members.balance(who)
            await self._send(self._message(topic, balance))
        self._reply_twice(message, request)

    def _reply_twice(self, message: Message, request: ChargeRequested) -> None:
        """Now and then send a reply once more: as it was, or as an event of its own. No money moves."""
        chance = random.Random(f"{self._seed}/{request.charge_id}/twice")  # noqa: S311 - a seed is the point
        if chance.random() >= _TWICE:
            return
        when = self._time.now() + timedelta(seconds=self._time.speed * chance.uniform(*_MOMENT_SECONDS))
        if chance.random() < 0.5:  # noqa: PLR2004
            self._put(when, message)
        else:
            reply = json.loads(message.value or b"")
            self._put(when, self._message(message.topic, {name: reply[name] for name in _SETTLED_FIELDS}))

    def _message(self, topic: str, fields: Mapping[str, Any]) -> Message:
        self._count += 1
        at = self._time.now()
        body = {"event_id": f"pay-{self._count}", "occurred_at": rfc3339(at), **fields}
        return Message(topic, str(fields["freelancer_id"]).encode(), json.dumps(body).encode(), at)


_SETTLED_FIELDS: Final = ("freelancer_id", "charge_id", "outcome", "source")
