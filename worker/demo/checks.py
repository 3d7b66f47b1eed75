"""Checks at the end of a demo, against the ledger, Kafka and a reader that has read all messages.

Each statement of demo.sql finds what breaks an invariant and nothing else, a sentence for each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from worker.demo.natural_keys import booked_twice
from worker.domain.model import ChargeKey
from worker.ledger.sql import load
from worker.words.phrases import counted

_SQL: Final = {**load("demo.sql", "worker.demo"), "i1_natural_keys": booked_twice()}
_SHOWN: Final = 3


@dataclass
class Published:
    """The messages that a read_committed consumer of the output topics read, in that order."""

    wallets: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    """By wallet-updated, of each freelancer: (version, delta, balance after)."""
    memberships: dict[str, list[int]] = field(default_factory=dict)
    """By membership-updated, of each freelancer: the versions."""
    charges: list[ChargeKey] = field(default_factory=list)
    """By membership-charge-requested: the charges."""


@dataclass(frozen=True)
class Finding:
    """One invariant, its promise, and the faults that were found (none: it holds)."""

    name: str
    promise: str
    against: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no fault was found."""
        return not self.against


_NOTHING_TWICE: Final = ("i1_effects", "i1_natural_keys")
_SUMS: Final = ("i3_lots", "i3_movements", "i3_balances")
_WITHIN_BOUNDS: Final = ("i4_lots", "i4_overdrawn")
_REFUNDS: Final = ("i5_proposals", "i5_boosts")


_CYCLES: Final = ("cycles_twice", "cycles_of_both")


async def check(
    connection: asyncpg.Connection,
    published: Published,
    taken: Mapping[ChargeKey, int | None],
    ends: Mapping[tuple[str, int], int],
) -> list[Finding]:
    """All findings.

    `taken` are the cents that the payment service took for each charge (None: it does not know how many), `ends` the
    ends of the input partitions in Kafka: how much was produced.
    """
    return [
        Finding("I1", "nothing is booked twice", await _published(connection, _NOTHING_TWICE)),
        Finding("I2", "every event has exactly one first decision", await _undecided(connection, ends)),
        Finding("I3", "balances, changes, lots and movements agree", await _published(connection, _SUMS)),
        Finding("I4", "no lot is below zero; only who owes is overdrawn", await _published(connection, _WITHIN_BOUNDS)),
        Finding("I5", "no more comes back than was spent", await _published(connection, _REFUNDS)),
        Finding("I9", "wallet-updated has versions 1, 2, 3 ... of every wallet", await _misread(connection, published)),
        Finding(
            "plans",
            "membership-updated has versions 1, 2, 3 ... of every membership",
            await _plans(connection, published),
        ),
        Finding("charges", "every charge is asked for once", await _asked(connection, published)),
        Finding(
            "paid",
            "Plus is granted once for each charge that was paid, and for no other",
            await _paid(connection, taken),
        ),
        Finding("cycles", "no cycle is granted twice, or as Basic and as Plus", await _published(connection, _CYCLES)),
        Finding("lag", "all input is decided and published", await _behind(connection, ends)),
    ]


async def _published(connection: asyncpg.Connection, statements: Sequence[str]) -> tuple[str, ...]:
    found = [row[0] for statement in statements for row in await connection.fetch(_SQL[statement])]
    return _some(found)


async def _undecided(connection: asyncpg.Connection, ends: Mapping[tuple[str, int], int]) -> tuple[str, ...]:
    rows = {(row["topic"], row["partition"]): row for row in await connection.fetch(_SQL["i2_decided"])}
    found = []
    for (topic, partition), end in sorted(ends.items()):
        row = rows.pop((topic, partition), None)
        decisions, records = (0, 0) if row is None else (row["decisions"], row["records"])
        if (decisions, records) != (end, end):
            found.append(
                f"{topic}, partition {partition}: {counted(end, 'record')}, {records} decided, "
                f"{counted(decisions, 'first decision')}"
            )
    found += [
        f"decisions about {topic}, partition {partition}, where nothing was produced" for topic, partition in rows
    ]
    return _some(found)


