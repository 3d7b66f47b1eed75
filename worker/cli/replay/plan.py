"""`connects replay plan`: what lost events and corrections would bring, before anything is changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from schemas.catalogue import INPUT_TOPICS
from worker.cli._asking import answer
from worker.cli._errors import say
from worker.cli._options import Json
from worker.cli._output import print_json, print_page
from worker.cli._progress import progress_shown
from worker.cli._values import instant, require_one_of, require_order, shift_of
from worker.cli.replay._archives import archive_of
from worker.cli.replay._pages import nothing_to_do, summary_page
from worker.domain.rule_catalogue import REASONS
from worker.plain_text import plain
from worker.queries.log_query import LogQuery
from worker.repair.decision_selection import FOUND
from worker.repair.making import Made, Wanted, make_plan
from worker.repair.topic_archives import SCHEME
from worker.settings import Settings


def command(
    *,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="FILE",
            help="Events that never came: JSON lines, also .gz or .zst; `-` reads standard input. Or a topic: "
            "kafka:TOPIC[/PARTITION][@FROM..TO]. Repeatable.",
        ),
    ] = None,
    settle: Annotated[
        list[str] | None,
        typer.Option(
            "--settle",
            metavar="SELECTION",
            help="Jobs to settle again: owed, late-hires, or a file of job ids or of topic/event_id, one a line, or of "
            "`connects log find` or `verify`. Repeatable.",
        ),
    ] = None,
    void: Annotated[
        list[str] | None,
        typer.Option(
            "--void",
            metavar="SELECTION",
            help="What to void: found, or a file of `connects log find`, or of topic/event_id, one a line. Repeatable.",
        ),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            "--replace",
            metavar="FILE",
            help="Events with their right content, under the ids that they came with; as for --add. Repeatable.",
        ),
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(metavar="D", help="Date the events of --shifted otherwise, by +24h or -90m: their clock was off."),
    ] = None,
    shifted: Annotated[
        list[str] | None,
        typer.Option("--shifted", metavar="SELECTION", help="With --shift: found, or a file as of --void. Repeatable."),
    ] = None,
    decide: Annotated[
        list[str] | None,
        typer.Option(
            "--decide",
            metavar="SELECTION",
            help="Whose amounts to correct: found, or a file of `connects verify` or `log find`. Repeatable.",
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="With --decide: the corrected policy to decide by."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(metavar="R", help="With --decide found: decisions under it. Repeatable.")
    ] = None,
    freelancer: Annotated[
        str | None, typer.Option(metavar="ID", help="With --decide found: the decisions of this freelancer.")
    ] = None,
    void_topic: Annotated[
        list[str] | None,
        typer.Option("--void-topic", "--shift-topic", metavar="T", help="With found: of this topic. Repeatable."),
    ] = None,
    occurred_from: Annotated[
        str | None, typer.Option("--from", metavar="T", help="With found: took effect then or later.")
    ] = None,
    occurred_to: Annotated[
        str | None, typer.Option("--to", metavar="T", help="With found: took effect before then.")
    ] = None,
    recorded_from: Annotated[
        str | None, typer.Option(metavar="T", help="With found: decided then or later, by the wall clock.")
    ] = None,
    recorded_to: Annotated[str | None, typer.Option(metavar="T", help="With found: decided before then.")] = None,
    first: Annotated[
        bool, typer.Option("--first", help="With a FILE: an event id that was sent again names the first event.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="PLAN", dir_okay=False, help="The new file for the plan.")],
    topic: Annotated[
        str | None, typer.Option(metavar="T", help="The topic of lines that name none, by its name in the contract.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are no event, instead of planning nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Decide what lost events and corrections would bring, in memory, and write that as a plan. Changes nothing else.

    Each line of FILE is an event with one more field, "topic", or {"topic": ..., "value": {...}}. Events are planned by
    their time. One that was decided before is left out; so whole days may be given where an hour was lost. What the
    clock does with the events afterwards (settlements, expiries, grants) is shown, but is not part of the plan.

    kafka:TOPIC is read up to its end of now, committed records alone. A record's header "topic" names its input topic;
    without one, TOPIC does if it is an input topic itself, or the value, as a line does. FROM and TO are instants (by
    the records' timestamps, TO not included) or, of one PARTITION, offsets (both included); one may be left out.

    --settle takes each spend of a job again by all closures, hires, withdrawals and outbids known now, and books only
    the difference to what came back. `owed` are the jobs of which `connects owed` lists a refund that no schedule will
    make, `late-hires` those on which something came back before a hire or withdrawal became known that makes it undue:
    that is taken back. Settles come after adds.

    --void takes back what a grant, a purchase, an adjustment or a proposal still does that should never have been, and
    forgets closings and hires, whose jobs are settled again; the latest first, before all else. `found` is what the
    options from --void-topic to --recorded-to find.

    --replace books what differs by the right content of events that came with a wrong one, after the voids: Connects
    given, taken, charged or returned, in one change for each event. Its id answers with the right content from then on.
    --shift D is the same for events whose time is wrong by a constant; what was replaced before is left out. A proposal
    whose time changes is settled again.

    --decide decides recorded decisions again, each on the state before it, by the rules of this release, and with
    --policy by that file's versions; where the amount is another one than what stands, the difference is booked, today.
    It comes before settles.

    A role that may only read is enough. Exit 1 if a line is no event, unless --skip-bad.

    Example: connects replay plan --add backup/2026-03-14T09.jsonl.gz --settle owed --out hour.plan
    """
    require_one_of("--topic", topic, tuple(INPUT_TOPICS))
    if not (add or settle or void or decide or replace or shift):
        raise typer.BadParameter(
            "nothing to plan: give --add FILE, --settle SELECTION, --void SELECTION, --decide SELECTION, "
            "--replace FILE or --shift D"
        )
    query = _query(void_topic, rule, freelancer, (occurred_from, occurred_to), (recorded_from, recorded_to))
    by = shift_of("--shift", shift)
    voids, decides, shifts = (FOUND in (named or ()) for named in (void, decide, shifted))
    _require_one_found({"--void": voids, "--decide": decides, "--shifted": shifts}, query)
    files, decided, moved = ([one for one in named or () if one != FOUND] for named in (void, decide, shifted))
    _require_used(
        {
            "--topic is about lines: it goes with --add FILE or --replace FILE": (
                topic is not None and not (add or replace)
            ),
            "--skip-bad is about lines: it goes with --add FILE or --replace FILE": skip_bad and not (add or replace),
            "--shift and --shifted go together: by how much, and which events": (by is None) == bool(shifted),
            "--void-topic goes with --void found": bool(void_topic) and not (voids or shifts),
            "--rule and --freelancer go with --decide found": bool(rule or freelancer) and not decides,
            "--from, --to, --recorded-from and --recorded-to go with --void found or --decide found": (
                query is not None and not (voids or decides or shifts)
            ),
            "--first is about the event ids of a file: it goes with a FILE": first and not (files or decided),
            "--policy goes with --decide SELECTION": policy is not None and not decide,
        }
    )
    if (topics := [source for source in replace or () if source.startswith(SCHEME)]) != []:
        raise typer.BadParameter(f"--replace reads files and standard input (-), and no topics: {topics[0]!r}")
    found = [query if is_found else None for is_found in (voids, decides, shifts)]
    wanted = Wanted(
        [archive_of("--add", source) for source in add or ()],
        settle or [],
        files,
        found[0],
        topic,
        out,
        skip_bad,
        first,
        replace=replace or [],
        shift=by,
        shifted=moved,
        shifted_found=found[2],
        decide=decided,
        decide_found=found[1],
        policy=policy,
    )

    async def plan(settings: Settings) -> Made:
        return await make_plan(settings, wanted, progress_shown(), _show)

    made = answer(plan)
    if made.summary.bad_lines:
        say(f"{made.summary.bad_lines:,} of {made.lines:,} lines were left out: they are no event of their topic")
    if as_json:
        print_json({"hash": made.hash} | msgspec.to_builtins(made.summary))
        return
    if not sum(made.summary.triggers.values()):
        typer.echo(plain(nothing_to_do(made, wanted)))
    typer.echo(plain(f"{out}: plan {made.hash}"))
    print_page(summary_page(made.summary))


