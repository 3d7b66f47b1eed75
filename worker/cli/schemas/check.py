"""`connects schemas check`: whether the contract's files are those of this release."""

from pathlib import Path
from typing import Annotated

import typer

from schemas import export
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import print_json


def command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", file_okay=False, help="Default: what came with this release.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Compare a folder with what `export` would write. Exit 1 if it differs.

    Example: connects schemas check ./contract
    """
    folder = folder or Path(export.__file__).parent / "json"
    drift = export.check(folder)
    if as_json:
        print_json({"dir": str(folder), "differences": drift})
    else:
        for line in drift or [f"{folder} is what this release would write"]:
            typer.echo(line)
    if drift:
        raise typer.Exit(FOUND_SOMETHING)
