"""What a command does to the ledger itself while no worker runs: it takes the lease, and hands it back in the end."""

import asyncio
import os
import socket
from typing import Final

from worker.engine.commands import CommandRunner, read_command
from worker.engine.new_policies import check_policies
from worker.engine.writer import Writer
from worker.errors import Transient
from worker.ledger.budget import LEAST
from worker.ledger.leadership import Leadership
from worker.ledger.postgres import PostgresStore
from worker.queries import restore_marker as restoring
from worker.queries.policies import policies, policy_refusals, refuse_contradiction
from worker.queries.restore_marker import MarkerRestored
from worker.settings import Settings

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
    book = policies(settings)
    await refuse_contradiction(settings, book)
    leadership = Leadership(settings.database_url, f"command:{this_process()}")
    store = PostgresStore(settings.database_url, this_process(), most_connections=LEAST)
    try:
        async with asyncio.timeout(_LEASE_SECONDS):
            epoch = await leadership.acquire()
        clock = settings.wall_clock()
        writer = Writer(
            store,
            epoch,
            book,
            settings.grace,
            settings.max_clock_skew,
            clock.now,
            lambda _committed: None,
            settings.batch_size,
        )
        await writer.open()
        await check_policies(store, writer, book)
        for asked in await store.open_commands():
            await CommandRunner(writer).run(read_command(asked))
    except TimeoutError:
        raise Transient(leadership.trouble or "another worker has just taken the ledger; ask again") from None
    finally:
        await store.close()
        await leadership.release()


async def restore_marker(settings: Settings) -> MarkerRestored:
    """Take the ledger, write the relay's marker again, and hand the ledger back.

    Raises:
        OperatorNeeded: nothing is to be restored, or it would be wrong to; the text says why.
        Transient: the database or Kafka is away, or a worker leads.
    """
    leadership = Leadership(settings.database_url, f"command:{this_process()}")
    try:
        try:
            async with asyncio.timeout(_LEASE_SECONDS):
                await leadership.acquire()
        except TimeoutError:
            raise Transient("a worker leads the ledger: stop all workers first, then run this again") from None
        return await restoring.restore_marker(settings, leadership)
    finally:
        await leadership.release()


def this_process() -> str:
    """How the ledger names who holds it: the host and the process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
