"""How dead letters are chosen and named, by the commands that take many of them."""

from typing import Annotated, Final

import typer

from schemas.catalogue import INPUT_TOPICS
from worker.cli._values import instant, require_one_of, require_order
from worker.ledger.connections import Connection
from worker.plain_text import plain
from worker.queries.dead_letters import Redriven, letters_by_cause
from worker.queries.letters_export import LettersQuery
from worker.words.operators import SHOWN_OF_A_HASH
from worker.words.times import when

Causes = Annotated[
    list[str] | None,
    typer.Option("--cause", "--error-code", metavar="CODE", help="Why it was rejected, as listed. Repeatable."),
]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="T", help="The input topic, by its name in the contract. Repeatable."),
]
RejectedFrom = Annotated[
    str | None, typer.Option("--from", metavar="T", help="Rejected then or later, by the wall clock.")
]
RejectedTo = Annotated[str | None, typer.Option("--to", metavar="T", help="Rejected before then.")]
_MOST_CAUSES: Final = 10


def letters_query(
    causes: list[str] | None, topics: list[str] | None, rejected_from: str | None, rejected_to: str | None
) -> LettersQuery:
    """The letters that these options name.

    Raises:
        typer.BadParameter: there is no such topic, or no such time.
    """
    for name in topics or ():
        require_one_of("--topic", name, tuple(INPUT_TOPICS))
    since, until = instant("--from", rejected_from), instant("--to", rejected_to)
    require_order("--from", since, "--to", until)
    return LettersQuery(tuple(causes or ()), tuple(topics or ()), since, until)


async def none_matches(connection: Connection) -> str:
    """That no letter was found, and which there are."""
    causes = [f"{one.error_code} on {one.topic}" for one in await letters_by_cause(connection, _MOST_CAUSES)]
    return plain(f"no dead letter matches; there are {', '.join(causes)}") if causes else "there are no dead letters"


def redriven_in_words(one: Redriven) -> str:
    """When, by whom and why a letter was redriven, and where to read what came of it."""
    undone = ", and that was undone" if one.is_undone else ""
    return (
        f"redriven {when(one.at)} UTC by {one.by} ({one.why}): decision {one.seq}, plan "
        f"{one.plan[:SHOWN_OF_A_HASH]}{undone}"
    )
