"""`connects replay log`: the plans that were ever applied."""

from rich.console import RenderableType

from worker.cli._asking import answer_from_ledger
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.plain_text import plain
from worker.queries.replay_log import PlanLog, plan_log
from worker.words.operators import SHOWN_OF_A_HASH
from worker.words.times import when


def command(*, as_json: Json = False) -> None:
    """List the plans that were ever applied in this ledger, the last one first, with when, by whom and why.

    State `open`: triggers are left, and it may be being applied. `done`: each trigger has an answer. `stopped`: it goes
    on when it is applied again. `closed`: it cannot be applied again. `undone`: all that it booked was undone.
    `connects replay status PLAN` shows what was not booked of one.

    Example: connects replay log
    """
    print_found(answer_from_ledger(lambda connection, _settings: plan_log(connection)), log_page, as_json=as_json)


def log_page(log: PlanLog) -> RenderableType:
    """Every plan, a line each."""
    if not log.plans:
        return "No plan was ever applied."
    numbers = ("booked", "deviated", "left out", "left", "undone")
    page = table("plan", "begun (UTC)", "state", "triggers", *numbers, "by", "why")
    for one in log.plans:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in one.kinds.items())
        shown = (f"{number:,}" for number in (one.booked, one.deviated, one.left_out, one.left, one.undone))
        named = (plain(one.plan[:SHOWN_OF_A_HASH]), when(one.begun_at), one.state, kinds or f"{one.triggers:,}")
        page.add_row(*named, *shown, plain(one.actor), plain(one.why))
    return page
