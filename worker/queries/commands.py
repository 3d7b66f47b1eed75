"""Asking the one writer to change the ledger: nobody else writes, so a command is a row that waits for its answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

import msgspec

from worker.domain.decisions import Subject
from worker.errors import Transient
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.asking import connected
from worker.settings import Settings
from worker.words.explanations import explain

Execute = Callable[[Settings], Awaitable[None]]
"""Takes the lease, carries open commands out, and hands the lease back; for when no worker runs."""

Told = dict[str, str | int | bool | None]
"""An answer as it is recorded: the outcome, the reason, and what it came to."""
_SQL: Final = load("asking.sql")
_FIRST_POLL_SECONDS: Final = 0.01
_POLL_SECONDS: Final = 0.1
"""An answer is looked for often at first, for most commands take a moment; then with pauses of up to so long."""
_UNLED_SECONDS: Final = 1.0
"""A ledger without a leader for this long has no worker; a standby would have taken over."""


class Answered(msgspec.Struct, frozen=True):
    """What became of a command, in words and as it is recorded."""

    command: str
    outcome: str
    reason: str
    explanation: str
    told: dict[str, str | int | bool | None]
    by_worker: bool = True
    """Whether an active worker did it; if there is none, the command did it itself."""

    @property
    def done(self) -> bool:
        """Whether it did what was asked."""
        return self.outcome == "applied"


async def ask(
    settings: Settings,
    name: str,
    arguments: Mapping[str, object],
    *,
    actor: str,
    why: str,
    execute: Execute,
    wait_seconds: float = 60.0,
    command: UUID | None = None,
) -> Answered:
    """Leave a command for the writer and wait; if no worker runs, carry it out here.

    `command` is its id, if it has one already: then it is left once, however often it is asked.

    Raises:
        Transient: nobody answered in time. The command stays: the next worker carries it out.
        OperatorNeeded: the database cannot be used.
    """
    command = command or uuid4()
    async with connected(settings.database_url) as connection:
        await connection.execute(_SQL["ask"], command, name, msgspec.json.encode(arguments).decode(), actor, why)
        deadline = time.monotonic() + wait_seconds
        answer, by_worker = await _wait_for_answer(connection, command, settings, execute, deadline)
    told = msgspec.json.decode(answer, type=Told)
    words = in_words(told)
    outcome, reason = str(told.pop("outcome")), str(told.pop("reason"))
    return Answered(f"command:{command}", outcome, reason, words, told, by_worker)


def in_words(told: Told) -> str:
    """The answer to a command as it is recorded, in a sentence or two."""
    facts = {name: fact for name, fact in told.items() if name not in {"outcome", "reason"}}
    return explain(str(told.get("reason")), str(told.get("outcome")), Subject(), facts)


async def keep(
    settings: Settings, command: UUID, name: str, arguments: Mapping[str, object], actor: str, why: str
) -> None:
    """Keep a command that whoever leads the ledger now answers at once.

    Raises:
        OperatorNeeded, Transient: the database cannot be used.
    """
    async with connected(settings.database_url) as connection:
        await connection.execute(_SQL["ask"], command, name, msgspec.json.encode(arguments).decode(), actor, why)


async def _wait_for_answer(
    connection: Connection, command: UUID, settings: Settings, execute: Execute, deadline: float
) -> tuple[str, bool]:
    """The answer as it is recorded, and whether a worker gave it."""
    by_worker = True
    unled_since: float | None = None
    pause = _FIRST_POLL_SECONDS
    while time.monotonic() < deadline:
        answer = await connection.fetchval(_SQL["answer"], command)
        if answer is not None:
            return str(answer), by_worker
        leader = await connection.fetchrow(_SQL["leader"])
        if leader is None or leader["held"]:
            unled_since = None
        elif unled_since is None:
            unled_since = time.monotonic()
        elif time.monotonic() - unled_since > _UNLED_SECONDS:
            with suppress(Transient):  # a worker may just have been faster, and then it answers
                await execute(settings)
                by_worker = False
            unled_since = None
            continue
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _POLL_SECONDS)
    raise Transient(
        f"nobody answered the command {command} in time. It stays in the ledger, and a worker carries it out when it "
        "can; `connects explain command:" + str(command) + "` tells what became of it."
    )
