"""`connects dead-letters redrive`: rejected records are put before the worker again, as they came."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Group, RenderableType

from schemas.fields import LARGEST_BIGINT
from worker.cli._agreeing import agreed
from worker.cli._asking import answer
from worker.cli._changes import who
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Actor, Json, require_reason
from worker.cli._output import print_json, print_page
from worker.cli._progress import progress_shown, until_interrupted
from worker.cli.dead_letters._letters import (
    Causes,
    RejectedFrom,
    RejectedTo,
    Topics,
    letters_query,
    none_matches,
    redriven_in_words,
)
from worker.cli.replay._applying import Orderer, apply_by_worker, asked
from worker.cli.replay._pages import summary_page
from worker.cli.replay._plans import became
from worker.new_file import require_new
from worker.plain_text import plain
from worker.queries.asking import connected
from worker.queries.letters_export import LettersQuery
from worker.queries.replays import require_active_worker
from worker.repair.applying import Applied, Way
from worker.repair.plan_file import read_plan
from worker.repair.redriving import Redrive, plan_redrive
from worker.settings import Settings
from worker.words.phrases import agreeing, counted

_MOST_DEVIATIONS: Final = 0.01
_AGAIN: Final = "redrive the letters again: what was booked stays, and is not booked twice"
_NOBODY_ASKED: Final = "nothing was changed: add --yes to book this, as nobody can be asked here, or --out PLAN"


class Redriving(msgspec.Struct, frozen=True):
    """What was found, and what became of it; `applied` is None if nothing was to be done, or only a plan was written.

    `out` is that plan's file.
    """

    found: Redrive
    out: str | None
    applied: Applied | None
    is_refused: bool = False
    """Whether the person at the terminal did not want it."""

    @property
    def is_done(self) -> bool:
        """Whether no letter is left that the command was asked for."""
        as_planned = self.applied is None or self.applied.is_as_planned
        return bool(self.found.letters) and not self.found.left and as_planned and not self.is_refused


def command(
    seqs: Annotated[
        list[int] | None,
        typer.Argument(metavar="SEQ", min=1, max=LARGEST_BIGINT, help="The letters' seqs, as listed."),
    ] = None,
    *,
    topic: Topics = None,
    cause: Causes = None,
    rejected_from: RejectedFrom = None,
    rejected_to: RejectedTo = None,
    why: Annotated[str, typer.Option("--why", help="The reason, kept in the ledger for good.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="PLAN", dir_okay=False, help="Write a plan for `replay apply`, and book nothing."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Book what was found without asking.")] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="N", help="At most this many letters a second [as fast as it goes]."),
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Put dead letters before the worker again, exactly as they came: after their cause was repaired.

    Each record is read again as a live one is, by this release and its settings. It shows what the letters would bring
    and asks; then the active worker books each as the late event that it is, or nothing of it if it would bring
    something else by then. A letter that is still bad is named, and stays. One that was redriven before, or whose event
    was decided meanwhile, books nothing. Ctrl-C ends it between two chunks; run again it goes on with what is left.

    Nothing is written to an input topic. With --out the plan is written for `connects replay apply` instead, where it
    can be rehearsed, or applied without what takes Connects.

    Exit 1 if a letter is left for a person, or no letter matches.

    Example: connects dead-letters redrive --topic hire-made --why "this release reads the new field"
    """
    query = letters_query(cause, topic, rejected_from, rejected_to)
    if (seqs or []) and query != LettersQuery():
        raise typer.BadParameter("name letters by their seqs, or by --topic, --cause, --from and --to: not by both")
    if not seqs and query == LettersQuery():
        raise typer.BadParameter("which letters? Name their seqs, as listed, or --topic, --cause, --from or --to")
    if out is None:
        require_reason(why)
    elif yes or rate is not None:
        raise typer.BadParameter("--yes and --rate are for booking: with --out nothing is booked")
    query = query._replace(seqs=tuple(sorted(set(seqs or ()))))

    async def redrive(settings: Settings) -> Redriving:
        by = Orderer(who(actor), why, _AGAIN)
        if out is not None:
            require_new(out, "--out")
            found = await _found(settings, query, out)
            return Redriving(found, None if found.plan is None else str(out), None)
        return await _redrive(settings, query, by, rate, yes=yes)

    done = answer(redrive)
    if as_json:
        print_json(msgspec.to_builtins(done.found) | {"out": done.out, "applied": done.applied})
    else:
        print_page(_page(done))
    if not done.is_done:
        raise typer.Exit(FOUND_SOMETHING)


