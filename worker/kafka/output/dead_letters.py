"""The dead-letter lane: records that can never be decided, sent on as they came, at least once.

A lane of its own, in no transaction: its topic being away delays no wallet.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from worker.backoff import Backoff
from worker.kafka.connect_errors import in_words
from worker.kafka.guards import guard_clients
from worker.kafka.headers import Headers, unpack_headers
from worker.kafka.output.abandon import abandon
from worker.kafka.output.outbox import DeadLetter, DeadLetterDatabase
from worker.kafka.output.partitioner import partition_of
from worker.kafka.topics import DEAD_LETTER_TOPIC, LETTER_BYTES, LETTER_SLACK_BYTES

_LETTERS_AT_ONCE: Final = 64
_BYTES_AT_ONCE: Final = 16 * 1024 * 1024
_BATCH_BYTES: Final = 256 * 1024
_SMALLEST_LIMIT: Final = 16 * 1024
_HEADER_OVERHEAD: Final = 10
_LOOK_SECONDS: Final = 5.0  # also without being told
_SEND_SECONDS: Final = 30.0
_REQUEST_TIMEOUT_MS: Final = 10_000

_log = structlog.get_logger(__name__)


class DeadLetterLane:
    """Sends letters in ledger order and notes the acknowledged ones. `run` as a task; `wake` when letters commit.

    `kafka` holds aiokafka's connection arguments.
    """

    def __init__(self, kafka: Mapping[str, Any], prefix: str, database: DeadLetterDatabase) -> None:
        self.last_error: str | None = None
        self._kafka = kafka
        self._prefix = prefix
        self._topic = prefix + DEAD_LETTER_TOPIC
        self._database = database
        self._producer: AIOKafkaProducer | None = None
        self._limit_bytes = LETTER_BYTES + LETTER_SLACK_BYTES // 2
        self._woken = asyncio.Event()

    @property
    def healthy(self) -> bool:
        """Whether letters get on; otherwise `last_error` says what is in the way."""
        return self.last_error is None

    def wake(self) -> None:
        """There are new letters."""
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled. Broker, topic and database may come and go; nothing else ends it."""
        backoff = Backoff()
        try:
            while True:
                self._woken.clear()
                try:
                    any_sent = await self._send_next()
                except Exception as error:  # noqa: BLE001 - even a bug here may stop letters only, never the worker
                    self._trouble(error)
                    await self._close()
                    await backoff.pause()
                    continue
                self.last_error = None
                backoff.reset()
                if not any_sent:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await self._woken.wait()
        finally:
            await self._close()

    async def _send_next(self) -> bool:
        letters = await self._database.letters_unsent(_LETTERS_AT_ONCE, LETTER_BYTES, _BYTES_AT_ONCE)
        if not letters:
            return False
        async with asyncio.timeout(_SEND_SECONDS):
            await self._send(letters)
        await self._database.letters_sent([letter.decision_seq for letter in letters])
        return True

    async def _send(self, letters: Sequence[DeadLetter]) -> None:
        """Send all letters, the partitions side by side, each in order; returns when all are acknowledged."""
        producer = await self._connected()
        partition_count = len(await producer.partitions_for(self._topic))
        batches: dict[int, list[BatchBuilder]] = {}
        for letter in letters:
            partition = partition_of(letter.key or b"", partition_count)
            _append(batches.setdefault(partition, []), producer, message_of(letter, self._prefix, self._limit_bytes))
        answers = await asyncio.gather(
            *(self._send_in_order(producer, partition, builders) for partition, builders in batches.items()),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _send_in_order(self, producer: AIOKafkaProducer, partition: int, builders: list[BatchBuilder]) -> None:
        for builder in builders:
            await (await producer.send_batch(builder, self._topic, partition=partition))

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            guard_clients()
            self._producer = AIOKafkaProducer(
                **self._kafka,
                enable_idempotence=True,
                max_batch_size=_BATCH_BYTES,  # a larger letter gets a batch of its own
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
            )
            await self._producer.start()
        return self._producer

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    def _trouble(self, error: BaseException) -> None:
        self.last_error = f"{in_words(error)} (if the topic {self._topic} does not exist, run `connects topics create`)"
        if isinstance(error, MessageSizeTooLargeError) and self._limit_bytes > _SMALLEST_LIMIT:
            self._limit_bytes //= 2  # somebody made the topic for smaller messages than the contract's
            self.last_error = f"the topic {self._topic} refuses messages of 4 MiB: set its max.message.bytes"
        _log.warning("dead_letters.not_sent", error=in_words(error), topic=self._topic)


_Message = tuple[bytes | None, bytes | None, Headers]


def message_of(letter: DeadLetter, prefix: str, limit_bytes: int) -> _Message:
    """A letter's key, value and headers: the original ones, then the contract's `x-` headers.

    What would be larger than `limit_bytes` goes without its value, and if that is not enough also without its original
    key and headers: `x-truncated` lists what stayed in the ledger. `x-attempts` counts the readings of the record:
    a letter is not sent again when it is redriven.
    """
    original = tuple((_in_utf8(key), value) for key, value in unpack_headers(letter.headers))
    ours = _our_headers(letter, prefix)
    candidates: tuple[_Message, ...] = (
        (letter.key, letter.value, (*original, *ours)),
        (letter.key, None, (*original, *ours, ("x-truncated", b"value"))),
    )
    for candidate in candidates[letter.left_out :]:
        if _size(candidate) <= limit_bytes:
            return candidate
    return None, None, (*ours, ("x-truncated", b"value,key,headers"))


def _our_headers(letter: DeadLetter, prefix: str) -> Headers:
    told = {
        "x-original-topic": prefix + letter.topic,
        "x-original-partition": str(letter.partition),
        "x-original-offset": str(letter.offset),
        "x-original-timestamp": str(letter.timestamp_ms),
        "x-error-code": letter.error_code,
        "x-error-detail": letter.error_detail,
        "x-attempts": str(letter.attempts + 1),
    }
    return tuple((key, value.encode("utf-8", "backslashreplace")) for key, value in told.items())


def _in_utf8(key: str) -> str:
    """A header key as aiokafka can write it: bytes that are not UTF-8 are spelled out in hexadecimal."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _size(message: _Message) -> int:
    key, value, headers = message
    return (
        len(key or b"")
        + len(value or b"")
        + sum(len(name.encode()) + len(content or b"") + _HEADER_OVERHEAD for name, content in headers)
    )


def _append(builders: list[BatchBuilder], producer: AIOKafkaProducer, message: _Message) -> None:
    key, value, headers = message
    if builders and builders[-1].append(timestamp=None, key=key, value=value, headers=list(headers)) is not None:
        return
    builders.append(producer.create_batch())
    builders[-1].append(timestamp=None, key=key, value=value, headers=list(headers))