async def _misread(connection: asyncpg.Connection, published: Published) -> tuple[str, ...]:
    wallets = published.wallets
    booked: dict[str, list[tuple[int, int, int]]] = {}
    for row in await connection.fetch(_SQL["i9_changes"]):
        booked.setdefault(row[0], []).append((row[1], row[2], row[3]))
    found = []
    for freelancer_id in sorted(booked.keys() | wallets.keys()):
        read, expected = wallets.get(freelancer_id, []), booked.get(freelancer_id, [])
        versions = [version for version, _, _ in read]
        if versions != list(range(1, len(versions) + 1)):
            found.append(f"{freelancer_id}: versions were read as {_first_break(versions)}")
        elif read != expected:
            found.append(f"{freelancer_id}: {len(read)} of {len(expected)} changes were read as they were booked")
    return _some(found)


async def _plans(connection: asyncpg.Connection, published: Published) -> tuple[str, ...]:
    read = published.memberships
    booked = {row[0]: row[1] for row in await connection.fetch(_SQL["memberships_told"])}
    found = []
    for freelancer_id in sorted(booked.keys() | read.keys()):
        versions, last = read.get(freelancer_id, []), booked.get(freelancer_id, 0)
        if versions != list(range(1, len(versions) + 1)):
            found.append(f"{freelancer_id}: versions were read as {_first_break(versions)}")
        elif len(versions) != last:
            found.append(f"{freelancer_id}: {len(versions)} of {last} versions were read")
    return _some(found)


async def _asked(connection: asyncpg.Connection, published: Published) -> tuple[str, ...]:
    read = Counter(published.charges)
    asked = {ChargeKey(row["freelancer_id"], row["charge_id"]) for row in await connection.fetch(_SQL["charges_asked"])}
    return _some(
        [
            f"{_named(charge)}: {'asked' if charge in asked else 'never asked'}, read {counted(read[charge], 'time')}"
            for charge in sorted(asked | read.keys())
            if (read[charge], charge in asked) != (1, True)
        ]
    )


async def _paid(connection: asyncpg.Connection, taken: Mapping[ChargeKey, int | None]) -> tuple[str, ...]:
    found = list(await _published(connection, ("grants_of_charges",)))
    for freelancer_id, charge_id, status, cents in await connection.fetch(_SQL["charges_asked"]):
        charge = ChargeKey(freelancer_id, charge_id)
        if status == "paid" and charge not in taken:
            found.append(f"{_named(charge)} counts as paid, and nothing was taken for it")
        elif status == "paid" and taken[charge] not in {None, cents}:
            found.append(f"for {_named(charge)}, {cents} cents, {taken[charge]} were taken")
    return _some(found)


async def _behind(connection: asyncpg.Connection, ends: Mapping[tuple[str, int], int]) -> tuple[str, ...]:
    rows = await connection.fetch(_SQL["read_through"])
    positions = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    found = [
        f"{topic}, partition {partition}: {counted(end - positions.get((topic, partition), 0), 'record')} behind"
        for (topic, partition), end in sorted(ends.items())
        if positions.get((topic, partition), 0) < end
    ]
    waiting = await connection.fetchval(_SQL["settlements_waiting"])
    if waiting:
        found.append(counted(waiting, "settlement waits", "settlements wait"))
    unpublished = await connection.fetchval(_SQL["batches_unpublished"])
    if unpublished:
        found.append(f"{counted(unpublished, 'batch is', 'batches are')} not published")
    return _some(found)


def _named(charge: ChargeKey) -> str:
    return f"charge {charge.charge_id} of {charge.freelancer_id}"


def _first_break(versions: Sequence[int]) -> str:
    place = next(place for place, version in enumerate(versions) if version != place + 1)
    return f"... {', '.join(map(str, versions[max(0, place - 2) : place + 2]))} ..."


def _some(found: list[str]) -> tuple[str, ...]:
    more = len(found) - _SHOWN
    return tuple(found if more <= 0 else [*found[:_SHOWN], f"and {more} more"])
