"""What every command does the same way: settings, refusals in one line, and printing."""

import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from typer.exceptions import TyperException

if TYPE_CHECKING:
    from rich.console import RenderableType

    from worker.settings import Settings

Answer = TypeVar("Answer")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the ledger for good.")]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who asks, kept in the ledger for good. Default: the user's name here.")
]

FOUND_SOMETHING = 1
WRONG_USE = 2


@contextmanager
def refusals() -> Iterator[None]:
    """End the command with one line when it cannot do as asked: exit 2 for wrong use, else 1; never a traceback.

    LOG_LEVEL=debug, or --debug, shows the traceback besides.
    """
    from worker.errors import UsageError, WorkerError  # noqa: PLC0415 - `--help` needs none of it
    from worker.local.errors import LocalStackError  # noqa: PLC0415
    from worker.settings import SettingsError  # noqa: PLC0415

    try:
        yield
    except (typer.Exit, typer.Abort, TyperException):
        raise
    except (SettingsError, UsageError) as error:
        _end(str(error), WRONG_USE)
    except (WorkerError, LocalStackError) as error:
        _end(str(error), FOUND_SOMETHING)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:  # noqa: BLE001 - a bug of ours is told in a line too
        _end(f"failed unexpectedly, {type(error).__name__}: {error} (--debug tells more)", FOUND_SOMETHING)


def ready_settings(*, quiet: bool = False) -> "Settings":
    """The settings; if nobody named a Kafka and a PostgreSQL, those of the embedded stack, which is started.

    Raises:
        SettingsError: a setting cannot be used.
        LocalStackError: the embedded stack does not start.
    """
    from worker.settings import Settings  # noqa: PLC0415

    settings = Settings.read()
    if not settings.embedded:
        return settings
    from worker.local.stack import LocalStack, default_folder  # noqa: PLC0415

    stack = LocalStack(default_folder())
    addresses = stack.up((lambda _: None) if quiet else (lambda line: typer.echo(line, err=True)))
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


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("LOG_LEVEL", "").lower() == "debug"


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


def _end(words: str, code: int) -> None:
    if debugging():
        sys.excepthook(*sys.exc_info())  # called where an exception is handled
    typer.echo(f"connects: {words}", err=True)
    raise typer.Exit(code) from None
