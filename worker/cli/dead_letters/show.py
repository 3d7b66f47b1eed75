"""`connects dead-letters show`: one record that could not be decided, whole."""

from typing import Annotated

import typer
from rich.console import RenderableType

from schemas.fields import LARGEST_BIGINT
from worker.cli._asking import answer_from_ledger
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Json
from worker.cli._output import print_found
from worker.cli.dead_letters._letters import redriven_in_words
from worker.plain_text import plain
from worker.queries.dead_letters import WholeDeadLetter, show_letter


def command(
    seq: Annotated[int, typer.Argument(metavar="SEQ", min=1, max=LARGEST_BIGINT, help="The letter's seq, as listed.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its key, headers and value, and who redrove it. Exit 1 if there is no such letter.

    Example: connects dead-letters show 1017
    """
    found = answer_from_ledger(lambda connection, _settings: show_letter(connection, seq))
    if found is None:
        say(f"there is no dead letter {seq}")
        raise typer.Exit(FOUND_SOMETHING)
    print_found(found, _page, as_json=as_json)


def _page(whole: WholeDeadLetter) -> RenderableType:
    """A dead letter with all it held."""
    letter = whole.letter
    lines = [
        f"{letter.error_code}: {plain(letter.error_detail)}",
        f"{letter.topic}, partition {letter.partition}, offset {letter.offset}",
        *([] if letter.redriven is None else [plain(redriven_in_words(letter.redriven))]),
        f"key: {'none' if whole.key is None else plain(whole.key)}",
        *(f"header {plain(name)}: {'null' if value is None else plain(value)}" for name, value in whole.headers),
        "",
        *(["no value"] if whole.value is None else map(plain, str(whole.value).split("\n"))),
    ]
    return "\n".join(lines)
