"""Who may write: one worker at a time, proven in every transaction by its epoch."""

import asyncio
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from worker.errors import LeadershipLost, OperatorNeeded
from worker.futures import cancelled
from worker.ledger.connections import AWAY, Connection, Session, connect
from worker.ledger.slots import lacks_slot, no_slot
from worker.ledger.sql import load

_SQL: Final = load("leadership.sql")

LEASE_SECONDS: Final = 3.0
"""How long a lease lasts without being renewed."""
_POLL_SECONDS: Final = 0.3
_RENEWAL_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.2
_LOCK_TIMEOUT_MS: Final = 500
_ANSWER_SECONDS: Final = 1.0  # longer than the lock timeout, so that a wait for a lock is told from a silent server
_CONNECT_SECONDS: Final = 2.0
_LOOK_AT_BLOCKERS_SECONDS: Final = 0.05
_SILENT: Final = f"it did not answer within {_ANSWER_SECONDS:g} s"

_log = structlog.get_logger(__name__)


async def guard(connection: Connection, epoch: int) -> int:
    """Prove the epoch and hold it until COMMIT: the first statement of every ledger transaction (READ COMMITTED).

    Returns the number of the ledger's last batch, 0 for none.

    A takeover waits for the transaction that holds it, or ends its backend; after a takeover nobody gets it.

    Raises:
        LeadershipLost: the epoch is over.
    """
    last_batch: int | None = await connection.fetchval(_SQL["guard"], epoch)
    if last_batch is None:
        raise LeadershipLost(f"epoch {epoch} is over: another worker has taken the ledger")
    return last_batch


