"""Publishing messages of wallet-updated once more: what there is, and the commands that the active worker carries out.

A run is a chain of commands, each with the wallets of one part. Which command comes next follows from the one before
and its answer, and its id from the run and its number: so a part is ordered once, whoever goes on with the run.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid4, uuid5

import asyncpg
import msgspec

from worker.engine.republishing import MOST_WALLETS, Republishing
from worker.errors import OperatorNeeded, UsageError
from worker.ledger.connections import Connection
from worker.ledger.rows import as_uuid
from worker.ledger.sql import load
from worker.queries import commands
from worker.queries.log_query import LogQuery, span_of
from worker.queries.replays import require_active_worker
from worker.settings import Settings

COMMAND: Final = "outputs-republish"
_SQL: Final = load("republish.sql")
_MESSAGES_AT_ONCE: Final = 1_000
_MOST_NAMED: Final = 10
_ROWS: Final = 5_000


class Selection(msgspec.Struct, frozen=True):
    """Which messages: of these freelancers (empty: all) from this version on, or what was booked since an instant."""

    freelancers: tuple[str, ...] = ()
    version: int = 1
    since: datetime | None = None

    @property
    def name(self) -> str:
        """How a run of it is known."""
        return msgspec.json.encode(self).decode()


class Wallet(NamedTuple):
    """A wallet with the version from which on its messages are published once more, and how many these are by now."""

    freelancer_id: str
    version: int
    messages: int


class Ordered(NamedTuple):
    """The last command of a run, and how far all is published once more by it; `answer` None: it is not answered."""

    run: UUID
    carried: Republishing
    actor: str
    asked_at: datetime
    answer: dict[str, str | int | bool | None] | None

    @property
    def is_applied(self) -> bool:
        """Whether its messages are in the outbox."""
        return self.answer is not None and self.answer["outcome"] == "applied"

    @property
    def is_done(self) -> bool:
        """Whether nothing of the run is left."""
        return self.is_applied and self.carried.is_last and not self.begun

    @property
    def begun(self) -> list[tuple[str, int]]:
        """What it names and did not get to: the first of these wallets may be published in part."""
        if not self.is_applied or self.answer is None:
            return self.carried.wallets
        if self.answer["is_whole"]:
            return []
        name, version = str(self.answer["last_freelancer"]), int(str(self.answer["last_version"])) + 1
        place = [wallet for wallet, _ in self.carried.wallets].index(name)
        return [(name, version), *self.carried.wallets[place + 1 :]]


class Progressed(msgspec.Struct):
    """How far a run is: what it has published once more since it was gone on with, and the wallets that are left."""

    run: str
    messages: int = 0
    freelancers: int = 0
    left: int = 0


async def wallets_of(connection: Connection, selection: Selection) -> list[Wallet]:
    """The wallets that have such messages, by id.

    Raises:
        UsageError: one of the freelancers has no wallet.
        asyncpg.PostgresError, OSError: the database is away.
    """
    if selection.freelancers:
        known = await connection.fetch(_SQL["known_wallets"], selection.freelancers)
        if unknown := sorted(set(selection.freelancers) - {row["freelancer_id"] for row in known}):
            raise UsageError(
                f"no change of a wallet of {', '.join(unknown[:_MOST_NAMED])} was ever booked: name freelancers as "
                "`connects history` does"
            )
    after = 0
    if selection.since is not None:
        after = (await span_of(connection, LogQuery(recorded_from=selection.since))).after
    found: list[Wallet] = []
    async with connection.transaction(readonly=True):
        cursor = connection.cursor(
            _SQL["wallets_to_republish"],
            *(selection.version, after, selection.since, selection.freelancers or None),
            prefetch=_ROWS,
        )
        found.extend([Wallet(*row) async for row in cursor])
    return found


async def unfinished(connection: Connection, selection: Selection) -> Ordered | None:
    """The last command of the last run of that selection, if something of it is left."""
    last = _ordered(await connection.fetchrow(_SQL["last_of_selection"], selection.name))
    return None if last is None or last.is_done else last


def left_of(wallets: Sequence[Wallet], last: Ordered | None) -> list[Wallet]:
    """The wallets that are left after the last command of a run."""
    if last is None:
        return list(wallets)
    begun = dict(last.begun)
    place = [one.freelancer_id for one in wallets].index(last.carried.wallets[-1][0]) + 1
    rest = [one._replace(version=begun[one.freelancer_id]) for one in wallets[:place] if one.freelancer_id in begun]
    return [*rest, *wallets[place:]]


async def republish(
    settings: Settings,
    connection: Connection,
    selection: Selection,
    last: Ordered | None,
    by: tuple[str, str],
    stopping: asyncio.Event,
    rate: float | None = None,
) -> AsyncGenerator[Progressed]:
    """Have everything that is left of a run published once more, part by part; `by` is who orders it, and why.

    It ends early when it is stopped between two wallets. `rate` is the most messages a second.

    Raises:
        OperatorNeeded: no worker is active, or it declines.
        Transient: nobody answered in time: it goes on when it is run again.
    """
    run = uuid4() if last is None else last.run
    progressed, begun = Progressed(str(run)), time.monotonic()
    wallets = await wallets_of(connection, selection)
    while True:
        if last is not None and last.answer is None:
            last = await _order(settings, connection, last.carried, by)
            _require_applied(last)
        left = left_of(wallets, last)
        progressed.left = len(left)
        is_in_part = last is not None and last.is_applied and bool(last.begun) and _is_cut(last)
        yield progressed
        if not left or (stopping.is_set() and not is_in_part):
            return
        part, number = _part(left, rate), 1 if last is None else last.carried.number + 1
        carried = Republishing(
            str(run), number, selection.name, [one[:2] for one in part], is_last=len(part) == len(left)
        )
        last = await _order(settings, connection, carried, by)
        answer = _require_applied(last)
        progressed.messages += int(answer["messages"] or 0)
        progressed.freelancers += int(answer["freelancers"] or 0)
        if rate is not None and not last.is_done:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, begun + progressed.messages / rate - time.monotonic())):
                    await stopping.wait()


def _is_cut(last: Ordered) -> bool:
    """Whether it ended within a wallet: its newest message is not the last one of it in the topic."""
    return last.begun[0][1] > dict(last.carried.wallets)[last.begun[0][0]]


def _part(left: Sequence[Wallet], rate: float | None) -> Sequence[Wallet]:
    """The next wallets: as many as have some messages together, at a rate no more than come in a second; or one."""
    most = _MESSAGES_AT_ONCE if rate is None else max(1, min(_MESSAGES_AT_ONCE, int(rate)))
    messages = 0
    for number, one in enumerate(left[:MOST_WALLETS]):
        messages += one.messages
        if messages > most and number:
            return left[:number]
    return left[:MOST_WALLETS]


async def _order(settings: Settings, connection: Connection, carried: Republishing, by: tuple[str, str]) -> Ordered:
    """Have a part published once more, unless another process of the same run has ordered it; what was ordered."""
    await require_active_worker(connection)
    arguments = msgspec.to_builtins(carried)
    command = uuid5(UUID(carried.run), str(carried.number))
    await commands.ask(settings, COMMAND, arguments, actor=by[0], why=by[1], execute=_refuse, command=command)
    ordered = _ordered(await connection.fetchrow(_SQL["republishing"], command))
    if ordered is None:
        raise AssertionError("a command that was answered is kept for good")
    return ordered


def _require_applied(ordered: Ordered) -> dict[str, str | int | bool | None]:
    if ordered.answer is None or not ordered.is_applied:
        raise OperatorNeeded(commands.in_words(ordered.answer or {}))
    return ordered.answer


def _ordered(row: asyncpg.Record | None) -> Ordered | None:
    if row is None:
        return None
    carried = msgspec.json.decode(row["arguments"], type=Republishing)
    answer = None if row["answer"] is None else msgspec.json.decode(row["answer"], type=commands.Told)
    return Ordered(as_uuid(carried.run), carried, row["actor"], row["asked_at"], answer)


async def _refuse(_settings: Settings) -> None:
    """What is done instead of carrying a command out here, when the worker is gone."""
    raise OperatorNeeded(
        "no worker is active any more, and it publishes the messages. Start one (`connects run`), then run this again: "
        "it goes on where it stopped"
    )
