"""The commands that come in groups: topics, parked, positions, relay, dead-letters, schemas, policy."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli_policy import policy
from worker.cli_support import (
    FOUND_SOMETHING,
    Actor,
    Json,
    Why,
    answer,
    print_json,
    print_page,
    say,
    who,
)

if TYPE_CHECKING:
    from worker.operations.commands import Answered
    from worker.settings import Settings

_SCHEMAS = Path("schemas/json")
_LARGEST = 2**63 - 1
"""What PostgreSQL's bigint and Kafka's offsets hold."""
_LARGEST_PARTITION = 2**31 - 1


def _group(words: str) -> typer.Typer:
    return typer.Typer(help=words, no_args_is_help=True, rich_markup_mode=None)


topics = _group("The topics that the worker reads and writes.")
parked = _group("Wallets and jobs stopped by a failure.")
positions = _group("Where reading goes on.")
relay = _group("What was published.")
dead_letters = _group("Records that can never be decided.")
schemas = _group("The contract's messages, as JSON Schema.")


def add_to(app: typer.Typer) -> None:
    """Add all groups to the command."""
    groups = {
        "topics": topics,
        "parked": parked,
        "positions": positions,
        "relay": relay,
        "dead-letters": dead_letters,
        "schemas": schemas,
        "policy": policy,
    }
    for name, group in groups.items():
        app.add_typer(group, name=name)


@topics.callback()
def _topics() -> None:
    """Keep `create` a command of its own."""


@topics.command("create")
def create_topics(
    *,
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="Partitions of each topic.")] = 6,
    replication: Annotated[int, typer.Option(min=1, max=100, help="Copies of each partition.")] = 1,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="The input topics too, which producers usually make.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the output topics that do not exist yet; those that do are left as they are.

    wallet-updated keeps its partition count for good: choose it well.

    Example: connects topics create --partitions 12 --replication 3
    """
    from worker.operations.asking import reached_kafka  # noqa: PLC0415 - `--help` needs none of it
    from worker.stream import topics as making  # noqa: PLC0415

    async def make(settings: "Settings") -> making.CreatedTopics:
        async with reached_kafka(settings) as reached:
            return await making.create_topics(
                reached.kafka_kwargs(), settings.topic_prefix, partitions, replication, inputs=inputs
            )

    made = answer(make)
    if as_json:
        print_json({"created": made.created, "existing": made.existing})
        return
    for name in made.created:
        typer.echo(f"created  {name}")
    for name in made.existing:
        typer.echo(f"existed  {name}")


@parked.command("list")
def list_parked(*, as_json: Json = False) -> None:
    """List what is stopped, why, and how much waits. Exit 1 if anything is.

    Example: connects parked list --json
    """
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations import parked as stopped  # noqa: PLC0415
    from worker.operations.asking import snapshot  # noqa: PLC0415

    async def ask(settings: "Settings") -> stopped.Parked:
        async with snapshot(settings.database_url) as connection:
            return await stopped.list_parked(connection)

    found = answer(ask)
    if as_json:
        print_json(found)
    else:
        print_page(pages.parked_page(found))
    if found.parked:
        raise typer.Exit(FOUND_SOMETHING)


@parked.command("release")
def release(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="wallet or job.")],
    key: Annotated[str, typer.Argument(metavar="ID", help="The freelancer's or the job's id.")],
    *,
    why: Why = "released by hand",
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Decide what waits behind a stopped wallet or job, in order, now that the failure is mended.

    Example: connects parked release wallet f-1 --why "fixed in release 1.4"
    """
    if scope not in {"wallet", "job"}:
        raise typer.BadParameter(f"SCOPE is wallet or job, not {scope!r}")
    _command("parked-release", {"scope": scope, "key": key}, why, actor, as_json=as_json)


@positions.command("list")
def list_positions(*, as_json: Json = False) -> None:
    """List the next offset to decide of every input partition.

    Example: connects positions list
    """
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations import positions as stored  # noqa: PLC0415
    from worker.operations.asking import snapshot  # noqa: PLC0415

    async def ask(settings: "Settings") -> stored.Positions:
        async with snapshot(settings.database_url) as connection:
            return await stored.list_positions(connection)

    found = answer(ask)
    if as_json:
        print_json(found)
    else:
        print_page(pages.positions_page(found))


@positions.command("set")
def set_position(
    *,
    topic: Annotated[str, typer.Option(help="The topic, by its name in the contract.")],
    partition: Annotated[int, typer.Option(min=0, max=_LARGEST_PARTITION, help="The partition.")],
    offset: Annotated[int | None, typer.Option(min=0, max=_LARGEST, help="Go on at this offset.")] = None,
    recreated: Annotated[
        bool, typer.Option("--recreated", help="The topic was made anew: read it from its beginning, as other records.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --recreated: also if nothing shows that the topic was made anew.")
    ] = False,
    why: Why = "set by hand",
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Set where reading of a partition goes on. What was decided stays decided.

    --recreated is for a partition that `connects status` calls recreated, truncated or gone; exit 1 for any other.

    Example: connects positions set --recreated --topic job-closed --partition 0 --why "restored the cluster"
    """
    from worker.domain.decide import RULES  # noqa: PLC0415
    from worker.operations import positions as stored  # noqa: PLC0415
    from worker.stream.records import TopicPartition  # noqa: PLC0415

    if topic not in RULES:
        raise typer.BadParameter(f"--topic is one of {', '.join(RULES)}, not {topic!r}")
    if (offset is None) != recreated:
        raise typer.BadParameter("give either --offset or --recreated")
    if force and not recreated:
        raise typer.BadParameter("--force goes with --recreated")

    async def require(settings: "Settings") -> None:
        await stored.require_settable(settings, TopicPartition(topic, partition), recreated=recreated and not force)

    where: dict[str, object] = {"topic": topic, "partition": partition}
    arguments = where | ({"recreated": True} if recreated else {"offset": offset})
    _command("positions-set", arguments, why, actor, as_json=as_json, require=require)


