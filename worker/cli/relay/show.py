"""`connects relay show`: what was published."""

import typer

from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import mapping_page, print_found
from worker.queries.relay import show_relay


def command(*, as_json: Json = False) -> None:
    """Compare the ledger with Kafka's marker of what was published. Exit 1 if they contradict each other.

    Example: connects relay show --json
    """
    found = answer(show_relay)
    print_found(found, mapping_page, as_json=as_json)
    if not found["consistent"]:
        raise typer.Exit(FOUND_SOMETHING)
