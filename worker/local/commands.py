"""`connects local`: the embedded stack by hand."""

import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from worker.cli_errors import refusals, say
from worker.local.stack import LocalStack, StackAddresses, default_folder

app = typer.Typer(
    help="A real Kafka and a real PostgreSQL on 127.0.0.1, without containers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _named_folder(name: str) -> Path:
    """The folder of that name. An empty one, as of a variable that is not set, would be the working directory."""
    if not name:
        raise typer.BadParameter("the name is empty")
    with suppress(OSError):  # a name that the system does not take is refused by the stack, in words
        if Path(name).is_file():
            raise typer.BadParameter(f"{name} is a file, not a folder")
    return Path(name)


_Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        parser=_named_folder,
        help="The folder of all its data, ports and logs. Default: a folder in the user's cache.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def up(folder: _Folder = None, *, as_json: _Json = False) -> None:
    """Start both unless they run, and print the two settings for a shell.

    Example: eval "$(connects local up)"
    """
    with refusals("connects local up"):
        stack = _stack(folder)
        addresses = stack.up(say)
    if as_json:
        typer.echo(json.dumps({"dir": str(stack.folder)} | _settings(addresses)))
        return
    for name, value in _settings(addresses).items():
        typer.echo(f"export {name.upper()}={shlex.quote(value)}")


@app.command()
def down(
    folder: _Folder = None,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Also remove all its data and logs.")] = False,
) -> None:
    """Stop both in order. Their data stays, unless told otherwise.

    Example: connects local down --dir ./stack --delete
    """
    with refusals("connects local down"):
        _stack(folder).down(delete=delete)


@app.command()
def status(folder: _Folder = None, *, as_json: _Json = False) -> None:
    """Say whether both run: exit 0 when they do, 1 when not.

    Example: connects local status --json
    """
    with refusals("connects local status"):
        stack = _stack(folder)
        found = stack.status()
    settings = _settings(found.addresses) if found.addresses else {}
    if as_json:
        parts = {"dir": str(stack.folder), "up": found.is_up, "kafka": found.kafka, "postgres": found.postgres}
        typer.echo(json.dumps(parts | settings))
    else:
        typer.echo(f"kafka     {found.kafka:<14} {settings.get('kafka_bootstrap_servers', '')}".rstrip())
        typer.echo(f"postgres  {found.postgres:<14} {settings.get('database_url', '')}".rstrip())
        typer.echo(f"folder    {stack.folder}")
    if not found.is_up:
        raise typer.Exit(1)


def _stack(folder: Path | None) -> LocalStack:
    return LocalStack(default_folder() if folder is None else folder)


def _settings(addresses: StackAddresses) -> dict[str, str]:
    return {"kafka_bootstrap_servers": addresses.kafka_bootstrap, "database_url": addresses.database_url}
