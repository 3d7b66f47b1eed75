"""The view of operators: `connects status`, dead letters and stopped wallets by cause. Nothing is changed here."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from worker.console.ledger import ReadOnlyLedger
from worker.errors import Transient
from worker.queries.dead_letters import LettersOfCause, letters_by_cause
from worker.queries.parked import ParkedOfCause, parked_by_cause
from worker.queries.status import Status

_MOST_CAUSES: Final = 100
_STATUS_SECONDS: Final = 12.0
"""How long `status` may take, which also asks Kafka."""
_KEPT_SECONDS: Final = 5.0
"""How old a status may be that is shown: many readers cost as much as one."""


class OperatorsView(msgspec.Struct, frozen=True):
    """How the ledger and its workers are (None: this console does not ask), and what waits for a person, by cause."""

    status: Status | None
    dead_letters: list[LettersOfCause]
    parked: list[ParkedOfCause]


class StatusWatch:
    """The status of the ledger, asked for once at a time and kept for some seconds."""

    def __init__(self, ask: Callable[[], Awaitable[Status]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._last: Status | None = None
        self._asked_at = 0.0

    async def __call__(self) -> Status:
        """The status, at most some seconds old.

        Raises:
            UsageError, OperatorNeeded, Transient: it cannot be had; the text says what to do.
        """
        async with self._turn:
            if self._last is None or time.monotonic() - self._asked_at > _KEPT_SECONDS:
                try:
                    async with asyncio.timeout(_STATUS_SECONDS):
                        self._last = await self._ask()
                except TimeoutError:
                    raise Transient("The status took too long. Run `connects status` where Kafka is near.") from None
                self._asked_at = time.monotonic()
            return self._last


async def operators_view(ledger: ReadOnlyLedger, watch: StatusWatch | None) -> OperatorsView:
    """The status with what is counted by cause."""
    status = None if watch is None else await watch()
    async with ledger.snapshot() as connection:
        letters = await letters_by_cause(connection, _MOST_CAUSES)
        return OperatorsView(status, letters, await parked_by_cause(connection, _MOST_CAUSES))
