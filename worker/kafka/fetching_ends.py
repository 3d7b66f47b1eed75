"""How fetching ends when a consumer is stopped: always, and without taking the worker with it.

aiokafka cancels what fetches, once, and awaits it. A task that is changing over to another assignment misses that and
goes on for good; and one that is cancelled while it waits after an error raises its CancelledError into whoever stops
the consumer, which looks as if that one had been cancelled (aiokafka 0.14.0, `Fetcher.close`).
"""

import asyncio
from typing import Final

from aiokafka.consumer.fetcher import Fetcher

_CANCELLED_AGAIN_SECONDS: Final = 0.5


def end_all_fetching() -> None:
    """Have every consumer of this process end its fetching this way. Calling it again changes nothing."""
    Fetcher.close = _close


async def _close(fetcher: Fetcher) -> None:
    fetcher._closed = True  # noqa: SLF001
    while not fetcher._fetch_task.done():  # noqa: SLF001
        fetcher._fetch_task.cancel()  # noqa: SLF001
        await asyncio.wait([fetcher._fetch_task], timeout=_CANCELLED_AGAIN_SECONDS)  # noqa: SLF001
    for waiter in fetcher._fetch_waiters:  # noqa: SLF001
        fetcher._notify(waiter)  # noqa: SLF001
    for task in fetcher._pending_tasks:  # noqa: SLF001
        task.cancel()
    await asyncio.gather(fetcher._fetch_task, *fetcher._pending_tasks, return_exceptions=True)  # noqa: SLF001