@relay.callback()
def _relay() -> None:
    """Keep `show` a command of its own."""


@relay.command("show")
def show_relay(*, as_json: Json = False) -> None:
    """Compare the ledger with Kafka's marker of what was published. Exit 1 if they contradict each other.

    Example: connects relay show --json
    """
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations import relay as relaying  # noqa: PLC0415

    found = answer(relaying.show_relay)
    if as_json:
        print_json(found)
    else:
        print_page(pages.mapping_page(found))
    if not found["consistent"]:
        raise typer.Exit(FOUND_SOMETHING)


@dead_letters.command("list")
def list_letters(
    *, last: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 50, as_json: Json = False
) -> None:
    """List the last dead letters, newest first. Exit 1 if there are any.

    Example: connects dead-letters list --last 10
    """
    from worker.operations import dead_letters as letters  # noqa: PLC0415
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations.asking import snapshot  # noqa: PLC0415

    async def ask(settings: "Settings") -> letters.Letters:
        async with snapshot(settings.database_url) as connection:
            return await letters.list_letters(connection, last)

    found = answer(ask)
    if as_json:
        print_json(found)
    else:
        print_page(pages.letters_page(found))
    if found.dead_letters:
        raise typer.Exit(FOUND_SOMETHING)


@dead_letters.command("show")
def show_letter(
    seq: Annotated[int, typer.Argument(metavar="SEQ", min=1, max=_LARGEST, help="The letter's seq, as listed.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its key, headers and value. Exit 1 if there is none.

    Example: connects dead-letters show 1017
    """
    from worker.operations import dead_letters as letters  # noqa: PLC0415
    from worker.operations import pages  # noqa: PLC0415
    from worker.operations.asking import snapshot  # noqa: PLC0415

    async def ask(settings: "Settings") -> letters.WholeLetter | None:
        async with snapshot(settings.database_url) as connection:
            return await letters.show_letter(connection, seq)

    found = answer(ask)
    if found is None:
        say(f"there is no dead letter {seq}")
        raise typer.Exit(FOUND_SOMETHING)
    if as_json:
        print_json(found)
    else:
        print_page(pages.letter_page(found))


@schemas.command("export")
def export_schemas(
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False)] = _SCHEMAS, *, as_json: Json = False
) -> None:
    """Write one JSON Schema for each topic.

    Example: connects schemas export ./contract
    """
    from schemas import export  # noqa: PLC0415

    written = [str(path) for path in export.export(folder)]
    if as_json:
        print_json({"written": written})
        return
    for path in written:
        typer.echo(path)


@schemas.command("check")
def check_schemas(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", file_okay=False, help="Default: what came with this release.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Compare a folder with what `export` would write. Exit 1 if it differs.

    Example: connects schemas check ./contract
    """
    from schemas import export  # noqa: PLC0415

    folder = folder or Path(export.__file__).parent / "json"
    drift = export.check(folder)
    if as_json:
        print_json({"dir": str(folder), "differences": drift})
    else:
        for line in drift or [f"{folder} is what this release would write"]:
            typer.echo(line)
    if drift:
        raise typer.Exit(FOUND_SOMETHING)


async def _nothing(_settings: "Settings") -> None:
    """Require nothing before a command."""


def _command(
    name: str,
    arguments: dict[str, object],
    why: str,
    actor: str | None,
    *,
    as_json: bool,
    require: "Callable[[Settings], Awaitable[None]]" = _nothing,
) -> None:
    """Ask the one writer, unless what it `require`s refuses, and tell what became of it. Exit 1 if it was not done."""
    from worker.operations import commands, pages  # noqa: PLC0415

    async def ask(settings: "Settings") -> "Answered":
        await require(settings)
        return await commands.ask(settings, name, arguments, actor=who(actor), why=why, execute=_execute)

    answered = answer(ask)
    if as_json:
        print_json(answered)
    else:
        print_page(pages.answer_page(answered))
    if not answered.done:
        raise typer.Exit(FOUND_SOMETHING)


async def _execute(settings: "Settings") -> None:
    """Carry open commands out here: no worker runs."""
    from worker.running import execute_pending_commands  # noqa: PLC0415

    await execute_pending_commands(settings)
