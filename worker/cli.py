"""`connects`: the one command. What a command does lives in worker/operations; here is how it is called."""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from worker import cli_groups
from worker.cli_errors import Commands, show_warning
from worker.cli_support import (
    FOUND_SOMETHING,
    WRONG_USE,
    Json,
    answer,
    print_json,
    print_page,
    read_settings,
    ready_settings,
    refusals,
    say,
)
from worker.local.commands import app as local_app

app = typer.Typer(
    name="connects",
    cls=Commands,
    help="The Connects ledger: marketplace events in, wallets in PostgreSQL, wallet-updated out, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # it would print local variables, secrets among them
)
app.add_typer(local_app, name="local")
cli_groups.add_to(app)

_LAST_SHOWN = 40


@app.callback()
def options(
    *, debug: Annotated[bool, typer.Option("--debug", help="Log everything; show tracebacks.")] = False
) -> None:
    """Read the options of all commands."""
    if debug:
        os.environ["LOG_LEVEL"] = "debug"


@app.command()
def run() -> None:
    """Work: lead the ledger, or stand by to take over.

    On the embedded stack the schema is made by itself; elsewhere run `connects migrate` first.

    Example: connects run
    """
    with refusals():
        from worker import running  # noqa: PLC0415 - `--help` needs none of it
        from worker.observability import configure_logging  # noqa: PLC0415
        from worker.operations.policies import policies  # noqa: PLC0415
        from worker.operations.schema import migrate_schema, require_schema  # noqa: PLC0415

        given = read_settings()
        embedded = given.embedded
        policies(given)  # one that cannot be used is refused before anything is started or made
        settings = ready_settings(given)
        configure_logging(settings)
        (migrate_schema if embedded else require_schema)(settings)
        running.run(settings)


@app.command()
def demo(
    *,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="End by itself after so long. Default: on Ctrl-C; without a terminal after 30."),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Events a second, on average.")] = 60,
    speed: Annotated[
        float | None,
        typer.Option(help="Seconds of its time in a second, 1 to 259200. Default: CONNECTS_CLOCK's rate, else a day."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another marketplace.")] = 7,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            file_okay=False,
            help="A new or empty folder, or its own. Default: in the user's cache.",
        ),
    ] = None,
    stay: Annotated[
        bool | None,
        typer.Option("--stay/--down", help="Leave the stack up, or stop it. Default: up on a terminal, else stopped."),
    ] = None,
) -> None:
    """Watch it work: the questions of freelancers answered, then a made-up marketplace, live.

    It uses a stack of its own and empties that each time. Exit 1 if an answer or something that must hold is wrong.

    Example: connects demo --seconds 20
    """
    with refusals():
        from worker.local import demo as showing  # noqa: PLC0415 - `--help` needs none of it

        code = showing.run(
            showing.Options(seconds=seconds, rate=rate, speed=speed, seed=seed, folder=folder, stay=stay)
        )
        raise typer.Exit(code)


@app.command()
def migrate() -> None:
    """Bring the database's schema to what this release needs; again changes nothing.

    Connects as CONNECTS_MIGRATE_URL, and grants the role of DATABASE_URL what a worker needs.

    Example: connects migrate
    """
    with refusals():
        settings = ready_settings()
        from worker.operations.schema import migrate_schema  # noqa: PLC0415

        migrate_schema(settings)
    typer.echo("the schema is up to date")


@app.command()
def settings(*, as_json: Json = False) -> None:
    """Print every setting, secrets masked; exit 1 if a CONNECTS_* variable, or a line of .env, is not a known setting.

    Example: connects settings --json
    """
    with refusals():
        found = read_settings()
        found.kafka_kwargs()  # a file of certificates that cannot be used is refused here as everywhere
        shown = found.shown()
    if as_json:
        print_json({"settings": shown, "unknown": found.unknown})
    else:
        for name, value in shown.items():
            typer.echo(f"{name}={value}")
    if found.mistyped:
        raise typer.Exit(FOUND_SOMETHING)


