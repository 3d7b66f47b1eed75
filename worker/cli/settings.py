"""`connects settings`: what is set, without its secrets."""

import typer

from worker.cli._errors import FOUND_SOMETHING, refusals
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.cli._settings import read_settings


def command(*, as_json: Json = False) -> None:
    """Print every setting, secrets masked; exit 1 if a CONNECTS_* variable, or a line of .env, is not a known setting.

    Example: connects settings --json
    """
    with refusals():
        found = read_settings()
        found.kafka_kwargs()  # a file of certificates that cannot be used is refused here as everywhere
        shown = found.shown()
    if as_json:
        print_json({"settings": shown, "unknown": found.unknown})
    else:
        for name, value in shown.items():
            typer.echo(f"{name}={value}")
    if found.mistyped:
        raise typer.Exit(FOUND_SOMETHING)
