"""The policy versions that a ledger has, and how two of them differ, key by key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from worker.domain.policy_use import StoredVersion, UnknownKeys, as_written, by_use, differing_keys, meaning_of
from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("asking.sql")
_OF_A_VERSION: Final = frozenset({"version", "effective_from"})
"""Keys that name a version: they are shown as such, and differ always."""


class VersionStored(msgspec.Struct, frozen=True):
    """A version that the ledger has. `used`: it is or was in force there; `to-come`: it begins after what was decided.

    The earliest one is in force from the beginning, whatever its `effective_from`.
    """

    version: str
    effective_from: datetime
    state: Literal["used", "to-come"]


class KeyOfVersions(msgspec.Struct, frozen=True):
    """A key that two versions have with other values, both as a policy file writes them (`nothing`: no such key)."""

    key: str
    old: str
    new: str


class VersionsCompared(msgspec.Struct, frozen=True):
    """The versions of a ledger in order of time, and how `new` differs from `old`.

    Both are None where the ledger has not two versions. `not_compared` says why the two cannot be compared.
    """

    versions: list[VersionStored]
    old: str | None
    new: str | None
    differences: list[KeyOfVersions]
    not_compared: str | None


class NoSuchVersion(UsageError):
    """The ledger has no version of that name; the text says which parameter names it."""


async def versions_compared(connection: Connection, old: str | None, new: str | None) -> VersionsCompared:
    """Compare two versions of the ledger, by default the last one that it used with the one before it.

    Raises:
        NoSuchVersion: the ledger has no version of a name that was given.
    """
    stored = [StoredVersion(*row) for row in await connection.fetch(_SQL["stored_policies"])]
    batch = await connection.fetchrow(_SQL["last_batch"])
    used, to_come = by_use(stored, None if batch is None else batch["business_time"])
    versions = [
        *(VersionStored(one.version, one.effective_from, "used") for one in used),
        *(VersionStored(one.version, one.effective_from, "to-come") for one in to_come),
    ]
    in_order = [*used, *to_come]
    later = _named(in_order, "new", new, max(1, len(used) - 1))
    place = len(in_order) if later is None else in_order.index(later)
    earlier = _named(in_order, "old", old, max(0, place - 1))
    if earlier is None or later is None:
        return VersionsCompared(versions, None, None, [], None)
    try:
        before, after = meaning_of(earlier), meaning_of(later)
    except UnknownKeys as error:
        why = f"A later release stored one of them: this one cannot read {error.keys}."
        return VersionsCompared(versions, earlier.version, later.version, [], why)
    differ = [
        KeyOfVersions(one.key, as_written(one.before), as_written(one.after))
        for one in sorted(differing_keys(before, after))
        if one.key not in _OF_A_VERSION
    ]
    return VersionsCompared(versions, earlier.version, later.version, differ, None)


def _named(versions: Sequence[StoredVersion], parameter: str, name: str | None, otherwise: int) -> StoredVersion | None:
    """The version of that name; without a name the one at that place, None if there are fewer than two."""
    if name is None:
        return versions[otherwise] if len(versions) > 1 else None
    for one in versions:
        if one.version == name:
            return one
    raise NoSuchVersion(
        f"{parameter}: the ledger has no policy version of this name. Without it, the last are compared."
    )