async def _found(settings: Settings, query: LettersQuery, out: Path) -> Redrive:
    found = await plan_redrive(settings, query, out, progress_shown())
    if not found.letters:
        async with connected(settings.database_url) as connection:
            say(await none_matches(connection))
    return found


async def _redrive(settings: Settings, query: LettersQuery, by: Orderer, rate: float | None, *, yes: bool) -> Redriving:
    """Plan, show, ask, and have it applied; the plan is in a folder that goes with the command."""
    async with connected(settings.database_url) as connection:
        await require_active_worker(connection)
    with ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "letters.plan"
        found = await _found(settings, query, out)
        if found.plan is None or found.summary is None:
            return Redriving(found, None, None)
        if not yes:
            print_page(summary_page(found.summary))
        if not await agreed(f"Book this for {counted(found.letters, 'dead letter')}? [y/N] ", _NOBODY_ASKED, yes=yes):
            return Redriving(found, None, None, is_refused=True)
        way, stopping = Way(give_only=False, most_deviations=_MOST_DEVIATIONS, rate=rate), until_interrupted()
        applied = await apply_by_worker(settings, read_plan(out), way, by, stopping)
    if applied.left and not applied.wrong:  # nobody has the plan any more: what is left is planned again
        arguments: dict[str, object] = {"plan": applied.plan, "close": True}
        await asked(settings, "replay-stop", arguments, by._replace(why=f"the redrive ended early: {applied.stopped}"))
    return Redriving(found, None, applied)


def _page(done: Redriving) -> RenderableType:
    found, lines = done.found, list[str]()
    if not found.letters:
        return "Nothing was changed."
    if found.redriven_before:
        were = agreeing(found.redriven_before, "was", "were")
        lines.append(f"{counted(found.redriven_before, 'dead letter')} {were} redriven before, and left out:")
        lines += [f"  dead letter {one.letter}: {redriven_in_words(one.redriven)}" for one in found.before]
    if found.still_bad:
        lines.append(f"Still bad, and left as they are: {counted(found.still_bad, 'dead letter')}:")
        lines += [f"  {why}" for why in found.bad]
    parts: list[RenderableType] = [plain(line) for line in lines]
    if found.summary is not None and (found.plan is None or done.out is not None):
        parts.append(summary_page(found.summary))
    return Group(*parts, plain(_how_it_ended(done)))


def _how_it_ended(done: Redriving) -> str:
    applied = done.applied
    if done.out is not None:
        return f"{done.out}: plan {done.found.plan}. Nothing was booked: connects replay apply {done.out} does it."
    if done.is_refused:
        return "Nothing was changed."
    if applied is None:
        return "Nothing is to be booked."
    parts = [f"{counted(applied.booked, 'dead letter')} redriven. Plan {applied.plan}: {became(applied)}."]
    if applied.deviated or applied.left_out:
        parts.append(f"`connects replay status {applied.plan}` shows what was not booked, and why.")
    if applied.wrong:
        parts.append(
            f"Stopped, because something is wrong with what was touched: {applied.wrong[0]}. Nothing more is booked: "
            "see `connects verify`."
        )
    elif applied.left or applied.deviated:
        parts.append("Redrive the same letters again: what was booked stays, and the rest is planned again.")
    return " ".join(parts)