@app.command()
def history(
    freelancer: Annotated[str, typer.Argument(metavar="FREELANCER", help="The freelancer's id.")],
    *,
    upcoming: Annotated[
        bool, typer.Option("--upcoming", help="What is coming up, instead: grants, renewals, expiries.")
    ] = False,
    last: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help="How many changes. Default: all in JSON, else 40.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell a wallet's balance, lots and membership, and every change in words.

    Exit 1 if nobody ever named the freelancer.

    Example: connects history f-1 --upcoming --json
    """
    from worker.operations import history as wallets  # noqa: PLC0415
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations.asking import snapshot  # noqa: PLC0415
    from worker.operations.policies import policies  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    async def ask(settings: Settings) -> wallets.History | wallets.Upcoming | None:
        book = policies(settings)
        async with snapshot(settings.database_url) as connection:
            if upcoming:
                return await wallets.upcoming(connection, freelancer, book)
            wanted = last if as_json or last else _LAST_SHOWN
            return await wallets.history(connection, freelancer, last=wanted, policies=book)

    found = answer(ask)
    if found is None:
        if as_json:
            print_json(wallets.Upcoming([]) if upcoming else wallets.History(freelancer, 0, 0, False, [], []))
        say(f"no event has named the freelancer {freelancer!r} yet")
        raise typer.Exit(FOUND_SOMETHING)
    if as_json:
        print_json(found)
    elif isinstance(found, wallets.Upcoming):
        print_page(pages.upcoming_page(found, freelancer))
    else:
        print_page(pages.history_page(found, shown_of=found.version))


@app.command()
def explain(
    event_id: Annotated[str | None, typer.Argument(metavar="EVENT_ID", help="An event's id; of all topics.")] = None,
    *,
    job: Annotated[str | None, typer.Option(help="All about a job.")] = None,
    proposal: Annotated[str | None, typer.Option(help="All about a proposal.")] = None,
    freelancer: Annotated[str | None, typer.Option(help="All about a freelancer.")] = None,
    about: Annotated[
        str | None,
        typer.Option(help="The standing answer: sharing, cash, invitations, learning-paths, declined, expired."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic's event of that id.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many decisions to show; in JSON always all.")] = _LAST_SHOWN,
    as_json: Json = False,
) -> None:
    """Tell what was decided and why, in words to paste. Exit 1 if nothing was.

    The clock's decisions have ids of their own: cycle:FREELANCER:DAY, renewal:FREELANCER:DAY and expiry:LOT.

    Example: connects explain --proposal p-1
    """
    if about is not None:
        _one_of(
            {"--about": about, "EVENT_ID": event_id, "--job": job, "--proposal": proposal, "--freelancer": freelancer}
        )
        _standing_answer(about, as_json=as_json)
        return
    from worker.operations import explain as explaining  # noqa: PLC0415
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations.asking import snapshot  # noqa: PLC0415
    from worker.operations.policies import policies  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    _one_of({"EVENT_ID": event_id, "--job": job, "--proposal": proposal, "--freelancer": freelancer})
    _require_known(topic, event_id)

    async def ask(settings: Settings) -> explaining.Explanation:
        async with snapshot(settings.database_url) as connection:
            if job is not None:
                return await explaining.explain_job(connection, job)
            if proposal is not None:
                return await explaining.explain_proposal(connection, proposal)
            if freelancer is not None:
                due_by = settings.wall_clock().now() - settings.grace
                return await explaining.explain_freelancer(connection, freelancer, policies(settings), due_by)
            return await explaining.explain_event(connection, event_id or "", topic, policies=policies(settings))

    found = answer(ask)
    if as_json:
        print_json(found)
    if not found.decisions and not found.open and not found.awaited:
        say("nothing was decided about it yet; `connects status` shows whether input is still to be read")
        raise typer.Exit(FOUND_SOMETHING)
    if not as_json:
        print_page(pages.explanation_page(found, last=last))


@app.command()
def status(*, as_json: Json = False) -> None:
    """Tell how the ledger and its workers are. Exit 1 if something needs a person: the lines that begin with `!`.

    Example: connects status --json
    """
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations import status as statuses  # noqa: PLC0415

    found = answer(statuses.status)
    if as_json:
        print_json(found)
    else:
        print_page(pages.status_page(found))
    if found.problems:
        raise typer.Exit(FOUND_SOMETHING)


def main() -> None:
    """Run the command that was typed; what is not text is wrong use of any command, for no id or option holds it."""
    warnings.showwarning = show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is shown its number
    for argument in sys.argv[1:]:
        if not _is_text(argument):
            shown = repr(os.fsencode(argument))[1:]
            say(f"connects: the argument {shown} is not UTF-8 text. Ids, options and folders are.")
            sys.exit(WRONG_USE)
    app(prog_name="connects")


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # bytes that the system could not decode
        return False
    return True


def _standing_answer(about: str, *, as_json: bool) -> None:
    from worker.domain.standing_answers import STANDING_ANSWERS, standing_answer  # noqa: PLC0415

    words = standing_answer(about)
    if words is None:
        say(f"connects explain: --about is one of {', '.join(STANDING_ANSWERS)}, not {about!r}")
        raise typer.Exit(WRONG_USE)
    if as_json:
        print_json({"about": about, "explanation": words, "decisions": []})
    else:
        typer.echo(words)


def _one_of(given: dict[str, str | None]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise typer.BadParameter(
            f"give one of {', '.join(given)} or --about" + (f", not {' and '.join(named)}" * bool(named))
        )


def _require_known(topic: str | None, event_id: str | None) -> None:
    if topic is None:
        return
    from schemas.catalogue import INPUT_TOPICS  # noqa: PLC0415

    if event_id is None:
        raise typer.BadParameter("--topic goes with an EVENT_ID")
    if topic not in INPUT_TOPICS:
        raise typer.BadParameter(f"--topic is one of {', '.join(INPUT_TOPICS)}, not {topic!r}")