class Leadership:
    """This worker's hold on the ledger: a lease in the database, renewed every second on a connection of its own.

    `holder` names the worker to people. `lost` is set when renewal found another epoch, or when the lease ran out
    without a confirmed renewal (counted from before the renewal was sent, by this machine's monotonic clock); renewal
    then ends. It says "stop early"; what makes a late write impossible is `guard`.
    """

    def __init__(self, database_url: str, holder: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lost = asyncio.Event()
        self.trouble: str | None = None
        """Why the lease can neither be watched nor taken now; None when it can."""
        self.report: Callable[[], str | None] = lambda: None
        """What is to be written beside the ledger now, for other processes; None: nothing new."""
        self._database_url = database_url
        self._lease_seconds = lease_seconds
        # Unique for each instance, so that a takeover whose answer got lost is known again as our own.
        self._holder = f"{holder}/{secrets.token_hex(4)}"
        self._connection: Connection | None = None
        self._epoch: int | None = None
        self._ledger_id: UUID | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._lease_end: asyncio.TimerHandle | None = None
        self._statement = asyncio.Lock()  # renewal and retake take turns

    @property
    def epoch(self) -> int:
        """The number of our present leadership."""
        if self._epoch is None:
            raise LeadershipLost("this worker has not taken the ledger")
        return self._epoch

    @property
    def ledger_id(self) -> UUID:
        """Which ledger it is, for good; known once it was taken."""
        if self._ledger_id is None:
            raise LeadershipLost("this worker has not taken the ledger")
        return self._ledger_id

    async def acquire(self) -> int:
        """Stand by until the lease of whoever holds the ledger has run out, and take over; the new epoch.

        A database that is away is waited for.

        Raises:
            OperatorNeeded: the database has no ledger.
        """
        await self._stop_renewing()
        self._epoch = None
        while True:
            try:
                epoch = await self._try_to_take_over()
                self.trouble = None
                if epoch is not None:
                    return epoch
            except AWAY as error:
                self._note_trouble(error)
            except asyncpg.UndefinedTableError as error:
                raise OperatorNeeded("the database has no ledger yet. Run `connects migrate`.") from error
            await _pause(_POLL_SECONDS)

    async def retake(self) -> int:
        """Take over from ourselves, after a commit that failed or was not answered; the new epoch.

        When it returns, our old transactions have either committed or never will. A database that is away is waited
        for; then a standby may have been faster.

        Raises:
            LeadershipLost: another worker holds the ledger.
        """
        epoch = self.epoch
        async with self._statement:
            while True:
                try:
                    sent = _now()
                    row = await self._take_over(_SQL["retake"], epoch)
                    if row is not None:
                        return self._hold(row, sent)
                    seen = await self._look()
                except AWAY as error:
                    self._note_trouble(error)
                    await _pause(_RETRY_SECONDS)
                    continue
                if seen["holder"] != self._holder:
                    self.lost.set()
                    raise LeadershipLost(f"epoch {epoch} is over: {seen['holder']} holds the ledger now")
                epoch = seen["epoch"]  # our own statement got through, only its answer was lost

    async def release(self) -> None:
        """Hand the lease back and close: the graceful stop, after the last write. Safe to call at any time.

        If the database does not answer, the lease runs out by itself.
        """
        await self._stop_renewing()
        epoch, self._epoch = self._epoch, None
        try:
            if epoch is not None:
                connection = await self._connected()
                await connection.execute(_SQL["hand_back"], epoch)
                await self._forget_report(connection)
        except AWAY as error:
            _log.warning("leadership.not_handed_back", error=str(error) or _SILENT)
        finally:
            self._drop_connection()

    async def _forget_report(self, connection: Connection) -> None:
        with suppress(asyncpg.PostgresError):
            await connection.execute(_SQL["report_no_more"], self._holder)

    def _note_trouble(self, error: Exception) -> None:
        """Say, once until something else is the matter, why the ledger can be neither watched nor taken."""
        self._drop_connection()
        trouble = str(no_slot(error, has=0)) if lacks_slot(error) else f"PostgreSQL is away: {str(error) or _SILENT}"
        if trouble != self.trouble:
            self.trouble = trouble
            _log.warning("leadership.database_away", error=trouble)

    async def _try_to_take_over(self) -> int | None:
        seen = await self._look()
        if seen["holder"] == self._holder:
            statement = _SQL["retake"]  # ours already: only the answer was lost
        elif seen["expired"]:
            statement = _SQL["take_over"]
        else:
            return None
        sent = _now()
        row = await self._take_over(statement, seen["epoch"])
        if row is None:
            return None
        _log.info("leadership.taken", epoch=row["epoch"], holder=self._holder, before=seen["holder"])
        return self._hold(row, sent)

    async def _look(self) -> asyncpg.Record:
        connection = await self._connected()
        row = await connection.fetchrow(_SQL["look"])
        if row is None:
            raise OperatorNeeded(
                "the table leader is empty: this database is no ledger. Restore it, or migrate a new one."
            )
        await self._write_report(connection)
        return row

    async def _write_report(self, connection: Connection) -> None:
        """Write what is new of this worker. A database that takes no more, as a full one, does not end the lease."""
        report = self.report()
        if report is None:
            return
        try:
            await connection.execute(_SQL["report"], self._holder, report)
        except asyncpg.PostgresError as error:
            _log.debug("leadership.not_reported", error=str(error))

    async def _take_over(self, statement: str, epoch: int) -> asyncpg.Record | None:
        """Run the statement until it is no longer kept waiting; None when its conditions do not hold any more."""
        connection = await self._connected()
        arguments = (epoch, self._holder, self._lease_seconds)
        try:
            return await connection.fetchrow(statement, *arguments)
        except asyncpg.LockNotAvailableError:
            pass
        pid = await connection.fetchval(_SQL["backend"])  # behind a pooler not the one that the driver was told
        watcher = await self._new_connection()
        try:
            while True:
                taking = asyncio.create_task(connection.fetchrow(statement, *arguments))
                try:
                    await _end_blockers(watcher, pid, taking)
                    return await taking
                except asyncpg.LockNotAvailableError:
                    continue
                finally:
                    taking.cancel()
                    await asyncio.gather(taking, return_exceptions=True)
        finally:
            watcher.terminate()

    def _hold(self, row: asyncpg.Record, sent: float) -> int:
        self._ledger_id = UUID(bytes=row["ledger_id"].bytes)  # not the driver's own kind of UUID
        self._epoch = epoch = int(row["epoch"])
        self.trouble = None
        self.lost.clear()
        self._lease_confirmed(sent)
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew_for_good(), name="lease renewal")
        return epoch

    def _lease_confirmed(self, sent: float) -> None:
        """The lease lasts until then at least: the database counted it from a later instant than `sent`."""
        if self._lease_end is not None:
            self._lease_end.cancel()
        self._lease_end = asyncio.get_running_loop().call_at(sent + self._lease_seconds, self._lease_ran_out)

    def _lease_ran_out(self) -> None:
        _log.warning("leadership.lease_ran_out", epoch=self._epoch)
        self.lost.set()

    async def _renew_for_good(self) -> None:
        pause = _RENEWAL_SECONDS
        while not self.lost.is_set():
            await asyncio.sleep(min(pause, self._lease_seconds / 3))
            async with self._statement:
                try:
                    await self._renew()
                except LeadershipLost:
                    self.lost.set()
                    return
                except AWAY as error:
                    self._drop_connection()
                    _log.warning("leadership.not_renewed", error=str(error) or _SILENT)
                    pause = _RETRY_SECONDS
                else:
                    pause = _RENEWAL_SECONDS

    async def _renew(self) -> None:
        epoch = self.epoch
        connection = await self._connected()
        sent = _now()
        if await connection.fetchval(_SQL["renew"], epoch, self._lease_seconds) is None:
            raise LeadershipLost(f"epoch {epoch} is over: another worker has taken the ledger")
        if not self.lost.is_set():  # once told, lost stays: only a takeover ends it
            self._lease_confirmed(sent)
        await self._write_report(connection)

    async def _stop_renewing(self) -> None:
        if self._lease_end is not None:
            self._lease_end.cancel()
        if self._renewing is not None:
            await cancelled([self._renewing])
            self._renewing = None
            self._drop_connection()  # the cancelled statement may still be under way on it

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._new_connection()
        return self._connection

    async def _new_connection(self) -> Connection:
        session = Session(
            f"connects-lease:{self._holder}",
            {
                "default_transaction_isolation": "read committed",
                "synchronous_commit": "on",
                "lock_timeout": f"{_LOCK_TIMEOUT_MS}ms",
            },
            connect_seconds=_CONNECT_SECONDS,
            statement_seconds=_ANSWER_SECONDS,
            utf8_only=True,
        )
        return await connect(self._database_url, session)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _end_blockers(
    watcher: Connection,
    waiting_pid: int,
    waiting: "asyncio.Task[asyncpg.Record | None]",
) -> None:
    """End whoever keeps the backend `waiting_pid` waiting, until its statement is done.

    A process stopped inside COPY FROM STDIN is freed by nothing else.
    """
    while not waiting.done():
        try:
            for blocker in await watcher.fetch(_SQL["end_blockers"], waiting_pid):
                _log.warning("leadership.ended_blocker", pid=blocker["pid"], ended=blocker["ended"])
        except asyncpg.InsufficientPrivilegeError as error:
            _log.error("leadership.may_not_end_blocker", error=str(error))
        await asyncio.wait({waiting}, timeout=_LOOK_AT_BLOCKERS_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - a spread against standbys in step
