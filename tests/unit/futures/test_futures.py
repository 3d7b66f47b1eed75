"""Waiting for the first of several, where one ends as if somebody had cancelled it."""

import asyncio

import pytest

from worker.errors import Transient
from worker.futures import first_of


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
