"""Every wait for PostgreSQL ends on this side. A server that is gone does nothing, whatever limits it was given.

TCP alone does not help: a proxy or a firewall may acknowledge what it then swallows.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from worker.errors import Transient

if TYPE_CHECKING:
    import asyncpg

SERVER_STATEMENT_SECONDS: Final = 20
"""The longest statement of a worker that the server itself allows."""
SERVER_TRANSACTION_SECONDS: Final = 30
"""The longest transaction of a worker that the server itself allows (since PostgreSQL 17)."""
STATEMENT_SECONDS: Final = SERVER_STATEMENT_SECONDS + 2.0
TRANSACTION_SECONDS: Final = SERVER_TRANSACTION_SECONDS + 3.0
"""This side's limits are a bit longer, so that the server cancels first what it is still working on."""


class NoAnswer(Transient):
    """PostgreSQL said nothing for too long. The connection is closed; what was asked may or may not have been done."""


@contextmanager
def answered_within(connection: "asyncpg.Connection[asyncpg.Record]", seconds: float) -> Iterator[None]:
    """Close the connection, and stop waiting, if what is awaited in this block takes longer.

    A cancellation alone would not do: the driver then waits, without a limit, until the server has confirmed it; and a
    closed connection alone would not either, for a COPY that waits until it may send more does not notice.

    Raises:
        NoAnswer: it took longer.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a deadline belongs to a task")
    passed = False

    def give_up() -> None:
        nonlocal passed
        passed = True
        connection.terminate()
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, give_up)
    try:
        yield
    except BaseException as error:
        if not passed:
            raise
        if task.uncancel() and isinstance(error, asyncio.CancelledError):
            raise  # somebody else cancelled the task as well
        raise _no_answer(seconds) from None
    else:
        if passed:  # what was awaited swallowed the cancellation
            task.uncancel()
            raise _no_answer(seconds)
    finally:
        timer.cancel()


def _no_answer(seconds: float) -> NoAnswer:
    return NoAnswer(f"PostgreSQL did not answer within {seconds:g} s")
