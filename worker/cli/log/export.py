"""`connects log export`: all decisions as JSON lines, for a data warehouse."""

from contextlib import aclosing
from typing import Annotated

import msgspec
import typer

from schemas.fields import LARGEST_BIGINT
from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._lines import STANDARD_OUTPUT, lines_to, say_of
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.cli._progress import progress_shown, until_interrupted
from worker.queries.asking import connected
from worker.queries.log_export import exported
from worker.settings import Settings
from worker.words.phrases import counted


class LogExported(msgspec.Struct):
    """How many decisions were written, the seq to go on with, and whether Ctrl-C stopped it before its end."""

    out: str
    decisions: int
    next_seq: int
    stopped: bool = False


def command(
    *,
    first: Annotated[
        int, typer.Option("--from", metavar="SEQ", min=1, max=LARGEST_BIGINT, help="The first decision. Default: 1.")
    ] = 1,
    last: Annotated[
        int | None,
        typer.Option("--to", metavar="SEQ", min=1, max=LARGEST_BIGINT, help="The last one. Default: the ledger's."),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="A new file, or - for standard output.")
    ] = STANDARD_OUTPUT,
    as_json: Json = False,
) -> None:
    """Write decisions as JSON lines in ledger order, each as in `connects explain --json`, with its changes.

    What is written is final. Ctrl-C stops it after whole lines, with exit 1, and says with which --from it goes on; so
    does a later export of what came since. Where nothing came, nothing is written and no file is made. With --out FILE,
    --json prints how many there were and the next seq.

    Example: connects log export --from 120001 --out decisions.jsonl
    """
    if last is not None and last < first:
        raise typer.BadParameter(f"nothing is between --from {first} and --to {last}: the first has to be smaller")
    if as_json and out == STANDARD_OUTPUT:
        raise typer.BadParameter("--json prints a summary, and without --out FILE the lines: name a file")
    found = answer(lambda settings: _export(settings, first, last, out))
    if as_json:
        print_json(found)
    else:
        stopped = "stopped; " if found.stopped else ""
        say_of(out, f"{stopped}{counted(found.decisions, 'decision')} written; --from {found.next_seq} goes on")
    if found.stopped:
        raise typer.Exit(FOUND_SOMETHING)


async def _export(settings: Settings, first: int, last: int | None, out: str) -> LogExported:
    found, progress, encode = LogExported(out, 0, first), progress_shown(), msgspec.json.Encoder().encode
    stopping = until_interrupted()
    async with connected(settings.database_url) as connection:
        with lines_to(out) as write:
            async with aclosing(exported(connection, first, last)) as pages:
                async for page in pages:
                    if not found.decisions:
                        progress.begin("decisions", page.end - first + 1)
                    write(b"".join(encode(decision) + b"\n" for decision in page.decisions))
                    found.decisions += len(page.decisions)
                    found.next_seq = page.decisions[-1].seq + 1
                    progress.advance(len(page.decisions))
                    if stopping.is_set() and found.next_seq <= page.end:
                        found.stopped = True
                        break
    return found
