"""The process of the console: it listens until a signal stops it."""

import asyncio
import signal
from functools import partial
from typing import Final

import structlog
import uvloop

from worker.console.access import Access
from worker.console.application import served
from worker.console.desk import Desk
from worker.console.ledger import ReadOnlyLedger
from worker.console.operators import StatusWatch
from worker.domain.policy import PolicyBook
from worker.errors import OperatorNeeded, SettingsError, Transient
from worker.queries import status as statuses
from worker.settings import Settings

_log: Final = structlog.get_logger(__name__)


def run(settings: Settings, policies: PolicyBook, access: Access, host: str, port: int) -> None:
    """Serve the console until SIGTERM or SIGINT.

    Raises:
        SettingsError: the address cannot be listened on.
        UsageError: the database's address or role cannot be used.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, policies, access, host, port))


async def _serve(settings: Settings, policies: PolicyBook, access: Access, host: str, port: int) -> None:
    ledger = ReadOnlyLedger(settings.database_url)
    await _try(ledger)
    status = StatusWatch(partial(statuses.status, settings))
    desk = Desk(ledger, policies, access, settings.wall_clock(), settings.grace, status)
    server = served(desk)
    stopped = asyncio.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(which, stopped.set)
    try:
        bound = await server.start(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"--host {host} --port {port}: cannot be listened on ({reason}). Name others") from None
    _log.info("console.ready", address=f"http://{f'[{host}]' if ':' in host else host}:{bound}/")
    try:
        await stopped.wait()
    finally:
        await server.stop()
        ledger.close()


async def _try(ledger: ReadOnlyLedger) -> None:
    """Refuse to start on what only a person can correct; what may pass by itself is shown on each page meanwhile."""
    try:
        async with ledger.snapshot():
            pass
    except (Transient, OperatorNeeded) as error:
        _log.warning("console.no_ledger", error=str(error))
