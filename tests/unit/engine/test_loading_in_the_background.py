"""Waiting for what is loaded in the background, on every version of Python.

Since Python 3.12 `asyncio.gather` over tasks that are done does not give the event loop a turn. A loop around it spins
for good if it waits for a callback, and then no lease is renewed and no signal is heard.
"""

import asyncio
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, cast

from tests.kit.policies import policies
from worker.domain.state import State
from worker.engine.loading.cache import Cache
from worker.ledger.store import Store


def a_memory() -> Cache:
    """One whose loads need no ledger: they are given."""
    return Cache(cast("Store", None), State(timedelta(0)), policies())


def ends(work: Coroutine[Any, Any, None], limit_seconds: float = 10) -> bool:
    """Whether the work ends, in an event loop of its own: a loop that spins cannot be ended from inside."""
    thread = threading.Thread(target=asyncio.run, args=(work,), daemon=True)
    thread.start()
    thread.join(limit_seconds)
    return not thread.is_alive()


async def nothing() -> None:
    """A load that finds everything at hand."""


def test_a_load_that_is_done_but_whose_callbacks_have_not_run_is_not_waited_for_without_end() -> None:
    async def wait() -> None:
        cache = a_memory()
        load = cache.begin(nothing())
        await asyncio.sleep(0)  # the load has run in this turn of the event loop; its callbacks run in the next one
        assert load.done()
        await cache.loaded()

    assert ends(wait())


def test_waiting_for_a_load_ends_when_that_load_and_those_begun_meanwhile_are_done() -> None:
    async def wait() -> None:
        cache, opened = a_memory(), asyncio.Event()
        first = cache.begin(nothing())
        second = cache.begin(_until(opened))
        waiting = asyncio.create_task(cache.loaded())
        await asyncio.sleep(0)
        third = cache.begin(_until(opened))
        await asyncio.sleep(0)
        assert not waiting.done()
        opened.set()
        await waiting
        assert first.done() and second.done() and third.done()  # noqa: PT018 - they are one condition

    assert ends(wait())


async def _until(opened: asyncio.Event) -> None:
    await opened.wait()
