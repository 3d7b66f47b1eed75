"""Waiting for others that end as if somebody had cancelled them, or swallow that somebody does."""

import asyncio
from contextlib import suppress

import pytest
from aiokafka.client import AIOKafkaClient

from worker import futures
from worker.errors import Transient
from worker.futures import cancelled, end_in_time, first_of
from worker.kafka.broker import Probe


async def forever() -> None:
    await asyncio.Event().wait()


async def letting_a_cancellation_through() -> None:
    inner = asyncio.create_task(forever())
    inner.cancel()
    await inner


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_to_recover_from() -> None:
    with pytest.raises(Transient, match="letting_a_cancellation_through was cancelled by something"):
        await first_of(forever(), letting_a_cancellation_through())


async def test_one_that_is_asked_for_stays_a_cancellation() -> None:
    waiting = asyncio.create_task(first_of(forever(), forever()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def swallowing(begun: asyncio.Event) -> None:
    """What aiokafka's clients do while they close: the cancellation of whoever waits in them is lost."""
    with suppress(asyncio.CancelledError):
        begun.set()
        await forever()
    await forever()


async def test_one_that_swallows_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futures, "_CANCEL_AGAIN_SECONDS", 0.01)
    begun = asyncio.Event()
    task = asyncio.create_task(swallowing(begun))
    await begun.wait()
    async with asyncio.timeout(60):
        await cancelled([task])
    assert task.cancelled()


async def test_whoever_waits_for_something_to_end_can_be_cancelled_though_it_swallows_that() -> None:
    begun = asyncio.Event()
    waiting = asyncio.create_task(end_in_time(swallowing(begun), 3_600))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_ends_too_late_is_let_go_and_what_it_raises_in_time_is_raised() -> None:
    await end_in_time(forever(), 0.01)

    async def failing() -> None:
        raise OSError("the other end is away")

    with pytest.raises(OSError, match="away"):
        await end_in_time(failing(), 60)


async def test_a_look_at_kafka_that_is_closing_ends_when_it_is_cancelled() -> None:
    """It went on to wait for its next look, for minutes, and the worker with it."""
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    begun = asyncio.Event()

    async def slow_to_end() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await forever()
        await forever()

    client._sync_task = asyncio.create_task(slow_to_end())  # noqa: SLF001 - what refreshes the metadata

    async def looking() -> None:
        await Probe(client).stop()
        await forever()

    task = asyncio.create_task(looking())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=60)
    assert done
    assert task.cancelled()
