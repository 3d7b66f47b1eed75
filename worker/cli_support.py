"""What every command does the same way: settings, refusals in one line, and printing."""

import asyncio
import getpass
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from worker.cli_errors import FOUND_SOMETHING, WRONG_USE, debugging, refusals, say

__all__ = [
    "FOUND_SOMETHING",
    "WRONG_USE",
    "Actor",
    "Json",
    "Why",
    "answer",
    "print_json",
    "print_page",
    "read_settings",
    "ready_settings",
    "refusals",
    "say",
    "who",
]

if TYPE_CHECKING:
    from rich.console import RenderableType

    from worker.settings import Settings

Answer = TypeVar("Answer")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the ledger for good.")]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who asks, kept in the ledger for good. Default: the user's name here.")
]


def read_settings() -> "Settings":
    """The settings as they are set; what looks like one and is not is named on standard error.

    Raises:
        SettingsError: a setting cannot be used.
    """
    from worker.settings import Settings  # noqa: PLC0415

    settings = Settings.read()
    for line in settings.mistyped:
        say(f"connects: {line}")
    return settings


def ready_settings(given: "Settings | None" = None) -> "Settings":
    """The settings, or those given; if nobody named a Kafka and a PostgreSQL, with the embedded stack, started.

    Raises:
        SettingsError: a setting cannot be used.
        LocalStackError: the embedded stack does not start.
    """
    settings = given or read_settings()
    if not settings.embedded:
        return settings
    from worker.local.stack import LocalStack, default_folder  # noqa: PLC0415

    addresses = LocalStack(default_folder()).up(say)
    return settings.on_stack(addresses.kafka_bootstrap, addresses.database_url)


def answer(question: "Callable[[Settings], Awaitable[Answer]]") -> Answer:
    """Ask something of the ledger or of Kafka, and refuse in one line."""
    with refusals():
        settings = ready_settings()
        _say_nothing_besides()

        async def ask() -> Answer:
            return await question(settings)

        return asyncio.run(ask())
    raise AssertionError("refusals end the command")


def print_json(value: object) -> None:
    """Print a value as JSON, for programs and for people."""
    import msgspec  # noqa: PLC0415

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_page(page: "RenderableType") -> None:
    """Print a page for people."""
    from worker.operations.pages import show  # noqa: PLC0415

    show(page)


def who(actor: str | None) -> str:
    """The actor to write down."""
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _say_nothing_besides() -> None:
    """Keep libraries' log lines out of an answer; what matters in them is in the line that refuses."""
    if debugging():
        return
    import structlog  # noqa: PLC0415 - `--help` needs none of it

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
