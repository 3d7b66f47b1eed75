"""`connects policy what-if`: what another policy would have given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from worker.cli._asking import answer
from worker.cli._options import Json
from worker.cli._output import print_json, print_page, table
from worker.cli._progress import progress_shown
from worker.cli._values import instant, require_order
from worker.plain_text import plain
from worker.queries.asking import connected
from worker.queries.policies import policy_file
from worker.repair.summary import Balance
from worker.repair.what_if import WhatIf, what_if
from worker.settings import Settings
from worker.words.phrases import counted


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The other policy.")],
    *,
    occurred_from: Annotated[
        str | None, typer.Option("--from", metavar="T", help="Decisions that took effect then or later.")
    ] = None,
    occurred_to: Annotated[
        str | None, typer.Option("--to", metavar="T", help="Decisions that took effect before then.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what another policy file would have given: totals by rule, and the wallets that gain and lose.

    Every decision is decided again, by the versions of FILE, on the recorded state before it: what one decision would
    have changed for the next is not counted. Nothing is changed; a role that may only read is enough. The whole ledger
    is read, some thousand decisions a second.

    Example: connects policy what-if new.toml --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z
    """
    since, until = instant("--from", occurred_from), instant("--to", occurred_to)
    require_order("--from", since, "--to", until)

    async def ask(settings: Settings) -> WhatIf:
        book = policy_file(file)
        async with connected(settings.database_url) as connection:
            return await what_if(connection, book, since, until, progress_shown())

    found = answer(ask)
    if as_json:
        print_json(found)
    else:
        print_page(_page(found))


def _page(found: WhatIf) -> RenderableType:
    return Group(*_parts(found))


def _parts(found: WhatIf) -> Iterator[RenderableType]:
    yield (
        f"Of {counted(found.decisions, 'decision')}, {found.differ:,} would have another amount: "
        f"{found.given:,} Connects more given, {found.taken:,} more taken. "
        f"{counted(found.wallets_gaining, 'wallet')} would gain, {found.wallets_losing:,} would lose."
    )
    if found.booked:
        page = table("Rule", "decisions", "given", "taken")
        for one in found.booked:
            page.add_row(plain(one.rule), f"{one.changes:,}", f"{one.given:,}", f"{one.taken:,}")
        yield page
    yield from _wallets("Gain most", found.gain_most)
    yield from _wallets("Lose most", found.lose_most)
    if found.not_compared:
        yield f"Not compared: {counted(found.not_compared, 'decision')} that cannot be decided again."


def _wallets(heading: str, balances: list[Balance]) -> Iterator[RenderableType]:
    if balances:
        page = table(heading, "got", "would have got", "difference")
        for one in balances:
            page.add_row(plain(one.freelancer_id), f"{one.before:,}", f"{one.after:,}", f"{one.difference:+,}")
        yield page
