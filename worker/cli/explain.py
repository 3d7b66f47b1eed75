"""`connects explain`: what was decided about an event, a job, a proposal or a freelancer, and why; standing answers."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from schemas.catalogue import INPUT_TOPICS
from worker.cli._asking import answer_from_ledger
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import LAST_SHOWN, Json
from worker.cli._output import pairs, print_page
from worker.cli._replies import print_reply_as_json, reply_page
from worker.cli.answer import show_answer
from worker.ledger.connections import Connection
from worker.plain_text import plain
from worker.proof.explained_again import AllAbout, decide_again
from worker.queries.awaiting import what_holds_back
from worker.queries.explained import DecidedAgain, Explanation
from worker.queries.policies import policies
from worker.queries.questions import Grounds, answered
from worker.replies.known import Asked
from worker.replies.recorded import DecisionRecord
from worker.replies.reply import Reply
from worker.settings import Settings
from worker.words.phrases import counted
from worker.words.times import lasting, when

_STYLES: Final = {"applied": "green", "declined": "yellow", "withheld": "yellow", "rejected": "red", "parked": "red"}
"""By outcome."""
_ASKED: Final[Mapping[str, Asked]] = {
    "EVENT_ID": "event",
    "--job": "job",
    "--proposal": "proposal",
    "--freelancer": "freelancer",
}


def command(
    event_id: Annotated[str | None, typer.Argument(metavar="EVENT_ID", help="An event's id; of all topics.")] = None,
    *,
    job: Annotated[str | None, typer.Option(help="All about a job.")] = None,
    proposal: Annotated[str | None, typer.Option(help="All about a proposal.")] = None,
    freelancer: Annotated[str | None, typer.Option(help="All about a freelancer.")] = None,
    about: Annotated[
        str | None,
        typer.Option(help="The rule behind a question, as `connects answer` prints it; also with --freelancer."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic's event of that id.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also decide it again by this release; exit 1 if any of it differs.")
    ] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Also the decisions behind the reply: records, lots, facts, versions.")
    ] = False,
    last: Annotated[
        int | None, typer.Option(min=1, help="How many decisions to show, with --details. Default: 40; in JSON all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer what became of Connects and why, in words to paste. Exit 1 if nothing is known.

    First the reply to the freelancer; then answers for when they object, and what is for the agent only.

    The clock's decisions have ids of their own: cycle:FREELANCER:DAY, renewal:FREELANCER:DAY and expiry:LOT.

    With --again each decision is taken again by this release, on that day's state, input and policy.

    Example: connects explain --proposal p-1
    """
    if about is not None and (event_id, job, proposal) == (None, None, None):
        show_answer(about, freelancer, called="connects explain --about", as_json=as_json)
        return
    given = {"EVENT_ID": event_id, "--job": job, "--proposal": proposal, "--freelancer": freelancer, "--about": about}
    what, key = _the_one(given)
    _require_known(topic, event_id)
    shown = None if as_json else last or LAST_SHOWN
    found = answer_from_ledger(partial(_explained, what=what, key=key, topic=topic, again=again, last=shown))
    _show(*found, last or LAST_SHOWN, details=details or again or last is not None, as_json=as_json)


def _the_one(given: dict[str, str | None]) -> tuple[str, str]:
    """What is asked about, and its id."""
    named = [(name, value) for name, value in given.items() if value is not None]
    if len(named) == 1:
        return named[0]
    *names, name = given
    too_many = f", not {' and '.join(which for which, _ in named)}" if named else ""
    raise typer.BadParameter(f"give one of {', '.join(names)} or {name}{too_many}")


def _require_known(topic: str | None, event_id: str | None) -> None:
    if topic is None:
        return
    if event_id is None:
        raise typer.BadParameter("--topic goes with an EVENT_ID")
    if topic not in INPUT_TOPICS:
        raise typer.BadParameter(f"--topic is one of {', '.join(INPUT_TOPICS)}, not {topic!r}")


