"""A simulated marketplace: the messages of freelancers, clients and careless producers.

The same seed and instants give the same messages, byte for byte, with any client:

    marketplace = Marketplace(seed=7)
    for message in marketplace.messages(at_rate(50, start=now, seed=7)):
        client.send(message.topic, key=message.key, value=message.value)  # any client, at message.send_at

Most of what happens makes sense: people apply for jobs that are open, with Connects that they have. A small share is
what real producers do, too: records delivered twice, late or spoiled, and facts sent again under another id.
"""

import asyncio
import heapq
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from schemas.catalogue import INPUT_TOPICS, KEY_FIELDS
from schemas.examples import EXAMPLES
from schemas.fields import rfc3339
from worker.demo.marketplace_life import Life
from worker.demo.marketplace_members import Members

_LIVED: Final = frozenset(
    {
        *("freelancer-registered", "badge-earned", "certification-completed", "interview-won"),
        *("proposal-submitted", "proposal-withdrawn", "boost-outbid", "job-closed", "hire-made"),
        *("connects-purchased", "connects-adjusted", "membership-plan-chosen", "promo-code-entered"),
        *("membership-charge-settled", "earnings-balance-updated", "account-suspended", "account-reinstated"),
    }
)
"""Topics of what people do in `Life`, and of their plans."""
_OTHERS: Final = tuple(topic for topic in INPUT_TOPICS if topic not in _LIVED)
"""Topics that `Life` does not use yet: now and then the topic's example is sent."""
_HOW_OFTEN_OTHERS: Final = 0.01


@dataclass(frozen=True)
class Message:
    """A message for an input topic (the contract's name, without prefix), and when its producer sends it."""

    topic: str
    key: bytes | None
    value: bytes | None
    send_at: datetime


@dataclass(frozen=True)
class Carelessness:
    """Shares of the messages that producers deliver once more, late, or spoil; and how late (seconds, at most)."""

    duplicates: float = 0.015
    late: float = 0.01
    spoiled: float = 0.004
    late_seconds: float = 20.0
    again_seconds: float = 3.0


class Marketplace:
    """The people and the open jobs; each call of `messages` continues where the last one ended."""

    def __init__(
        self, seed: int, *, freelancers: int = 250, clients: int = 60, careless: Carelessness | None = None
    ) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a seed is the point
        self._life = Life(self._chance, freelancers, clients)
        self._careless = careless or Carelessness()
        self._count = 0
        self._held: list[tuple[datetime, int, Message]] = []

    @property
    def memberships(self) -> Members:
        """The members. Nobody chooses a plan until they are `open`: then somebody has to answer charges."""
        return self._life.memberships

    def veterans(self, instants: Iterable[datetime]) -> Iterator[Message]:
        """Register a freelancer at each of these instants (ascending), before anything else happened."""
        for at in instants:
            topic, fields = self._life.register()
            yield self._sent_once(topic, fields, at)

    def members_of_old(self, instants: Iterable[datetime], paid_after: timedelta) -> Iterator[Message]:
        """Let veterans choose Plus at these instants and pay that much later, the first veteran first.

        Their charges are answered without having been read: the worker asks for them under these ids.
        """
        for number, at in enumerate(instants, start=1):
            freelancer_id = f"f-{number}"
            self.memberships.chose_plus(freelancer_id)
            chosen = {"freelancer_id": freelancer_id, "plan": "plus"}
            yield self._sent_once("membership-plan-chosen", chosen, at)
            charge_id = f"{freelancer_id}:e-{self._count}:1"
            settled = {"freelancer_id": freelancer_id, "charge_id": charge_id, "outcome": "paid", "source": "the card"}
            yield self._sent_once("membership-charge-settled", settled, at + paid_after)

    def _sent_once(self, topic: str, fields: Mapping[str, Any], at: datetime) -> Message:
        """Return an event that is sent in time, and once."""
        self._count += 1
        body = {"event_id": f"e-{self._count}", "occurred_at": rfc3339(at), **fields}
        return Message(topic, str(fields[KEY_FIELDS[topic]]).encode(), json.dumps(body).encode(), at)

    def messages(self, instants: Iterable[datetime]) -> Iterator[Message]:
        """Return the messages about these instants (ascending), in the order in which they are sent."""
        order = itertools.count(self._count)
        for at in instants:
            while self._held and self._held[0][0] <= at:
                yield heapq.heappop(self._held)[2]
            for message in self._sent_at(at):
                heapq.heappush(self._held, (message.send_at, next(order), message))
        self._count = next(order)

    def held_back(self) -> Iterator[Message]:
        """Return the messages that were still to be sent when the instants ended."""
        while self._held:
            yield heapq.heappop(self._held)[2]

    def _sent_at(self, at: datetime) -> Iterator[Message]:
        chance, careless = self._chance, self._careless
        for topic, fields in self._life.happen():
            message = self._sent_once(topic, fields, at)
            body = {"event_id": f"e-{self._count}", "occurred_at": rfc3339(at), **fields}
            sent = at
            if chance.random() < careless.late:
                sent += timedelta(seconds=chance.uniform(1, careless.late_seconds))
                message = replace(message, send_at=sent)
            yield message
            if chance.random() < careless.duplicates:
                again = sent + timedelta(seconds=chance.uniform(0, careless.again_seconds))
                yield Message(topic, message.key, message.value, again)
            if chance.random() < careless.spoiled:
                yield self._spoiled(message, body, sent)
        for topic in _OTHERS:
            if chance.random() < _HOW_OFTEN_OTHERS:
                yield self._sent_once(topic, self._like_the_example(topic), at)

    def _like_the_example(self, topic: str) -> dict[str, Any]:
        fields = {name: value for name, value in EXAMPLES[topic].items() if name not in {"event_id", "occurred_at"}}
        if "freelancer_id" in fields:
            fields["freelancer_id"] = self._life.somebody()
        return fields

    def _spoiled(self, message: Message, body: Mapping[str, Any], at: datetime) -> Message:
        """A message that can never be decided; each kind has its dead letter."""
        key = KEY_FIELDS[message.topic]
        changed = {**body, "event_id": f"bad-{self._count}"}
        bad: tuple[bytes | None, ...] = (
            None,
            b"<xml/>",
            json.dumps({name: value for name, value in changed.items() if name != key}).encode(),
            json.dumps({**changed, key: 12}).encode(),
            json.dumps({**changed, "occurred_at": rfc3339(at + timedelta(days=400))}).encode(),
            json.dumps({**body, key: "somebody-else"}).encode(),
        )
        return Message(message.topic, message.key, self._chance.choice(bad), at)


