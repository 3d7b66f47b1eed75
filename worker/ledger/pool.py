"""The connections of a store: how many there are, what for, and how long one is waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import chain
from typing import Final, Literal

import structlog

from worker.errors import Transient
from worker.ledger.budget import OTHERS
from worker.ledger.connections import AWAY, Connection, connect, store_session
from worker.ledger.deadlines import STATEMENT_SECONDS, NoAnswer, answered_within
from worker.ledger.slots import lacks_slot, no_slot

Purpose = Literal["reader", "writer", "relay", "letters"]

_PURPOSES: Final[tuple[Purpose, ...]] = ("relay", "writer", "letters", "reader")
_FEWER_SECONDS: Final = 30.0
_LONGEST_FEWER_SECONDS: Final = 600.0
"""For how long there are fewer readers, after PostgreSQL had no connection for one more: twice as long each time."""
_SHORTEST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)


class Pool:
    """One connection for each purpose, and `most` less the others for readers, who take turns.

    `prepare` is called with each new connection and its purpose. Connections are thrown away after any failure, so that
    nothing of it lingers.
    """

    def __init__(
        self, database_url: str, holder: str, most: int, prepare: Callable[[Purpose, Connection], Awaitable[None]]
    ) -> None:
        self.trouble: str | None = None
        """Why `open` does not come to an end; None when nothing is in its way."""
        self._database_url, self._holder, self._prepare = database_url, holder, prepare
        self._readers = self._most_readers = most - OTHERS
        self._fewer_until, self._fewer_seconds = 0.0, _FEWER_SECONDS
        self._idle: dict[Purpose, list[Connection]] = {purpose: [] for purpose in _PURPOSES}
        self._count: dict[Purpose, int] = dict.fromkeys(_PURPOSES, 0)
        """How many are open."""
        self._answered: dict[Connection, float] = {}
        """All open connections, each with the time of its last answer."""
        self._opening: dict[Purpose, asyncio.Task[Exception | None]] = {}
        """Connections on their way, one at a time for each purpose: a refusal then says how many there can be."""
        self._changed = asyncio.Event()
        self._is_closed = False

    async def open(self) -> None:
        """Have one connection for each purpose, before readers take more; wait until PostgreSQL has as many.

        Raises:
            Transient: the database is away.
        """
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            try:
                for purpose in _PURPOSES:
                    async with self.use(purpose):
                        pass
            except Transient as error:
                if not lacks_slot(error):
                    raise
                if self.trouble is None:
                    _log.warning("postgres.no_connection", error=str(error))
                self.trouble = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                self.trouble = None
                return

    @asynccontextmanager
    async def use(self, purpose: Purpose, seconds: float = STATEMENT_SECONDS) -> AsyncIterator[Connection]:
        """A connection for that purpose, for so long at most.

        Raises:
            Transient: the database is away, or did not answer in time.
        """
        try:
            connection = await self._take(purpose)
            asked = _now()
            try:
                with answered_within(connection, seconds):
                    yield connection
            except BaseException as error:
                self._drop(purpose, connection)
                if isinstance(error, NoAnswer | TimeoutError):
                    self._drop_silent(asked)
                raise
            self._give_back(purpose, connection)
        except AWAY as error:
            why = str(error) or f"PostgreSQL did not answer within {STATEMENT_SECONDS:g} s"  # the driver's own limit
            raise Transient(f"PostgreSQL is away or said no for now: {why}") from error

    def close(self) -> None:
        """Close all connections, also those in use: what they are used for fails."""
        self._is_closed = True
        for task in self._opening.values():
            task.cancel()
        for connection in self._answered:
            connection.terminate()
        self._changed.set()

    async def _take(self, purpose: Purpose) -> Connection:
        """The next idle connection. More are opened meanwhile, and nobody waits for them who could have another."""
        opening: asyncio.Task[Exception | None] | None = None
        while not self._is_closed:
            if (connection := self._idle_one(purpose)) is not None:
                return connection
            if opening is not None and opening.done() and (error := opening.result()) is not None:
                raise error
            if purpose not in self._opening and self._count[purpose] < self._most_of(purpose):
                self._opening[purpose] = asyncio.create_task(self._open(purpose))
            opening = self._opening.get(purpose)
            self._changed.clear()
            await self._changed.wait()
        raise Transient("the store was closed")

    def _idle_one(self, purpose: Purpose) -> Connection | None:
        while idle := self._idle[purpose]:
            connection = idle.pop()
            if not connection.is_closed():
                return connection
            self._drop(purpose, connection)
        return None

    async def _open(self, purpose: Purpose) -> Exception | None:
        """Add a connection to the idle ones; gives what those who wait for it should raise, if there is none."""
        try:
            connection = await self._connected(purpose)
        except Exception as error:  # noqa: BLE001 - raised by those who wait
            if not (lacks_slot(error) or isinstance(error, TimeoutError)):
                return error
            if not self._make_do_with_fewer(purpose):
                return no_slot(error, 1 + len(self._answered))
            await asyncio.sleep(_SHORTEST_PAUSE_SECONDS)  # a server takes a moment to notice that a client has gone
            return None
        else:
            self._count[purpose] += 1
            self._answered[connection] = _now()
            self._idle[purpose].append(connection)
            return None
        finally:
            del self._opening[purpose]
            self._changed.set()

    async def _connected(self, purpose: Purpose) -> Connection:
        connection = await connect(self._database_url, store_session(f"{self._holder}/{purpose}"))
        try:
            with answered_within(connection, STATEMENT_SECONDS):
                await self._prepare(purpose, connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _most_of(self, purpose: Purpose) -> int:
        if purpose != "reader":
            return 1
        if self._readers < self._most_readers and _now() > self._fewer_until:
            self._readers = self._most_readers
        return self._readers

    def _make_do_with_fewer(self, purpose: Purpose) -> bool:
        """Work with fewer readers for a while, and leave one connection to spare; False if no reader can be spared."""
        readers = self._count["reader"]
        if readers == 0 or (readers == 1 and purpose != "reader"):
            return False
        fewer = max(1, readers - 1)
        if self._fewer_until == 0.0:
            _log.warning("postgres.fewer_readers", readers=fewer, instead_of=self._most_readers)
        self._readers, self._fewer_until = fewer, _now() + self._fewer_seconds
        self._fewer_seconds = min(2 * self._fewer_seconds, _LONGEST_FEWER_SECONDS)
        while self._idle["reader"] and self._count["reader"] > fewer:
            self._drop("reader", self._idle["reader"].pop())
        return True

    def _give_back(self, purpose: Purpose, connection: Connection) -> None:
        if self._is_closed or (purpose == "reader" and self._count["reader"] > self._readers):
            self._drop(purpose, connection)
            return
        self._answered[connection] = _now()
        self._idle[purpose].append(connection)
        self._changed.set()

    def _drop(self, purpose: Purpose, connection: Connection) -> None:
        self._answered.pop(connection, None)
        self._count[purpose] -= 1
        connection.terminate()
        self._changed.set()

    def _drop_silent(self, asked: float) -> None:
        """Close all idle connections that said nothing since a question was asked that was not answered.

        Whatever happened to that one may have happened to them, and each would be waited for in vain as well.
        """
        for connection in chain.from_iterable(self._idle.values()):
            if self._answered[connection] < asked:
                connection.terminate()


def _now() -> float:
    return asyncio.get_running_loop().time()
