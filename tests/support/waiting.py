"""Waiting for a condition, with a limit."""

import asyncio
from collections.abc import Awaitable, Callable

_LOOK_SECONDS = 0.02


async def until(condition: Callable[[], bool], limit_seconds: float = 20.0) -> None:
    async with asyncio.timeout(limit_seconds):
        while not condition():  # noqa: ASYNC110 - what a test waits for has no event
            await asyncio.sleep(_LOOK_SECONDS)


async def until_async(condition: Callable[[], Awaitable[bool]], limit_seconds: float = 20.0) -> None:
    async with asyncio.timeout(limit_seconds):
        while not await condition():  # noqa: ASYNC110 - what a test waits for has no event
            await asyncio.sleep(_LOOK_SECONDS)
