"""Waiting for a condition, with a limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

PATIENCE_SECONDS: Final = 90.0
"""How long a test waits for what should come about soon: so long only if it never will, however busy the machine is."""
_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.1

T = TypeVar("T")


async def until(condition: Callable[[], bool], limit_seconds: float = PATIENCE_SECONDS) -> None:
    async def now() -> bool:
        return condition()

    await until_async(now, limit_seconds)


async def until_async(condition: Callable[[], Awaitable[bool]], limit_seconds: float = PATIENCE_SECONDS) -> None:
    """Look again and again, less often the longer it takes: what waits leaves the machine to what it waits for."""
    begun = time.monotonic()
    async with asyncio.timeout(limit_seconds):
        while True:
            looked = time.monotonic()
            if await condition():
                return
            now = time.monotonic()
            waited = min(_LONGEST_LOOK_SECONDS, (now - begun) / 10)
            await asyncio.sleep(max(_LOOK_SECONDS, waited, now - looked))


async def while_it_goes_on(
    condition: Callable[[], Awaitable[bool]],
    how_far: Callable[[], Awaitable[object]],
    limit_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Wait as long as it takes, but no longer than that since `how_far` was last another one.

    For much work, which takes as long as the machine is busy with other things.
    """
    reached = await how_far()
    while True:
        try:
            await until_async(condition, limit_seconds)
        except TimeoutError:
            if (now := await how_far()) == reached:
                raise
            reached = now
        else:
            return


async def in_time(what: Awaitable[T], limit_seconds: float = PATIENCE_SECONDS) -> T:
    """What it returns, if it ends."""
    return await asyncio.wait_for(what, limit_seconds)
