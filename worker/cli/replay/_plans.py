"""What became of plans, as pages for people, and how a plan is named."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Group, RenderableType

from worker.cli._output import table
from worker.ledger.connections import Connection
from worker.plain_text import plain
from worker.queries.replays import NotBooked, PlanRecord, Plans, plan_named
from worker.repair.applying import Applied
from worker.repair.plan_file import read_plan
from worker.words.operators import SHOWN_OF_A_HASH
from worker.words.phrases import counted
from worker.words.plans import place_of
from worker.words.times import when


async def find_plan(connection: Connection, name: str) -> PlanRecord:
    """The plan that was begun, by its file, its hash, or how that begins.

    Raises:
        UsageError: it is no plan, or none that was begun.
        OSError: the file cannot be read.
    """
    return await plan_named(connection, _hash_of(Path(name)))


def _hash_of(plan: Path) -> str:
    return read_plan(plan).hash if plan.is_file() else str(plan)


def became(applied: Applied) -> str:
    """What became of the triggers so far, in a line."""
    return (
        f"{applied.asked:,} asked for: {applied.booked:,} booked, {applied.deviated:,} deviated from the plan, "
        f"{applied.left_out:,} left out; {applied.left:,} left"
    )


def how_it_ended(applied: Applied, plan: str, *, on: str = "") -> str:
    """What became of a plan that was applied, and how to go on; `on` is the option of a rehearsal."""
    parts = [f"Plan {applied.plan[:SHOWN_OF_A_HASH]}: {became(applied)}."]
    if applied.answered_before:
        booked = applied.answered_before - applied.not_booked_before
        parts.append(f"Before, {booked:,} had been booked, and {applied.not_booked_before:,} had not.")
    if applied.deviated or applied.left_out or applied.not_booked_before:
        there = ", with DATABASE_URL set to the copy," if on else ""
        parts.append(f"`connects replay status {plan}`{there} shows what was not booked, and why.")
    if applied.wrong:
        more = f" ({len(applied.wrong) - 1:,} more like it)" if len(applied.wrong) > 1 else ""
        parts.append(
            f"Stopped, because something is wrong with what was touched up to trigger {applied.through:,}: "
            f"{applied.wrong[0]}{more}. Nothing more is booked. See `connects verify`, and mend the cause; then apply "
            "the plan again: it goes on."
        )
    elif applied.stopped == "too-many-deviations":
        parts.append(
            "Stopped, because too many deviate: the ledger went on since the plan was made. Make a new plan of what is "
            "left, or raise --most-deviations."
        )
    elif applied.deviated and not applied.left:
        parts.append("The ledger went on since the plan was made: make a new plan for what deviated.")
    elif applied.left:
        parts.append(f"To go on: connects replay apply {plan}, with the same options.")
    return plain(" ".join(parts))


def nothing_to_apply(plan: str) -> str:
    """That a plan has no triggers."""
    return plain(f"Nothing to apply: {plan} has no triggers. Nothing was changed, and the plan was not begun.")


def plans_page(plans: Plans) -> RenderableType:
    """Every plan, and what was not booked of it."""
    if not plans.plans:
        return "No plan was begun."
    return Group(*_parts(plans))


def _parts(plans: Plans) -> Iterator[RenderableType]:
    for one in plans.plans:
        yield plain(
            f"{one.plan}: {one.state}, begun {when(one.begun_at)} UTC by {one.actor} ({one.why}); of "
            f"{counted(one.triggers, 'trigger')} {one.booked:,} booked, {one.deviated:,} deviated, "
            f"{one.left_out:,} left out, {one.left:,} left"
        )
        if one.stopped_because is not None:
            yield plain(f"stopped by {one.stopped_by}: {one.stopped_because}")
        if one.not_booked:
            yield not_booked_table(one.not_booked)
            if (more := one.deviated + one.left_out - len(one.not_booked)) > 0:
                yield f"and {more:,} more"


def not_booked_table(triggers: Iterable[NotBooked]) -> RenderableType:
    """Triggers that were not booked, each with where it was found and why."""
    page = table("trigger", "event", "found in", "not booked, because", "")
    for one in triggers:
        place = place_of(one.source, one.line)
        why = f"{one.outcome}: {one.reason}"
        page.add_row(
            f"{one.number}, {one.kind}",
            plain(f"{one.topic}/{one.event_id}"),
            plain(place),
            plain(why),
            plain(one.detail or ""),
        )
    return page
