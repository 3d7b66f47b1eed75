"""`connects bundle check`: whether a bundle is what was exported, without the ledger, Kafka or any network."""

from pathlib import Path
from typing import Annotated

import typer

from worker.bundle.check import check
from worker.bundle.heads import is_head
from worker.bundle.result import Checked
from worker.cli._errors import FOUND_SOMETHING, refusals
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.cli._progress import progress_shown
from worker.plain_text import plain
from worker.words.phrases import counted


def command(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `connects bundle export` wrote.")],
    head: Annotated[
        str | None, typer.Option(metavar="HEAD", help="A head that you trust, SIZE:HEX or HEX, to compare with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bundle: no byte was changed, every decision is in the log at its head, none is left out in the middle.

    A freelancer's decisions are decided again by the rules of this release; if another release decided them, a
    difference is a remark. Of a job only the proofs are checked. Needs no ledger, no Kafka, no network and no settings.

    --head takes the head of the bundle, or the older one that it was exported with (--since-head).

    Exit 1 if something is found; exit 2 if the file is not a bundle.

    Example: connects bundle check f-1.bundle --head 1204:5f0c...
    """
    if head is not None and not is_head(head):
        raise typer.BadParameter("--head: a head is SIZE:HEX, as `connects verify --head` prints it, or the HEX alone")
    checked = Checked()
    with refusals():
        checked = check(file, head, progress_shown())
    if as_json:
        print_json(checked)
    else:
        _print(checked)
    if checked.count:
        raise typer.Exit(FOUND_SOMETHING)


def _print(checked: Checked) -> None:
    for found in checked.findings:
        typer.echo(plain(f"{found.place}: {found.detail}"))
    for remark in checked.remarks:
        typer.echo(plain(remark))
    if checked.count:
        typer.echo(f"{counted(checked.count, 'finding')}.")
        return
    same = f"{checked.decided_again - checked.decided_otherwise}"
    of_all = f" of {checked.decided_again}" if checked.decided_otherwise else ""
    again = f", and {same}{of_all} were decided again the same" if checked.decided_again else ""
    what = f"{checked.proved} of {counted(checked.decisions, 'decision')} about {checked.subject}"
    typer.echo(plain(f"{what} are in the log at head {checked.head}{again}."))
