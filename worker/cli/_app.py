"""The command itself: its two options, and how it is called as a program."""

import os
import sys
import warnings
from typing import Annotated

import typer

from worker.cli._errors import WRONG_USE, say, show_warning
from worker.cli._root import RootGroup
from worker.release import release
from worker.terminal import show_in_any_encoding

app = typer.Typer(
    name="connects",
    cls=RootGroup,
    help="The Connects ledger: marketplace events in, wallets in PostgreSQL, wallet-updated out, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # it would print local variables, secrets among them
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - called by the option
    if asked:
        typer.echo(f"connects-worker {release()}")
        raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything; show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the release and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Read the options of all commands."""
    if debug:
        os.environ["LOG_LEVEL"] = "debug"


def main() -> None:
    """Run the command that was typed; what is not text is wrong use of any command, for no id or option holds it."""
    warnings.showwarning = show_warning
    show_in_any_encoding()
    for argument in sys.argv[1:]:
        if not _is_text(argument):
            shown = repr(os.fsencode(argument))[1:]
            say(f"connects: the argument {shown} is not UTF-8 text. Ids, options and folders are.")
            sys.exit(WRONG_USE)
    app(prog_name="connects")


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # bytes that the system could not decode
        return False
    return True
