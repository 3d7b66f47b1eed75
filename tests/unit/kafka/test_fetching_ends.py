"""Stopping a consumer ends its fetching, and only that."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiokafka.consumer.fetcher import Fetcher

from worker.kafka.guards import guard_clients


def a_fetcher(fetching: Coroutine[Any, Any, None], *pending: Coroutine[Any, Any, None]) -> Fetcher:
    guard_clients()
    fetcher = Fetcher.__new__(Fetcher)
    tasks = {
        "_fetch_task": asyncio.create_task(fetching),
        "_pending_tasks": {asyncio.create_task(one) for one in pending},
    }
    vars(fetcher).update(tasks, _fetch_waiters=set())
    return fetcher


async def forever() -> None:
    await asyncio.Event().wait()


async def test_fetching_that_misses_its_cancellation_is_cancelled_again() -> None:
    """aiokafka's does while it waits for a fetch of the assignment before to end."""

    async def changing_over() -> None:
        with suppress(asyncio.CancelledError):
            await forever()
        await forever()

    fetcher = a_fetcher(changing_over())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await fetcher.close()
    assert vars(fetcher)["_fetch_task"].cancelled()


async def test_a_fetch_that_is_cancelled_cancels_nobody_else() -> None:
    """One that waits after an error, for example."""

    async def failing() -> None:
        raise OSError("a broker is away")

    fetcher = a_fetcher(forever(), forever(), failing())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await fetcher.close()
    assert all(task.done() for task in vars(fetcher)["_pending_tasks"])


async def test_a_consumer_can_be_stopped_before_its_fetching_has_begun() -> None:
    fetcher = a_fetcher(forever())
    async with asyncio.timeout(30):
        await fetcher.close()
    assert vars(fetcher)["_fetch_task"].cancelled()
