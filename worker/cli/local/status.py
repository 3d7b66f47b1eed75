"""`connects local status`: whether the embedded stack runs."""

import json

import typer

from worker.cli._errors import FOUND_SOMETHING, refusals
from worker.cli._options import Json
from worker.cli.local._stack import Folder, settings_of, stack_in


def command(folder: Folder = None, *, as_json: Json = False) -> None:
    """Show whether both run: exit 0 when they do, 1 when not.

    Example: connects local status --json
    """
    with refusals("connects local status"):
        stack = stack_in(folder)
        found = stack.status()
    settings = settings_of(found.addresses) if found.addresses else {}
    if as_json:
        parts = {"dir": str(stack.folder), "up": found.is_up, "kafka": found.kafka, "postgres": found.postgres}
        typer.echo(json.dumps(parts | settings))
    else:
        typer.echo(f"kafka     {found.kafka:<14} {settings.get('kafka_bootstrap_servers', '')}".rstrip())
        typer.echo(f"postgres  {found.postgres:<14} {settings.get('database_url', '')}".rstrip())
        typer.echo(f"folder    {stack.folder}")
    if not found.is_up:
        raise typer.Exit(FOUND_SOMETHING)
