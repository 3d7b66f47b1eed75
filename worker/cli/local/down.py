"""`connects local down`: stop the embedded stack."""

from typing import Annotated

import typer

from worker.cli._errors import refusals
from worker.cli.local._stack import Folder, stack_in


def command(
    folder: Folder = None,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Also remove all its data and logs.")] = False,
) -> None:
    """Stop both in order. Their data stays, unless --delete is given.

    Example: connects local down --dir ./stack --delete
    """
    with refusals("connects local down"):
        stack_in(folder).down(delete=delete)
