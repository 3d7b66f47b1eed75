"""Making many spans beside the work: neither their number nor a failure holds it up."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import structlog

_SLICE_SECONDS: Final = 0.002

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@contextmanager
def harmless() -> Iterator[None]:
    """Log what goes wrong with spans of work that is done, and go on."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the commit or transaction is over: its outcome is not in doubt
        _log.exception("tracing.failed")


async def in_slices(things: Iterable[T]) -> AsyncIterator[T]:
    """Each of them, with a turn for the event loop every two milliseconds."""
    slice_end = time.monotonic() + _SLICE_SECONDS
    for thing in things:
        yield thing
        if time.monotonic() > slice_end:
            await asyncio.sleep(0)
            slice_end = time.monotonic() + _SLICE_SECONDS
