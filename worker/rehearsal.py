"""Rehearsing a plan: a command applies it by itself to a copy of the ledger, from which nothing is ever published.

The copy is taken for good: no worker leads it afterwards, for it would publish the copy's messages to the real topics.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Self
from uuid import uuid4

import msgspec

from worker.domain.decisions import Subject
from worker.engine.commands import CommandRunner, read_command
from worker.engine.writer import Writer
from worker.errors import OperatorNeeded, UsageError
from worker.ledger.budget import LEAST
from worker.ledger.connections import Connection
from worker.ledger.postgres import PostgresStore
from worker.ledger.sql import load
from worker.offline import this_process
from worker.queries.asking import connected, ledger_id_of
from worker.queries.commands import Answered
from worker.queries.plan_effects import PlanEffects, plan_effects
from worker.repair.applying import Applied
from worker.repair.making import book_of_ledger
from worker.repair.planning import let_the_clock_work
from worker.repair.snapshot import Conditions, PostgresSnapshot
from worker.repair.summary import Booked
from worker.settings import Settings
from worker.words.explanations import explain

ON: Final = "--on"
_HOLDER: Final = "rehearsal:"
"""How the name begins of whoever has taken a copy."""
_SQL: Final = load("rehearsal.sql")
_ASKING: Final = load("asking.sql")
_LARGEST: Final = 2**62


class Rehearsed(msgspec.Struct, frozen=True):
    """What a rehearsal came to: of the triggers asked for now, of the plan in all, and what the clock then did.

    `followed` is empty as long as triggers are left.
    """

    applied: Applied
    effects: PlanEffects
    followed: list[Booked]


class _Seen(NamedTuple):
    """What a database says of itself: which ledger it is, who holds it, its last decision, and who we are to it."""

    ledger_id: str
    holder: str
    last_seq: int
    is_standby: bool
    may_write: bool

    @classmethod
    async def of(cls, connection: Connection) -> Self:
        ledger_id = str(await ledger_id_of(connection))
        row = await connection.fetchrow(_SQL["seen"])
        if row is None:
            raise AssertionError("ledger_id_of refuses a database without a ledger")
        return cls(ledger_id, row["holder"], row["last_seq"], row["is_standby"], row["may_write"])

    @property
    def is_rehearsed_on(self) -> bool:
        return self.holder.startswith(_HOLDER)


class Rehearsal:
    """The writer of a copy that was taken, and what it is asked: the commands that an active worker would carry out."""

    def __init__(self, connection: Connection, store: PostgresStore, writer: Writer, actor: str, why: str) -> None:
        self.connection = connection
        self._store, self._writer, self._actor, self._why = store, writer, actor, why

    async def ask(self, name: str, arguments: dict[str, object], why: str | None = None) -> Answered:
        """Carry a command out here and now; commands that were open when the copy was made stay open.

        `why` is its reason, if it has one of its own.

        Raises:
            WorkerError: the copy is away, or another rehearsal has taken it.
        """
        command, as_json = uuid4(), msgspec.json.encode(arguments).decode()
        await self.connection.execute(_ASKING["ask"], command, name, as_json, self._actor, why or self._why)
        (asked,) = [one for one in await self._store.open_commands() if one.id == command]
        answer = await CommandRunner(self._writer).run(read_command(asked))
        words = explain(answer.reason, answer.outcome, Subject(), answer.told)
        told: dict[str, str | int | bool | None] = msgspec.convert(answer.told, dict[str, str | int | bool | None])
        return Answered(f"command:{command}", answer.outcome, answer.reason, words, told, by_worker=False)

    async def what_came_of(self, applied: Applied, through_clock: Conditions) -> Rehearsed:
        """What was booked; if nothing is left of the plan, with what the clock does up to a grace after business time.

        That is what a plan shows as what will follow.

        Raises:
            WorkerError: as for `ask`.
        """
        followed: Sequence[Booked] = ()
        instant = self._writer.business_time
        if applied.asked and not applied.left and instant is not None:
            before = (await _Seen.of(self.connection)).last_seq
            await let_the_clock_work(self._writer, instant + through_clock.grace)
            followed = [Booked(*row) for row in await self.connection.fetch(_SQL["booked_by_the_clock"], before)]
        return Rehearsed(applied, await plan_effects(self.connection, applied.plan), list(followed))


@asynccontextmanager
async def rehearsing(
    settings: Settings, copy: str, through_seq: int, actor: str, why: str
) -> AsyncIterator[tuple[Rehearsal, Conditions]]:
    """Take the copy of the settings' ledger at this URL, for a plan that was made after the decision `through_seq`.

    With the policy versions and the conditions that the copy has stored, which are those of the last worker.

    Raises:
        UsageError: it is no copy of that ledger, is older than the plan, or cannot be written.
        OperatorNeeded, Transient: a worker leads it, or one of the two databases cannot be used.
    """
    async with connected(copy, setting=ON) as connection:
        await _require_copy(settings, connection, through_seq)
        holder = f"{_HOLDER}{this_process()}"
        epoch = await connection.fetchval(_SQL["take_for_good"], holder, f"{_HOLDER}%")
        if epoch is None:
            raise OperatorNeeded(
                f"a worker leads the ledger of {ON}: {(await _Seen.of(connection)).holder}. End it, and rehearse on a "
                "copy that no worker runs on"
            )
        snapshot = PostgresSnapshot(connection)
        conditions = await snapshot.conditions() or Conditions(settings.grace, settings.max_clock_skew)
        store = PostgresStore(copy, this_process(), most_connections=LEAST)
        try:
            writer = Writer(
                store,
                int(epoch),
                book_of_ledger(await snapshot.policies(), settings),
                conditions.grace,
                conditions.max_clock_skew,
                settings.wall_clock().now,
                lambda _committed: None,
                settings.batch_size,
            )
            await writer.open()
            yield Rehearsal(connection, store, writer, actor, why), conditions
        finally:
            await store.close()


async def _require_copy(settings: Settings, copy: Connection, through_seq: int) -> None:
    """Refuse whatever is not a copy of the settings' ledger.

    Raises:
        UsageError: it is another ledger, that ledger itself, or not new enough; the text says which.
    """
    async with connected(settings.database_url) as live:
        of_live, of_copy = await _Seen.of(live), await _Seen.of(copy)
        if of_copy.ledger_id != of_live.ledger_id:
            raise UsageError(
                f"{ON} has the ledger {of_copy.ledger_id}, and DATABASE_URL the ledger {of_live.ledger_id}. Rehearse "
                "on a copy of that one"
            )
        if of_live.is_standby or of_copy.is_standby:
            which = "DATABASE_URL" if of_live.is_standby else ON
            raise UsageError(
                f"{which} is a standby server. Name the primary of the ledger, and a copy that can be written"
            )
        if await _is_same(live, copy):
            raise UsageError(
                f"{ON} is the ledger of DATABASE_URL itself. Make a copy of the database, and name that; to apply the "
                f"plan to the ledger, leave {ON} out"
            )
    if not of_copy.may_write:
        raise UsageError(f"the role of {ON} may not write that ledger. Name one that may, such as the copy's owner")
    if of_live.is_rehearsed_on:
        raise UsageError("DATABASE_URL is a copy that plans were rehearsed on. Set it to the ledger itself")
    if of_copy.last_seq > of_live.last_seq and not of_copy.is_rehearsed_on:
        raise UsageError(
            f"{ON} has {of_copy.last_seq - of_live.last_seq:,} decisions more than DATABASE_URL, so it is no copy of "
            "it. Are they the wrong way round?"
        )
    if of_copy.last_seq < through_seq:
        raise UsageError(
            f"{ON} ends with decision {of_copy.last_seq:,}, and the plan was made after decision {through_seq:,}. Make "
            "a newer copy"
        )


async def _is_same(live: Connection, copy: Connection) -> bool:
    """Whether two connections are to one database, however its address is written: they share its advisory locks."""
    number = secrets.randbelow(_LARGEST)
    await live.execute("BEGIN")
    try:
        await live.fetchval(_SQL["lock"], number)
        return not await copy.fetchval(_SQL["is_free"], number)
    finally:
        await live.execute("ROLLBACK")
