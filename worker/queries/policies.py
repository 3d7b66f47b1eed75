"""The policy that the settings name, or a file on the command line, and how it compares with what the ledger has."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import asyncpg
import msgspec
import structlog

from worker.domain.policy import PolicyBook
from worker.domain.policy_file import PolicyError, read_policy
from worker.domain.policy_use import PolicyUse, StoredVersion, as_written, compare
from worker.errors import OperatorNeeded, PolicyRefused, SettingsError, Transient, UsageError
from worker.ledger.sql import load
from worker.queries.asking import snapshot
from worker.settings import Settings, without_password

_SQL: Final = load("asking.sql")
_CHECK_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class VersionChecked(msgspec.Struct, frozen=True):
    """A version of the file, and whether the ledger has it; None: it was not compared with a ledger."""

    version: str
    effective_from: datetime
    ledger: Literal["used", "to-come", "new"] | None


class KeyChanged(msgspec.Struct, frozen=True):
    """A key of a version that the ledger has with another value, both as a policy file writes them."""

    version: str
    key: str
    ledger: str
    file: str


class PolicyChecked(msgspec.Struct, frozen=True):
    """A policy file that can be read, beside the ledger; either `ledger` or `not_compared` says why it is None."""

    versions: list[VersionChecked]
    ledger: str | None
    not_compared: str | None
    differences: list[KeyChanged]
    problems: list[str]


def policies(settings: Settings) -> PolicyBook:
    """The policy of the settings.

    Raises:
        SettingsError: naming the file, the line and the key.
    """
    try:
        return policy_file(settings.policy)
    except (OperatorNeeded, UsageError) as error:
        raise SettingsError(f"CONNECTS_POLICY: {error}") from None


def policy_file(path: Path) -> PolicyBook:
    """The policy in a file.

    Raises:
        OperatorNeeded: naming the file, the line and the key.
        UsageError: there is no such file, or it cannot be read.
    """
    try:
        return read_policy(path.read_bytes().decode("utf-8"), str(path))
    except PolicyError as error:
        raise OperatorNeeded(str(error)) from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder. Name the policy file in it.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise OperatorNeeded(f"{path}, line {line}: not UTF-8 text. Save the file as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}). Name a file that can.") from None


async def compare_with_ledger(database_url: str, book: PolicyBook) -> PolicyUse:
    """Compare a policy with the versions that a ledger has stored.

    Raises:
        OperatorNeeded, Transient: the ledger cannot be read; the text says what to do.
    """
    async with snapshot(database_url) as connection:
        stored = [StoredVersion(*row) for row in await connection.fetch(_SQL["stored_policies"])]
        batch = await connection.fetchrow(_SQL["last_batch"])
    return compare(book, stored, None if batch is None else batch["business_time"])


async def refuse_contradiction(settings: Settings, book: PolicyBook) -> None:
    """Refuse a policy that contradicts the ledger before the ledger is taken, where the ledger can be read by now.

    Where it cannot, the worker waits for it; it checks again each time it takes the ledger.

    Raises:
        PolicyRefused: the policy contradicts the ledger.
    """
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            use = await compare_with_ledger(settings.database_url, book)
    except (OperatorNeeded, Transient, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _log.debug("the policy is compared with the ledger later", error=str(error))
        return
    if use.refusal is not None:
        raise PolicyRefused(use.refusal)


@contextmanager
def policy_refusals(settings: Settings) -> Iterator[None]:
    """A policy that contradicts the ledger is a setting that cannot be used.

    Raises:
        SettingsError: instead of PolicyRefused.
    """
    try:
        yield
    except PolicyRefused as error:
        raise SettingsError(f"CONNECTS_POLICY: {settings.policy}: {error}") from None


async def check_policy(book: PolicyBook, database_url: str | None, why_not: str = "") -> PolicyChecked:
    """Say how a policy compares with a ledger; without one, or if it cannot be read, that the file alone was checked.

    `why_not` says why there is no `database_url`.
    """
    if database_url is None:
        return PolicyChecked(_versions(book, None), None, why_not, [], [])
    try:
        use = await compare_with_ledger(database_url, book)
    except (OperatorNeeded, Transient) as error:
        return PolicyChecked(_versions(book, None), None, str(error), [], [])
    changed = [
        KeyChanged(version, key, as_written(ledger), as_written(file)) for version, key, ledger, file in use.differences
    ]
    return PolicyChecked(_versions(book, use), without_password(database_url), None, changed, use.problems)


def _versions(book: PolicyBook, use: PolicyUse | None) -> list[VersionChecked]:
    return [
        VersionChecked(policy.version, policy.effective_from, None if use is None else _known(policy.version, use))
        for policy in book.versions
    ]


def _known(version: str, use: PolicyUse) -> Literal["used", "to-come", "new"]:
    if version in use.new:
        return "new"
    return "used" if version in use.used else "to-come"
