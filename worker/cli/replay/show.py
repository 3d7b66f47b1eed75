"""`connects replay show`: what a plan says, without the ledger."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from worker.cli._errors import FOUND_SOMETHING, refusals, say
from worker.cli._options import Json
from worker.cli._output import csv_line, print_json, print_page
from worker.cli.replay._pages import header_page, summary_page, wallet_page
from worker.plain_text import plain
from worker.repair.plan_file import Plan, read_plan
from worker.repair.summary import Wallet

_COLUMNS = ("freelancer", "before", "after", "sentence")


def command(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="What `connects replay plan` wrote.")],
    *,
    freelancer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this wallet, decision by decision, with the sentences.")
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print each change of a balance: freelancer, before, after, sentence.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a plan brings: in numbers, for one wallet, or change by change. Needs no ledger and no settings.

    Exit 1 if the plan does not name the freelancer; exit 2 if the file is no plan, or was changed.

    Example: connects replay show hour.plan --freelancer f-1
    """
    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    with refusals():
        _show(read_plan(plan), freelancer, as_csv=as_csv, as_json=as_json)


def _show(found: Plan, freelancer: str | None, *, as_csv: bool, as_json: bool) -> None:
    named = None if freelancer is None else _named(found, freelancer)
    if as_csv:
        typer.echo(csv_line(_COLUMNS), nl=False)
        for wallet in found.wallets() if named is None else [named]:
            typer.echo("".join(_rows(wallet)), nl=False)
    elif named is not None and as_json:
        print_json(named)
    elif named is not None:
        print_page(wallet_page(named))
    elif as_json:
        print_json({"hash": found.hash, "header": found.header} | msgspec.to_builtins(found.summary))
    else:
        typer.echo(plain(f"{found.path}: plan {found.hash}"))
        typer.echo(header_page(found.header))
        print_page(summary_page(found.summary))


def _named(found: Plan, freelancer: str) -> Wallet:
    """The wallet of a freelancer; exit 1 if the plan has none."""
    named = next((wallet for wallet in found.wallets() if wallet.freelancer_id == freelancer), None)
    if named is None:
        say(f"the plan does not name freelancer {plain(freelancer)}")
        raise typer.Exit(FOUND_SOMETHING)
    return named


def _rows(wallet: Wallet) -> list[str]:
    """A line of CSV for each change of the balance, also of what follows by the clock."""
    changes = [step for step in wallet.steps if step.delta]
    return [
        csv_line((wallet.freelancer_id, step.balance_after - step.delta, step.balance_after, plain(step.sentence)))
        for step in changes
    ]
