"""`connects local up`: start the embedded stack."""

import json
import shlex

import typer

from worker.cli._errors import refusals, say
from worker.cli._options import Json
from worker.cli.local._stack import Folder, settings_of, stack_in


def command(folder: Folder = None, *, as_json: Json = False) -> None:
    """Start both unless they run, and print the two settings for a shell.

    Example: eval "$(connects local up)"
    """
    with refusals("connects local up"):
        stack = stack_in(folder)
        settings = settings_of(stack.up(say))
    if as_json:
        typer.echo(json.dumps({"dir": str(stack.folder)} | settings))
        return
    for name, value in settings.items():
        typer.echo(f"export {name.upper()}={shlex.quote(value)}")
