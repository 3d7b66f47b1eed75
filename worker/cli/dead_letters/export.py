"""`connects dead-letters export`: rejected records as lines to mend, and to add again by a plan."""

from contextlib import aclosing
from typing import Annotated

import msgspec
import typer

from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._lines import STANDARD_OUTPUT, lines_to, say_of
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.cli.dead_letters._letters import Causes, RejectedFrom, RejectedTo, Topics, letters_query, none_matches
from worker.pace import Pace
from worker.queries.asking import connected
from worker.queries.letters_export import LettersQuery, letter_lines
from worker.settings import Settings
from worker.words.phrases import counted


class Exported(msgspec.Struct):
    """How many letters were written, and how many of them are no JSON object, and so can be no event."""

    out: str
    letters: int = 0
    not_json: int = 0


def command(
    *,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The new file, or - for standard output.")],
    cause: Causes = None,
    topic: Topics = None,
    rejected_from: RejectedFrom = None,
    rejected_to: RejectedTo = None,
    as_json: Json = False,
) -> None:
    """Write dead letters as JSON lines, in ledger order, to be mended and added by `connects replay plan --add`.

    Each line has the `topic`, the `value` and, in `dead_letter`, why it was rejected; --add reads the first two. What
    is no JSON object is in base64, as `value_base64`, and --add refuses it by name. Changes nothing. Exit 1 if no
    letter matches, and then no file is made. --json prints how many there are.

    Example: connects dead-letters export --cause invalid-event --from 2026-03-14T09:00:00Z --out hour.jsonl
    """
    query = letters_query(cause, topic, rejected_from, rejected_to)
    if as_json and out == STANDARD_OUTPUT:
        raise typer.BadParameter("--json prints a summary, and --out - the lines: name a file, or leave --json out")
    found = answer(lambda settings: _export(settings, query, out))
    if as_json:
        print_json(found)
    elif found.letters:
        summary = f"{out}: {counted(found.letters, 'dead letter')}"
        say_of(out, f"{summary}, {found.not_json:,} of them no JSON object" if found.not_json else summary)
    if not found.letters:
        raise typer.Exit(FOUND_SOMETHING)


async def _export(settings: Settings, query: LettersQuery, out: str) -> Exported:
    exported, pace = Exported(out), Pace()
    async with connected(settings.database_url) as connection:
        with lines_to(out) as write:
            async with aclosing(letter_lines(connection, query)) as pages:
                async for page in pages:
                    write(b"".join(line.line for line in page))
                    exported.letters += len(page)
                    exported.not_json += sum(not line.is_event for line in page)
                    if pace.is_due():
                        say(f"{counted(exported.letters, 'dead letter')} written so far")
        if not exported.letters:
            say(await none_matches(connection))
    return exported
