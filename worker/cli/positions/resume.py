"""`connects positions resume`: go on with what is on hold."""

from worker.cli._changes import change
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli.positions._place import Place, arguments_of, read_place


def command(place: Place, *, why: Why, actor: Actor = None, as_json: Json = False) -> None:
    """Go on with what is on hold, exactly where it stopped. A topic ends the holds of its partitions also.

    Example: connects positions resume job-closed --why "the importer is repaired"
    """
    source = read_place(place)
    require_reason(why)
    change(
        "positions-resume",
        arguments_of(source),
        why,
        actor,
        as_json=as_json,
        without_worker="No worker is active: the next one reads it.",
    )
