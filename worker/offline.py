"""What a command does to the ledger itself while no worker runs: it takes the lease, and hands it back in the end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID, uuid4

import msgspec

from worker.domain.decisions import Fact, Subject
from worker.engine.commands import Answer, CommandRunner, read_command
from worker.engine.new_policies import check_policies
from worker.engine.writer import Writer
from worker.errors import Transient, WorkerError
from worker.ledger.budget import LEAST
from worker.ledger.leadership import Leadership
from worker.ledger.postgres import PostgresStore
from worker.proof.checks import Progress
from worker.queries import restore_marker as restoring
from worker.queries.adopt import Found, adopting
from worker.queries.commands import Answered, keep
from worker.queries.policies import policies, policy_refusals, refuse_contradiction
from worker.queries.restore_marker import MarkerRestored
from worker.settings import Settings
from worker.words.explanations import explain

_LEASE_SECONDS: Final = 15.0


async def execute_pending_commands(settings: Settings) -> None:
    """Take the ledger, carry open commands out, and hand it back.

    What they change is published by the next worker.

    Raises:
        OperatorNeeded: there is no ledger, or a constraint refused a commit.
        Transient: the database is away, or another worker was faster.
        SettingsError: the policy cannot be used, or contradicts the ledger.
    """
    with policy_refusals(settings):
        await _execute_pending_commands(settings)


async def _execute_pending_commands(settings: Settings) -> None:
    await refuse_contradiction(settings, policies(settings))
    leadership = Leadership(settings.database_url, f"command:{this_process()}")
    try:
        async with asyncio.timeout(_LEASE_SECONDS):
            epoch = await leadership.acquire()
        async with _writing(settings, epoch) as (writer, store):
            for asked in await store.open_commands():
                await CommandRunner(writer).run(read_command(asked))
    except TimeoutError:
        raise Transient(leadership.trouble or "another worker has just taken the ledger; ask again") from None
    finally:
        await leadership.release()


async def adopt(
    settings: Settings, agreed: Callable[[Found], Awaitable[bool]], actor: str, why: str, progress: Progress
) -> Answered | None:
    """Take the ledger, adopt what was published before it was restored, and hand it back.

    `agreed` is asked once all is found and before anything is changed; None: it was refused there. What is kept counts
    once the command is committed, and the marker is written last: whatever ends it between, it is run again.

    Raises:
        OperatorNeeded: nothing is to be adopted, or it would be a guess; the text says why.
        Transient: the database or Kafka is away, or a worker leads.
        SettingsError: the policy cannot be used, or contradicts the ledger.
    """
    with policy_refusals(settings):
        await refuse_contradiction(settings, policies(settings))
        leadership = Leadership(settings.database_url, f"command:{this_process()}")
        try:
            await _acquire_beside_no_worker(leadership)
            return await _adopt(settings, leadership, agreed, (actor, why), progress)
        finally:
            await leadership.release()


async def _adopt(
    settings: Settings,
    leadership: Leadership,
    agreed: Callable[[Found], Awaitable[bool]],
    asked_by: tuple[str, str],
    progress: Progress,
) -> Answered | None:
    command = uuid4()
    async with adopting(settings, leadership, command, progress) as adoption:
        try:
            found = await adoption.find()
            if not await agreed(found):
                return None
            answered = await _answered(settings, leadership.epoch, found, command, asked_by)
        finally:
            with suppress(WorkerError):  # the next one begins with it
                await adoption.forget()
        await adoption.write_marker(found)
        return answered


async def _answered(settings: Settings, epoch: int, found: Found, command: UUID, asked_by: tuple[str, str]) -> Answered:
    """Record the command, and with it put into force what was found."""
    told: dict[str, str | int | bool | None] = {
        "messages": sum(found.messages.values()),
        "freelancers": found.freelancers,
        "marker_seq": found.marker_seq,
        "goes_on_after": found.goes_on_after,
    }
    facts: dict[str, Fact] = {**told}
    answer = Answer("applied", "outputs-adopted", facts)
    async with _writing(settings, epoch) as (writer, store):
        await keep(settings, command, "relay-adopt", msgspec.to_builtins(found), *asked_by)
        asked = next(read_command(one) for one in await store.open_commands() if one.id == command)
        while not await writer.answer(asked, answer):
            pass
    words = explain(answer.reason, answer.outcome, Subject(), {**facts, "actor": asked_by[0], "why": asked_by[1]})
    return Answered(f"command:{command}", answer.outcome, answer.reason, words, told, by_worker=False)


async def restore_marker(settings: Settings) -> MarkerRestored:
    """Take the ledger, write the relay's marker again, and hand the ledger back.

    Raises:
        OperatorNeeded: nothing is to be restored, or it would be wrong to; the text says why.
        Transient: the database or Kafka is away, or a worker leads.
    """
    leadership = Leadership(settings.database_url, f"command:{this_process()}")
    try:
        await _acquire_beside_no_worker(leadership)
        return await restoring.restore_marker(settings, leadership)
    finally:
        await leadership.release()


async def _acquire_beside_no_worker(leadership: Leadership) -> None:
    """Take the ledger.

    Raises:
        Transient: a worker leads, or the database is away.
    """
    try:
        async with asyncio.timeout(_LEASE_SECONDS):
            await leadership.acquire()
    except TimeoutError:
        raise Transient(
            leadership.trouble or "a worker leads the ledger: stop all workers first, then run this again"
        ) from None


@asynccontextmanager
async def _writing(settings: Settings, epoch: int) -> AsyncIterator[tuple[Writer, PostgresStore]]:
    """The writer of the ledger that was taken under this epoch, and its store, for as long as they are needed."""
    store = PostgresStore(settings.database_url, this_process(), most_connections=LEAST)
    book = policies(settings)
    try:
        writer = Writer(
            store,
            epoch,
            book,
            settings.grace,
            settings.max_clock_skew,
            settings.wall_clock().now,
            lambda _committed: None,
            settings.batch_size,
        )
        await writer.open()
        await check_policies(store, writer, book)
        yield writer, store
    finally:
        await store.close()


def this_process() -> str:
    """How the ledger names who holds it: the host and the process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
