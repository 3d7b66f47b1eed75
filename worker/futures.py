"""Futures that nobody may ever wait for, waiting for the first of several, and long work that takes turns."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from worker.errors import Transient

Item = TypeVar("Item")
_CANCEL_AGAIN_SECONDS: Final = 10.0
"""Longer than anything that ends in order takes for that."""
_ITEMS_A_TURN: Final = 2_000
"""How many rows become objects between two turns of the event loop: a few milliseconds."""


def consume_exception(future: "asyncio.Future[Any] | None") -> None:
    """Ask a future for its exception as soon as it has one; asyncio complains if nobody ever does.

    Whoever waits for it is given the exception all the same.
    """
    if future is not None:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())


def result_of(task: "asyncio.Task[Item]") -> Item:
    """The result of a task that is over and that nobody has cancelled.

    Raises:
        Transient: it ended as if it had been cancelled. Libraries can let the cancellation of a task of their own
            through; nobody asked the worker to end then.
    """
    if task.cancelled():
        raise Transient(f"{task.get_name()} was cancelled by something that it waited for")
    return task.result()


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these is over, end the others, and raise what it raised.

    Raises:
        Transient: it was cancelled, but not by whoever waits here.
    """
    tasks = [asyncio.create_task(wait, name=getattr(wait, "__qualname__", None)) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            result_of(task)
    finally:
        await cancelled(tasks)


async def cancelled(tasks: "Sequence[asyncio.Task[Any]]") -> None:
    """Cancel these tasks, and wait until they have ended.

    Again and again: a library may swallow the cancellation, and the task goes on as if nobody had asked it to end.
    """
    for task in tasks:
        consume_exception(task)
        task.cancel()
    pending = {task for task in tasks if not task.done()}
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
        for task in pending:
            task.cancel()


async def end_in_time(ending: Coroutine[Any, Any, object], seconds: float) -> None:
    """Wait until `ending`, which closes something of a library's, is over, but no longer than that; then let go of it.

    As a task of its own: aiokafka's clients swallow the cancellation of whoever waits in their `close`. A task that
    was cancelled just then would never end.

    Raises:
        Exception: what `ending` raised in that time.
    """
    task = asyncio.ensure_future(ending)
    consume_exception(task)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done() and not task.cancelled():
            task.result()
    finally:
        task.cancel()


async def in_turns(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """Parts of the items, with a turn of the event loop between two of them: one wallet may have a million lots."""
    for number, part in enumerate(in_parts(items, _ITEMS_A_TURN)):
        if number:
            await asyncio.sleep(0)
        yield part


def in_parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """Parts of the items, in their order, of at most so many each."""
    for start in range(0, len(items), most):
        yield items[start : start + most]
