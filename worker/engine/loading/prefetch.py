"""What comes next is read and loaded while what came before is decided and committed."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from worker.engine.loading.cache import Cache
from worker.engine.schedule import Schedule
from worker.futures import consume_exception
from worker.kafka.records import InputRecord
from worker.ledger.store import Appointment, Store

MOST_APPOINTMENTS: Final = 20_000
_FEW_APPOINTMENTS: Final = 2_000
"""With fewer in the schedule the ledger is asked for more."""
_DUE_AHEAD: Final = 250
"""How much clock work is loaded together, while as much before it is decided."""
_DUE_AHEAD_OF_RECORDS: Final = 2_000


class _Taken(NamedTuple):
    """Records for which what they ask about is being loaded, and how often anything was forgotten before that."""

    records: Sequence[InputRecord]
    forgotten: int
    loading: asyncio.Task[None]


class _Due(NamedTuple):
    """Clock work whose needs were loaded, and how often anything had been forgotten by then."""

    appointments: frozenset[Appointment]
    forgotten: int


class Prefetch:
    """Of one reading of the ledger: keeps in schedule and cache what is about to be needed."""

    def __init__(self, store: Store, cache: Cache, schedule: Schedule, grace: timedelta) -> None:
        self._store, self._cache, self._schedule, self._grace = store, cache, schedule, grace
        self.seconds = 0.0
        """How long anything was waited for, since the caller last reset it."""
        self._taken: _Taken | None = None
        self._next = self._after_it = _Due(frozenset(), 0)
        """The next clock work, and that for which `_loading_due` loads."""
        self._loading_due: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[tuple[list[Appointment], Appointment]] | None = None
        """What the ledger is being asked for the schedule."""

    async def open(self) -> None:
        """Have in the schedule what the ledger says comes next.

        Raises:
            Transient: the database is away, here and below.
        """
        self._schedule.refill(*await self._store.appointments(MOST_APPOINTMENTS, self._grace))

    def abandon(self) -> None:
        """Let go of what is on its way: what is in memory is not used any more."""
        self._cache.abandon()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    # Records.

    async def begin(self, records: Sequence[InputRecord], business_time: datetime | None) -> None:
        """Begin to load what these records ask about; other work may be done before `have`."""
        await self._cache.make_room()
        loading = self._cache.begin(self._cache.prepare(records, (), business_time))
        self._taken = _Taken(records, self._cache.forgotten, loading)

    @property
    def is_loading(self) -> bool:
        """Whether what was begun for records is still under way."""
        return self._taken is not None and not self._taken.loading.done()

    async def have(
        self, records: Sequence[InputRecord], business_time: datetime | None, due_through: datetime | None
    ) -> None:
        """Have in memory what these records ask about, and, unless it was begun before, clock work due up to then."""
        begun = time.monotonic()
        taken, self._taken = self._taken, None
        if taken is not None and taken.records is records:
            await taken.loading
        if taken is None or taken.records is not records or taken.forgotten != self._cache.forgotten:
            await self._load(records, business_time, due_through)
        self.seconds += time.monotonic() - begun

    async def _load(
        self, records: Sequence[InputRecord], business_time: datetime | None, due_through: datetime | None
    ) -> None:
        await self._cache.make_room()
        due: list[Appointment] = []
        if due_through is not None:
            due = self._schedule.peek(due_through, _DUE_AHEAD_OF_RECORDS)
            if len(due) < _DUE_AHEAD_OF_RECORDS and not self._schedule.knows(due_through):
                await self.see_further()
                due = self._schedule.peek(due_through, _DUE_AHEAD_OF_RECORDS)
            self._next = self._noted(due)
        await self._cache.prepare(records, due, business_time)

    # Clock work.

    def has(self, appointment: Appointment) -> bool:
        """Whether what this piece of clock work asks about was loaded."""
        return appointment in self._next.appointments and self._next.forgotten == self._cache.forgotten

    async def have_due(self, through: datetime, business_time: datetime | None) -> None:
        """Have in memory what the next clock work due up to then asks about; what comes after that loads meanwhile."""
        begun = time.monotonic()
        await self._cache.make_room()
        if self._reading is not None and self._reading.done():
            await self.see_further()
        elif self._reading is None and len(self._schedule) < _FEW_APPOINTMENTS and not self._schedule.knows(through):
            self._read_on()
        due = self._schedule.peek(through, 2 * _DUE_AHEAD)
        due, later = due[:_DUE_AHEAD], due[_DUE_AHEAD:]
        if self._loading_due is not None:
            await self._loading_due
        self._next, before = self._noted(due), self._after_it
        if before.forgotten != self._cache.forgotten or not self._next.appointments <= before.appointments:
            await self._cache.prepare_due(due, business_time)
        self._after_it = self._noted(later)
        self._loading_due = self._cache.begin(self._cache.prepare_due(later, business_time))
        self.seconds += time.monotonic() - begun

    async def see_further(self) -> None:
        """Have in the schedule what comes after its horizon."""
        found = await (self._reading or self._read_on())
        self._reading = None
        self._schedule.extend(*found)

    def _read_on(self) -> "asyncio.Task[tuple[list[Appointment], Appointment]]":
        """Begin to ask the ledger what comes next, while batches are decided and committed."""
        self._schedule.begin_reading()
        asking = self._store.appointments(MOST_APPOINTMENTS, self._grace, self._schedule.horizon)
        self._reading = asyncio.create_task(asking)
        consume_exception(self._reading)
        return self._reading

    def _noted(self, due: Iterable[Appointment]) -> _Due:
        return _Due(frozenset(due), self._cache.forgotten)
