"""How commands query the ledger and Kafka: with the settings, and refused in one line."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from worker.cli._errors import debugging, refusals
from worker.cli._settings import ready_settings
from worker.ledger.connections import Connection
from worker.queries.asking import snapshot
from worker.settings import Settings

Result = TypeVar("Result")


def answer(question: Callable[[Settings], Awaitable[Result]]) -> Result:
    """Ask something of the ledger or of Kafka, and refuse in one line."""
    with refusals():
        settings = ready_settings()
        silence_library_logs()

        async def ask() -> Result:
            return await question(settings)

        return asyncio.run(ask())
    raise AssertionError("refusals end the command")


def answer_from_ledger(question: Callable[[Connection, Settings], Awaitable[Result]]) -> Result:
    """Ask something of the ledger at one instant, and refuse in one line."""

    async def ask(settings: Settings) -> Result:
        async with snapshot(settings.database_url) as connection:
            return await question(connection, settings)

    return answer(ask)


def silence_library_logs() -> None:
    """Keep libraries' log lines out of an answer; what matters in them is in the line that refuses."""
    if debugging():
        return
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
