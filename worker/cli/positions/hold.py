"""`connects positions hold`: decide nothing of a topic or a partition for now."""

from typing import Annotated

import typer

from worker.cli._changes import change
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli.positions._place import Place, arguments_of, read_place
from worker.queries.positions import require_holdable
from worker.settings import Settings


def command(
    place: Place,
    *,
    why: Why,
    let_time_go_on: Annotated[
        bool,
        typer.Option(
            "--let-time-go-on",
            help="Business time does not wait: others are settled, granted and expired, and its events come late.",
        ),
    ] = False,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Decide nothing of a topic or a partition until it is resumed. Its records stay in Kafka, all others are decided.

    It returns when the active worker has stopped reading it; without one it holds from the next worker's start on.
    Business time waits: nothing is settled, granted or expired by the clock, unless --let-time-go-on is added.

    Example: connects positions hold job-closed --why "the importer closes jobs that are open"
    """
    source = read_place(place)
    require_reason(why)

    async def require(settings: Settings) -> None:
        await require_holdable(settings, source)

    arguments = arguments_of(source) | {"let_time_go_on": let_time_go_on}
    change(
        "positions-hold",
        arguments,
        why,
        actor,
        as_json=as_json,
        require=require,
        without_worker="No worker is active: the hold is in force from the start of the next one.",
    )
