"""`connects relay adopt`: go on after the database was restored from a backup."""

from typing import Annotated, Final

import typer

from worker.cli._agreeing import agreed as agreed_to
from worker.cli._asking import answer
from worker.cli._changes import who
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli._output import print_found
from worker.cli._progress import progress_shown
from worker.offline import adopt
from worker.plain_text import plain
from worker.queries.adopt import Found
from worker.queries.commands import Answered
from worker.settings import Settings

_NOBODY_ASKED: Final = "nothing was changed: add --yes to adopt this, as nobody can be asked here"


def command(
    *,
    why: Why,
    yes: Annotated[bool, typer.Option("--yes", help="Adopt what was found without asking.")] = False,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Go on after the database was restored from a backup: nothing that was published is published again.

    It reads the output topics to their ends and remembers what this ledger has published and no longer knows. The next
    worker decides again from the restored positions: what is the same as before is held back, and at the first change
    that differs it stops and names the wallet. Stop all workers first. It shows what it found, and asks before it
    changes anything. Interrupted, it is run again.

    Exit 1 if nothing is to be adopted, or if it would be a guess.

    Example: connects relay adopt --why "restored the backup of 04:00"
    """
    require_reason(why)

    async def agreed(found: Found) -> bool:
        for line in lines_of(found):
            say(line)
        return await agreed_to("Adopt this? [y/N] ", _NOBODY_ASKED, yes=yes)

    async def ask(settings: Settings) -> Answered | None:
        return await adopt(settings, agreed, who(actor), why, progress_shown())

    answered = answer(ask)
    if answered is None:
        say("Nothing was changed.")
        raise typer.Exit(FOUND_SOMETHING)
    print_found(answered, lambda one: plain(f"{one.explanation} Start a worker."), as_json=as_json)


def lines_of(found: Found) -> list[str]:
    """What was found, in words."""
    marker = "is lost" if found.marker_seq is None else f"knows the rows up to {found.marker_seq} as published"
    messages = ", ".join(f"{count} of {topic}" for topic, count in sorted(found.messages.items())) or "none"
    return [
        f"Ledger {found.ledger_id}: the marker {marker}.",
        f"Published, and not made by the restored ledger: {messages}; {found.freelancers} freelancers.",
        f"Publishing will go on after outbox row {found.goes_on_after}, with {found.pending} rows that wait.",
    ]
