"""How to leave an aiokafka producer that may never finish what it has begun.

aiokafka has no public way: `stop` waits until everything is delivered, which an idempotent producer tries for good,
and what it gives up leaves futures behind that complain when nobody asks them. This file knows the private parts (of
the one pinned version) so that no other has to.
"""
# ruff: noqa: SLF001 - see above

import asyncio
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from worker.futures import consume_exception, end_in_time

_STOP_SECONDS: Final = 1.0
_ATTEMPTS: Final = 10


async def abandon(producer: AIOKafkaProducer) -> None:
    """End the producer without notifying the broker; takes a second or two at most.

    What it had not sent is dropped, and an open transaction stays open: for the next instance of its transactional id
    to abort, or for its timeout. Not while batches are under way *and* a commit was asked for: that commit would go on
    without them.
    """
    producer._closed = True
    accumulator = producer._message_accumulator
    accumulator.fail_all(KafkaError("the producer was abandoned"))
    for waiting in accumulator._batches.values():
        for batch in waiting:
            consume_exception(batch.future)
            consume_exception(batch._drain_waiter)
    await _end(producer._sender.sender_task)
    if producer._txn_manager is not None:
        consume_exception(producer._txn_manager._transaction_waiter)
    with suppress(OSError, KafkaError):
        await end_in_time(producer.client.close(), _STOP_SECONDS)


async def _end(sender: "asyncio.Task[None] | None") -> None:
    """Cancel the sender, again and again: once cancelled it awaits its requests, which may take their timeouts."""
    if sender is None:
        return
    for _ in range(_ATTEMPTS):
        sender.cancel()
        done, _pending = await asyncio.wait({sender}, timeout=_STOP_SECONDS / _ATTEMPTS)
        if done:
            break
    consume_exception(sender)
