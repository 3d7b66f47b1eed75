"""Futures that somebody may never wait for."""

import asyncio
from typing import Any


def hear_out(future: "asyncio.Future[Any] | None") -> None:
    """Ask a future for its exception as soon as it has one; asyncio complains if nobody ever does.

    Whoever waits for it is given the exception all the same.
    """
    if future is not None:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
