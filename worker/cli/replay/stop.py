"""`connects replay stop`: take no further chunk of a plan."""

from typing import Annotated

import typer

from worker.cli._asking import answer_from_ledger
from worker.cli._changes import change
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli.replay._plans import find_plan


def command(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan's file, its hash, or the beginning of its hash.")],
    *,
    why: Why,
    close: Annotated[bool, typer.Option("--close", help="For good: it cannot be applied again.")] = False,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Stop a plan: no further chunk of it is decided, wherever it is being applied. What was booked stays.

    It goes on when it is applied again, unless --close is added.

    Example: connects replay stop hour.plan --why "too many deviate"
    """
    require_reason(why)
    found = answer_from_ledger(lambda connection, _settings: find_plan(connection, plan))
    change("replay-stop", {"plan": found.plan, "close": close}, why, actor, as_json=as_json)