def _require_one_found(found: Mapping[str, bool], query: LogQuery | None) -> None:
    """Refuse to take what is found without a time, and for more than one option."""
    asked = [option for option, is_found in found.items() if is_found]
    if asked and query is None:
        raise typer.BadParameter(f"{asked[0]} found: say when, with --from, --to, --recorded-from or --recorded-to")
    if len(asked) > 1:
        raise typer.BadParameter(f"found is for one of {' and '.join(asked)}: name the other's decisions in a file")


def _require_used(useless: Mapping[str, bool]) -> None:
    """Refuse options that would do nothing: each by the words for it, with whether it is given and useless."""
    for words, is_useless in useless.items():
        if is_useless:
            raise typer.BadParameter(words)


def _query(
    topics: list[str] | None,
    rules: list[str] | None,
    freelancer: str | None,
    occurred: tuple[str | None, str | None],
    recorded: tuple[str | None, str | None],
) -> LogQuery | None:
    """What is selected, if a time or a freelancer is given; a topic or a rule alone would be all of it."""
    for topic in topics or ():
        require_one_of("--void-topic", topic, tuple(INPUT_TOPICS))
    for rule in rules or ():
        require_one_of("--rule", rule, tuple(sorted(REASONS)))
    if (*occurred, *recorded, freelancer) == (None,) * 5:
        return None
    query = LogQuery(
        rules=tuple(rules or ()),
        topics=tuple(topics or ()),
        occurred_from=instant("--from", occurred[0]),
        occurred_to=instant("--to", occurred[1]),
        recorded_from=instant("--recorded-from", recorded[0]),
        recorded_to=instant("--recorded-to", recorded[1]),
        freelancer_id=freelancer,
    )
    require_order("--from", query.occurred_from, "--to", query.occurred_to)
    require_order("--recorded-from", query.recorded_from, "--recorded-to", query.recorded_to)
    return query


def _show(line: object) -> None:
    say(plain(line))
