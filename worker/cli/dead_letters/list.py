"""`connects dead-letters list`: the last records that could not be decided."""

from typing import Annotated

import typer
from rich.console import RenderableType

from worker.cli._asking import answer_from_ledger
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.plain_text import plain
from worker.queries.dead_letters import DeadLetters, list_letters
from worker.words.times import when


def command(
    *, last: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 50, as_json: Json = False
) -> None:
    """List the last dead letters, newest first, with when each was redriven. Exit 1 if there are any.

    Example: connects dead-letters list --last 10
    """
    found = answer_from_ledger(lambda connection, _settings: list_letters(connection, last))
    print_found(found, _page, as_json=as_json)
    if found.dead_letters:
        raise typer.Exit(FOUND_SOMETHING)


def _page(letters: DeadLetters) -> RenderableType:
    if not letters.dead_letters:
        return "There are no dead letters."
    page = table("seq", "record", "code", "what is wrong", "sent", "redriven")
    for letter in letters.dead_letters:
        record = f"{letter.topic}/{letter.partition}/{letter.offset}"
        page.add_row(
            str(letter.seq),
            record,
            letter.error_code,
            plain(letter.error_detail),
            when(letter.sent_at) or "not yet",
            "" if letter.redriven is None else when(letter.redriven.at),
        )
    return page
