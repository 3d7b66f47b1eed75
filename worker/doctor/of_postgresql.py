"""PostgreSQL as a worker needs it: server, pooler, encoding, schema, rights, connections, time."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from worker.database_url import without_password
from worker.doctor.looks import Look, ok, wrong
from worker.engine.term import MOST_CLOCK_DIFFERENCE
from worker.errors import OperatorNeeded, Transient, UsageError
from worker.ledger.budget import STANDBY
from worker.ledger.connections import Connection, encoding_of, require_utf8
from worker.ledger.migrate import APPEND_ONLY, STATE, VIEWS, is_up_to_date
from worker.ledger.place import NEWEST, require_writable
from worker.ledger.slots import limits_of, require_slots
from worker.ledger.sql import load
from worker.queries.asking import connected, postgres_failures
from worker.settings import Settings
from worker.words.phrases import counted

_PLACE: Final = load("place.sql")
_STORE: Final = load("store.sql")
_CHANGING: Final = ("UPDATE", "DELETE", "TRUNCATE")
_MIGRATE: Final = "Run `connects migrate` as the schema's owner (CONNECTS_MIGRATE_URL)"
_FAILURES: Final = (UsageError, OperatorNeeded, Transient)


async def postgresql_looks(settings: Settings) -> AsyncIterator[Look]:
    """What a worker meets there; one look alone, if it cannot be reached."""
    try:
        async with connected(settings.database_url) as connection:
            where = without_password(settings.database_url)
            version = str(connection.get_settings().server_version).partition(" ")[0]
            yield ok("postgresql", "reached", f"{where} is PostgreSQL {version}, direct or pooled by session")
            yield await _encoding(connection)
            yield await _writable(connection, settings)
            async for look in _connections(connection, settings):
                yield look
            yield await _time(connection, settings)
            if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
                yield await _no_schema(settings)
                return
            async for look in _schema(connection, settings):
                yield look
    except _FAILURES as error:
        yield wrong("postgresql", "reached", error)


async def _encoding(connection: Connection) -> Look:
    try:
        require_utf8(connection, "DATABASE_URL")
    except UsageError as error:
        return wrong("postgresql", "encoding", error)
    return ok("postgresql", "encoding", f"{encoding_of(connection)} holds every text")


async def _writable(connection: Connection, settings: Settings) -> Look:
    try:
        await require_writable(connection, settings.database_url, "DATABASE_URL")
    except UsageError as error:
        return wrong("postgresql", "writing", error)
    return ok("postgresql", "writing", "it can be written")


async def _connections(connection: Connection, settings: Settings) -> AsyncIterator[Look]:
    """Whether the limits leave room for a leader and a standby."""
    try:
        await require_slots(connection)
    except UsageError as error:
        yield wrong("postgresql", "connections", error)
        return
    needed = settings.max_database_connections + STANDBY
    limits = await limits_of(connection)
    for most, whose in limits:
        if most < needed:
            yield wrong(
                "postgresql",
                "connections",
                f"the limit of {whose} allows {most} connections, and a leader and a standby may have {needed}",
                "Raise it, or lower CONNECTS_MAX_DATABASE_CONNECTIONS",
            )
    if all(limit.most >= needed for limit in limits):
        allowed = f"{min(limit.most for limit in limits)} are allowed, and " if limits else ""
        yield ok("postgresql", "connections", f"{allowed}a leader and a standby have {needed} at most")


async def _time(connection: Connection, settings: Settings) -> Look:
    if settings.clock:
        return ok("postgresql", "time", "the time is simulated (CONNECTS_CLOCK), so clocks are not compared")
    difference = abs(settings.wall_clock().now() - await connection.fetchval(_STORE["database_time"]))
    words = f"the clock of this host differs from the database's by {_seconds(difference)}"
    if difference > MOST_CLOCK_DIFFERENCE:
        to_do = f"Set the clock that is wrong: beyond {_seconds(MOST_CLOCK_DIFFERENCE)} nothing is done by the clock"
        return wrong("postgresql", "time", words, to_do)
    return ok("postgresql", "time", words)


def _seconds(difference: timedelta) -> str:
    return f"{difference.total_seconds():.1f} s"


async def _no_schema(settings: Settings) -> Look:
    """What is to be done where there is no ledger yet, or what keeps `connects migrate` from making one."""
    setting = "CONNECTS_MIGRATE_URL" if settings.migrate_url else "DATABASE_URL"
    try:
        async with postgres_failures(settings.owner_url, setting):
            await is_up_to_date(settings.owner_url, setting)
    except _FAILURES as error:
        return wrong("postgresql", "schema", f"there is no ledger, and none can be made: {error}")
    return wrong("postgresql", "schema", "there is no ledger yet", "Run `connects migrate`")


async def _schema(connection: Connection, settings: Settings) -> AsyncIterator[Look]:
    setting = "CONNECTS_MIGRATE_URL" if settings.migrate_url else "DATABASE_URL"
    try:
        async with postgres_failures(settings.owner_url, setting):
            is_current = await is_up_to_date(settings.owner_url, setting)
    except _FAILURES as error:
        yield wrong("postgresql", "schema", error)
        return
    found = await connection.fetchval("SELECT max(version_num) FROM alembic_version")
    if not is_current:
        words = f"the schema is of revision {found}, and this release needs {NEWEST}"
        yield wrong("postgresql", "schema", words, "Run `connects migrate`")
        return
    newer = "" if str(found) == NEWEST else f", newer than the {NEWEST} of this release, which can work on it"
    yield ok("postgresql", "schema", f"the schema is of revision {found}{newer}")
    yield await _rights(connection)
    yield await _history(connection)


async def _rights(connection: Connection) -> Look:
    """Whether this role has what `connects migrate` grants it."""
    wanted = [
        *((table, right) for table in ("alembic_version", *VIEWS) for right in ("SELECT",)),
        *((table, right) for table in STATE for right in ("SELECT", "INSERT", "UPDATE", "DELETE")),
        *((table, right) for table in APPEND_ONLY for right in ("SELECT", "INSERT")),
    ]
    lacking = [pair for pair, has in zip(wanted, await _has(connection, wanted), strict=True) if not has]
    role = await connection.fetchval("SELECT current_user")
    if lacking:
        (table, right), more = lacking[0], len(lacking) - 1
        others = f", and {counted(more, 'right', 'rights')} more" if more else ""
        return wrong("postgresql", "rights", f"the role {role} lacks {right} on {table}{others}", _MIGRATE)
    return ok("postgresql", "rights", f"the role {role} has what a worker needs")


async def _history(connection: Connection) -> Look:
    """Whether history is safe: triggers refuse to change it, and so does the role, unless it owns the tables."""
    unguarded = [row["name"] for row in await connection.fetch(_PLACE["unguarded"], list(APPEND_ONLY))]
    if unguarded:
        what = f"the triggers that keep history as it is are missing or off on {', '.join(unguarded)}"
        return wrong("postgresql", "history", what, "Find out who did it (`connects verify`), then restore the schema")
    if await connection.fetchval(_PLACE["owns"], list(APPEND_ONLY)):
        what = "triggers keep this role from changing history, but it owns the schema, so it could drop them"
        return ok("postgresql", "history", f"{what}: CONNECTS_MIGRATE_URL keeps the owner apart")
    changing = [(table, right) for table in APPEND_ONLY for right in _CHANGING]
    may = [pair for pair, has in zip(changing, await _has(connection, changing), strict=True) if has]
    if may:
        (table, right), more = may[0], len(may) - 1
        others = f", and {counted(more, 'right', 'rights')} more" if more else ""
        return wrong("postgresql", "history", f"this role has {right} on {table}, which is history{others}", _MIGRATE)
    return ok("postgresql", "history", "this role cannot change history")


async def _has(connection: Connection, pairs: list[tuple[str, str]]) -> list[bool]:
    """For each table and right, whether this role has it; a table that is not there has none."""
    rows = await connection.fetch(_PLACE["has_rights"], [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return [row["has"] for row in rows]
