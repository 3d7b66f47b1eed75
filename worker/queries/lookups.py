"""As what an id is known; and, for the console alone, a wallet in pages, however long its history is."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import msgspec

from schemas.catalogue import INPUT_TOPICS
from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.event_key import seen_key
from worker.ledger.sql import load
from worker.queries.explain import decisions_of
from worker.queries.history import ChangeRecord, change_record
from worker.replies.known import Asked
from worker.replies.months import OfKind, kind_of

_SQL: Final = load("asking.sql")
_MOST_CHARGES: Final = 20
_MOST_REFUSALS: Final = 20
REFUSALS_AMONG: Final = 2_000
"""How many of the last decisions about a freelancer are looked at for what brought nothing."""


class RefusedRecord(msgspec.Struct, frozen=True):
    """Something that brought a freelancer nothing, in words; `event_id` is what its reply is found by."""

    occurred_at: datetime
    event_id: str | None
    topic: str | None
    reason: str
    explanation: str


class ChargeRecord(msgspec.Struct, frozen=True):
    """A charge that the billing system was asked for, and what became of it; `amount_cents` after any promotion."""

    charge_id: str
    kind: str
    cycle_start: date
    amount_cents: int
    currency: str
    source: str
    promo_code: str | None
    requested_at: datetime
    status: str


async def roles_of(connection: Connection, key: str) -> list[Asked]:
    """As what an id is known; nothing if the ledger has never seen it."""
    row = await connection.fetchrow(_SQL["known_as"], key)
    named: tuple[Asked, ...] = ("freelancer", "job", "proposal")
    roles: list[Asked] = [role for role in named if row is not None and row[role]]
    keys = [seen_key(topic, key) for topic in INPUT_TOPICS]
    if await connection.fetchval(_SQL["is_event"], key, keys, key.rsplit(":", 2)[0]):
        roles.append("event")
    return roles


async def require_known(connection: Connection, role: Asked, key: str) -> None:
    """Refuse the id of a freelancer, a job, ... that the ledger has never seen as such.

    Raises:
        UsageError: no event has named it.
    """
    if role not in await roles_of(connection, key):
        raise UsageError(f"no event has named the {role} {key!r} yet")


async def changes_before(
    connection: Connection, freelancer_id: str, version: int | None, rule: str | None, most: int
) -> Sequence[ChangeRecord]:
    """The last changes of a wallet before a version (None: the last of all), under one rule or all, newest first."""
    rows = await connection.fetch(_SQL["changes_before"], freelancer_id, version, rule, most)
    return [change_record(row) for row in rows]


async def sums_by_kind(connection: Connection, freelancer_id: str) -> list[OfKind]:
    """The sums of all changes of a wallet, by kind; together they are its balance."""
    rows = await connection.fetch(_SQL["sums_of_wallet"], freelancer_id)
    return [
        OfKind(kind_of(row["rule"], came_in=row["connects"] > 0), row["rule"], row["connects"], row["changes"])
        for row in rows
    ]


async def last_refusals(connection: Connection, freelancer_id: str) -> list[RefusedRecord]:
    """What brought nothing, newest first: an interview, a badge, a code, a month. No change of the wallet shows it."""
    rows = await connection.fetch(_SQL["refusals_of_freelancer"], freelancer_id, _MOST_REFUSALS, REFUSALS_AMONG)
    refused = await decisions_of(connection, {row[0] for row in rows})
    return [
        RefusedRecord(one.occurred_at or one.recorded_at, one.event_id, one.topic, one.reason, one.explanation)
        for one in reversed(refused)
    ]


async def count_of_lots(connection: Connection, freelancer_id: str) -> int:
    """How many lots a wallet holds."""
    count: int = await connection.fetchval(_SQL["count_of_open_lots"], freelancer_id)
    return count


async def last_charges(connection: Connection, freelancer_id: str) -> list[ChargeRecord]:
    """The charges that were asked last, newest first."""
    rows = await connection.fetch(_SQL["charges_of_freelancer"], freelancer_id, _MOST_CHARGES)
    return [ChargeRecord(*row) for row in rows]
