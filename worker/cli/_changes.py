"""How commands ask the one writer to change the ledger."""

import getpass
from collections.abc import Awaitable, Callable

import msgspec
import typer
from rich.console import RenderableType

from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._output import print_found
from worker.offline import execute_pending_commands
from worker.plain_text import plain
from worker.queries import commands
from worker.queries.commands import Answered
from worker.settings import Settings


async def _require_nothing(_settings: Settings) -> None:
    pass


def change(
    name: str,
    arguments: dict[str, object],
    why: str,
    actor: str | None,
    *,
    as_json: bool,
    require: Callable[[Settings], Awaitable[None]] = _require_nothing,
    without_worker: str = "",
) -> None:
    """Ask the one writer, unless what it `require`s refuses, and show the result. Exit 1 if it was not done.

    `without_worker` is what to add when it was done and no worker is active.
    """

    async def ask(settings: Settings) -> Answered:
        await require(settings)
        return await commands.ask(
            settings, name, arguments, actor=who(actor), why=why, execute=execute_pending_commands
        )

    answered = answer(ask)
    if without_worker and answered.done and not answered.by_worker:
        answered = msgspec.structs.replace(answered, explanation=f"{answered.explanation} {without_worker}")
    print_found(answered, _page, as_json=as_json)
    if not answered.done:
        raise typer.Exit(FOUND_SOMETHING)


def _page(answered: Answered) -> RenderableType:
    return plain(answered.explanation)


def who(actor: str | None) -> str:
    """The actor to record."""
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
