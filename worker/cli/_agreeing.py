"""Asking the person at the terminal whether to go on, while the process does other work."""

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import typer

from worker.errors import UsageError


async def agreed(question: str, otherwise: str, *, yes: bool) -> bool:
    """Whether to go on: because of --yes, or because the person at the terminal says so.

    Raises:
        UsageError: nobody can be asked here; its text is `otherwise`.
    """
    if yes:
        return True
    if not (sys.stdin is not None and sys.stdin.isatty()):
        raise UsageError(otherwise)
    return await asked(question)


async def asked(question: str, read: Callable[[], str] = input) -> bool:
    """Ask the person at the terminal, while the lease is renewed; an end of input is a no."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str] = loop.create_future()
    typer.echo(question, nl=False, err=True)

    def take(line: str) -> None:
        if not answered.done():
            answered.set_result(line)

    def wait() -> None:
        line = ""
        with suppress(EOFError, OSError):
            line = read()
        with suppress(RuntimeError):  # the command was ended meanwhile
            loop.call_soon_threadsafe(take, line)

    threading.Thread(target=wait, daemon=True).start()  # nothing can end a read: the process does not wait for it
    return (await answered).strip().lower() in {"y", "yes"}
