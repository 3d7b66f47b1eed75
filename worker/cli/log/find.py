"""`connects log find`: the decisions that match what is known of them."""

from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from schemas.catalogue import INPUT_TOPICS
from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Json
from worker.cli._values import amounts, instant, offsets, require_one_of, require_order
from worker.cli.log._found import print_found, write_selection
from worker.domain.decisions import Kind, Outcome
from worker.kafka.records import LARGEST_PARTITION
from worker.queries.log_query import LogQuery
from worker.settings import Settings

_FORMATS: Final = ("table", "csv", "jsonl")
_TABLE_LIMIT: Final = 100
_LARGEST: Final = 2**63 - 1


def command(
    *,
    rule: Annotated[
        list[str] | None, typer.Option(help="A rule, of the decision or one of its changes. Repeatable.")
    ] = None,
    reason: Annotated[list[str] | None, typer.Option(help="A reason code, likewise. Repeatable.")] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="applied, declined, rejected, ... Repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="first, follow-up, settlement, ... Repeatable.")] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="The input topic, by its name in the contract. Repeatable.")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, max=LARGEST_PARTITION, help="The partition.")] = None,
    offset: Annotated[
        str | None, typer.Option("--offsets", metavar="A..B", help="Offsets of one --topic, both included; or one.")
    ] = None,
    occurred_from: Annotated[str | None, typer.Option(metavar="T", help="Took effect then or later.")] = None,
    occurred_to: Annotated[str | None, typer.Option(metavar="T", help="Took effect before then.")] = None,
    recorded_from: Annotated[
        str | None, typer.Option(metavar="T", help="Decided then or later, by the wall clock.")
    ] = None,
    recorded_to: Annotated[str | None, typer.Option(metavar="T", help="Decided before then.")] = None,
    amount: Annotated[
        str | None, typer.Option(metavar="N", help='Connects of one of its changes: ">0", -3, 10..20; 0: it has none.')
    ] = None,
    freelancer: Annotated[str | None, typer.Option(help="Names this freelancer, or changed their wallet.")] = None,
    job: Annotated[str | None, typer.Option(help="About this job.")] = None,
    proposal: Annotated[str | None, typer.Option(help="About this proposal.")] = None,
    release: Annotated[
        list[str] | None,
        typer.Option(metavar="R", help="The release that decided, as `connects log releases` names it. Repeatable."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=_LARGEST, help="How many. Default: 100 in a table, else all.")
    ] = None,
    as_what: Annotated[str | None, typer.Option("--format", help="table (default), csv or jsonl.")] = None,
    selection: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the decisions to a new file, for other commands."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the decisions that match all options, in ledger order. Exit 1 if none does.

    Times need a zone: 2026-03-14T09:00:00Z. --json is --format jsonl: one object a line.

    Example: connects log find --rule grant.interview --recorded-from 2026-03-14T09:00:00Z --amount ">0"
    """
    taken, moved = offsets("--offsets", offset), amounts("--amount", amount)
    query = LogQuery(
        rules=tuple(rule or ()),
        reasons=tuple(reason or ()),
        outcomes=tuple(outcome or ()),
        kinds=tuple(kind or ()),
        topics=tuple(topic or ()),
        partition=partition,
        least_offset=None if taken is None else taken.least,
        most_offset=None if taken is None else taken.most,
        occurred_from=instant("--occurred-from", occurred_from),
        occurred_to=instant("--occurred-to", occurred_to),
        recorded_from=instant("--recorded-from", recorded_from),
        recorded_to=instant("--recorded-to", recorded_to),
        least_amount=None if moved is None else moved.least,
        most_amount=None if moved is None else moved.most,
        freelancer_id=freelancer,
        job_id=job,
        proposal_id=proposal,
        releases=tuple(release or ()),
    )
    _require_known(query)
    require_order("--occurred-from", query.occurred_from, "--occurred-to", query.occurred_to)
    require_order("--recorded-from", query.recorded_from, "--recorded-to", query.recorded_to)
    style = _format(as_what, as_json=as_json, selects=selection is not None)
    if limit is None and style == "table" and selection is None:
        limit = _TABLE_LIMIT

    async def ask(settings: Settings) -> int:
        if selection is None:
            return await print_found(settings.database_url, query, style, limit)
        return await write_selection(settings.database_url, query, selection, limit)

    if not answer(ask):
        say("no decision matches")
        raise typer.Exit(FOUND_SOMETHING)


def _require_known(query: LogQuery) -> None:
    """Refuse names that no decision can have. Rules and reasons of earlier releases are not known here."""
    for option, given, known in (
        ("--outcome", query.outcomes, get_args(Outcome)),
        ("--kind", query.kinds, get_args(Kind)),
        ("--topic", query.topics, tuple(INPUT_TOPICS)),
    ):
        for name in given:
            require_one_of(option, name, known)
    if query.least_offset is not None and len(query.topics) != 1:
        raise typer.BadParameter("--offsets goes with one --topic: each topic counts its own")


def _format(named: str | None, *, as_json: bool, selects: bool) -> str:
    """The format to print in."""
    if selects and (named is not None or as_json):
        raise typer.BadParameter("--selection writes a file of its own format: leave --format and --json out")
    require_one_of("--format", named, _FORMATS)
    if as_json and named not in {None, "jsonl"}:
        raise typer.BadParameter(f"--json is --format jsonl: leave --format {named} out")
    return "jsonl" if as_json else named or _FORMATS[0]