def at_rate(rate: float, start: datetime, seed: int) -> Iterator[datetime]:
    """Instants without end, on average `rate` a second, as independent people make them."""
    chance = random.Random(seed)  # noqa: S311 - a seed is the point
    at = start
    while True:
        at += timedelta(seconds=chance.expovariate(rate))
        yield at


def spread(count: int, start: datetime, end: datetime, seed: int) -> list[datetime]:
    """Return that many instants between two."""
    chance = random.Random(seed)  # noqa: S311 - a seed is the point
    return sorted(start + (end - start) * chance.random() for _ in range(count))


def _real_wait_seconds(until: datetime) -> float:
    return until.timestamp() - time.time()


async def send_in_time(
    messages: Iterable[Message],
    send: Callable[[Message], Awaitable[None]],
    stop: asyncio.Event,
    wait_seconds: Callable[[datetime], float] = _real_wait_seconds,
) -> None:
    """Send each message when its time has come, until there are no more, or `stop` is set.

    `wait_seconds` says how long that is from now, for callers whose time does not pass as usual.
    """
    for message in messages:
        wait = wait_seconds(message.send_at)
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await stop.wait()
            except TimeoutError:
                pass
        if stop.is_set():
            return
        await send(message)


async def produce(
    kafka: Mapping[str, Any], prefix: str, *, rate: float, seconds: float, seed: int, start: datetime
) -> Counter[str]:
    """Play a marketplace to Kafka from `start` on (about now), with a client of its own; messages sent, by topic."""
    sent: Counter[str] = Counter()
    end = start + timedelta(seconds=seconds)
    instants = itertools.takewhile(lambda at: at < end, at_rate(rate, start, seed))
    async with AIOKafkaProducer(**kafka, enable_idempotence=True) as producer:

        async def send(message: Message) -> None:
            await producer.send(prefix + message.topic, key=message.key, value=message.value)
            sent[message.topic] += 1

        await send_in_time(Marketplace(seed).messages(instants), send, asyncio.Event())
    return sent


DEFAULT_RATE: Final = 60.0
"""Events a second of a marketplace that a person can still follow."""
