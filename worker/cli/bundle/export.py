"""`connects bundle export`: decisions with their proofs, in a file that is checked without the ledger."""

from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from worker.bundle.format import Bundle, Subject
from worker.bundle.postgres_source import export_ledger
from worker.bundle.writing import write_bundle
from worker.cli._asking import answer
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.cli._progress import progress_shown
from worker.cli._values import head_typed
from worker.plain_text import plain
from worker.settings import Settings
from worker.words.phrases import counted


class Exported(msgspec.Struct, frozen=True):
    """What was written, and where. `head` is the head that its proofs lead to."""

    file: str
    subject: Subject
    head: str
    through_seq: int
    decisions: int
    others: int
    batches: int


def command(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="The new file.")],
    freelancer: Annotated[str | None, typer.Option(metavar="ID", help="All decisions about this freelancer.")] = None,
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="Those on this event; of a freelancer's, all up to it.")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Those about this job.")] = None,
    since_head: Annotated[
        str | None,
        typer.Option(metavar="SIZE:HEX", help="An older head: also prove that its log is the beginning of this one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what was decided about a freelancer, an event or a job into a new file, with proofs.

    The file holds the decisions with their events and changes, the settings and policies they were decided by, other
    freelancers' decisions that won an id or a key which these name, the head of the log, the hashes that prove that
    each of these is in the log, and a page to read. `connects bundle check` needs nothing else.

    A role that may only read is enough. Exit 1 if nothing was decided about it, or the older head is another ledger's.

    Example: connects bundle export --freelancer f-1 --out f-1.bundle
    """
    asked = Subject(freelancer, event, job)
    if [freelancer, event, job].count(None) != 2:  # noqa: PLR2004 - one of the three is not None
        raise typer.BadParameter("name one of --freelancer, --event and --job")
    since = head_typed("--since-head", since_head)

    async def write(settings: Settings) -> Bundle:
        async with aclosing(export_ledger(settings.database_url, asked, since, progress_shown())) as lines:
            return await write_bundle(out, lines)

    bundle = answer(write)
    if as_json:
        counts = (bundle.decisions, bundle.others, bundle.batches)
        print_json(Exported(str(out), bundle.subject, bundle.head, bundle.through_seq, *counts))
    else:
        what = f"{counted(bundle.decisions, 'decision')} about {bundle.subject}"
        typer.echo(plain(f"{out}: {what}, up to decision {bundle.through_seq}, at head {bundle.head}"))