async def _explained(
    connection: Connection, settings: Settings, *, what: str, key: str, topic: str | None, again: bool, last: int | None
) -> tuple[Explanation, Reply]:
    """What is asked about, and the reply; with `again` its `last` decisions (None: all) taken again by this release."""
    due_by = settings.wall_clock().now() - settings.grace
    waits_for = partial(what_holds_back, settings, connection)
    grounds = Grounds(policies(settings), settings.grace.total_seconds(), due_by, waits_for)
    found, _, reply = await answered(connection, _ASKED[what], key, grounds, topic=topic)
    if not again:
        return found, reply
    about = AllAbout(key, found.decisions) if what == "--freelancer" else None
    decided = await decide_again(connection, found.decisions[-last:] if last else found.decisions, about)
    return msgspec.structs.replace(found, again=decided), reply


def _show(found: Explanation, reply: Reply, last: int, *, details: bool, as_json: bool) -> None:
    if as_json:
        print_reply_as_json(reply, found)
    else:
        print_page(Group(reply_page(reply), *_behind(found, last, details=details)))
    if reply.verdict == "unknown" or any(one.verdict == "differs" for one in found.again or ()):
        raise typer.Exit(FOUND_SOMETHING)


def _behind(found: Explanation, last: int, *, details: bool) -> list[RenderableType]:
    """The decisions that a reply rests on, or how to see them."""
    if not found.decisions and not found.open and not found.awaited:
        return []
    if details:
        return ["", _page(found, last)]
    many = counted(len(found.decisions), "decision")
    return ["", Text(f"--details shows the {many} behind this.", style="dim")] if found.decisions else []


def _page(explanation: Explanation, last: int) -> RenderableType:
    """Each decision in words, and below it what it rests on; the `last` decisions, and what is open or awaited."""
    parts: list[RenderableType] = []
    left_out = len(explanation.decisions) - last
    again = {one.seq: _again(one) for one in explanation.again or ()}
    if left_out > 0:
        earlier = counted(left_out, "earlier decision is", "earlier decisions are")
        parts += [f"{earlier} left out here. --last {len(explanation.decisions)} shows all.", ""]
    for decision in explanation.decisions[-last:]:
        parts += [*_decision(decision), *again.get(decision.seq, ()), ""]
    for spend in explanation.open or ():
        parts += [Text(plain(spend.explanation)), Text(f"  open, {pairs(spend.subject)}", style="dim"), ""]
    for awaited in explanation.awaited or ():
        since = f"  {awaited.reason} since {when(awaited.since)}, {pairs(awaited.subject)}"
        parts += [Text(plain(awaited.explanation), style="bold"), Text(plain(since), style="dim"), ""]
    return Group(*parts[:-1])


def _again(again: DecidedAgain) -> Iterable[RenderableType]:
    """Whether this release decides the same, in words."""
    style = {"same": "green", "amended": "green", "differs": "bold red"}.get(again.verdict, "dim")
    return [Text(f"  {plain(again.explanation)}", style=style)]


def _decision(decision: DecisionRecord) -> Iterable[RenderableType]:
    yield Text(plain(decision.explanation))
    dated = when(decision.occurred_at or decision.recorded_at)
    when_and_what = [dated, decision.outcome, decision.reason, decision.rule]
    yield Text(
        "  " + ", ".join(str(part) for part in when_and_what if part),
        style=_STYLES.get(decision.outcome, "cyan"),
    )
    for change in decision.changes:
        lots = ", ".join(f"{lot.delta:+d} in lot {lot.lot_id}" for lot in change.lots)
        yield Text(
            f"  {change.freelancer_id}: {change.delta:+d} = {change.balance_after}, version {change.version}"
            + (f" ({lots})" if lots else "")
        )
    yield Text(f"  decision {decision.seq}: " + "; ".join(part for part in _grounds(decision) if part), style="dim")


def _grounds(decision: DecisionRecord) -> Iterable[str]:
    """What a decision rests on."""
    yield from (_source(decision), pairs(decision.subject), pairs(decision.facts))
    if decision.policy_version is not None:
        yield f"policy {decision.policy_version}"
    if decision.late_by_seconds is not None:
        yield f"late by {lasting(decision.late_by_seconds)}"
    if decision.follows is not None:
        yield f"follows decision {decision.follows}"


def _source(decision: DecisionRecord) -> str:
    if decision.topic is None:
        return str(decision.event_id)
    event = "" if decision.event_id is None else f", event {decision.event_id}"
    if decision.offset is None:
        return f"{decision.kind} of {decision.topic}{event}"
    return f"{decision.kind} of {decision.topic}/{decision.partition}/{decision.offset}{event}"
