"""`connects schemas export`: the contract's files."""

from pathlib import Path
from typing import Annotated, Final

import typer

from schemas.export import export
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.words.catalogue import event_catalogue

_FOLDER: Final = Path("schemas/json")


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False)] = _FOLDER,
    *,
    catalogue: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the event catalogue, too, as Markdown."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one JSON Schema for each topic.

    Example: connects schemas export ./contract
    """
    written = [str(path) for path in export(folder)]
    if catalogue is not None:
        catalogue.write_text(event_catalogue(), encoding="utf-8")
        written.append(str(catalogue))
    if as_json:
        print_json({"written": written})
        return
    for path in written:
        typer.echo(path)
