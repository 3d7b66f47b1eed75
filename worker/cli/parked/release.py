"""`connects parked release`: go on with what was stopped."""

from typing import Annotated

import typer

from worker.cli._changes import change
from worker.cli._options import Actor, Json, Why


def command(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="wallet or job.")],
    key: Annotated[str, typer.Argument(metavar="ID", help="The freelancer's or the job's id.")],
    *,
    why: Why = "released by hand",
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Decide what waits behind a stopped wallet or job, in order, now that the failure is repaired.

    Example: connects parked release wallet f-1 --why "fixed in release 1.4"
    """
    if scope not in {"wallet", "job"}:
        raise typer.BadParameter(f"SCOPE is wallet or job, not {scope!r}")
    change("parked-release", {"scope": scope, "key": key}, why, actor, as_json=as_json)
