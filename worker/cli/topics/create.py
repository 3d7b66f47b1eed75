"""`connects topics create`: the topics that the worker needs, and their repair."""

from dataclasses import replace
from typing import Annotated

import typer

from worker.cli._asking import answer
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.errors import OperatorNeeded, Transient, UsageError
from worker.kafka import topics
from worker.kafka.topics import CreatedTopics
from worker.offline import restore_marker
from worker.queries.asking import reached_kafka
from worker.queries.restore_marker import marker_is_lost
from worker.settings import Settings


def command(
    *,
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="Partitions of each topic.")] = 6,
    replication: Annotated[
        int | None, typer.Option(min=1, max=100, help="Copies of each partition. Default: the cluster's.")
    ] = None,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="The input topics too, which producers usually make.")
    ] = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Also repair the worker's own topics that exist: settings, partitions, the relay's marker."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the output topics that do not exist yet; those that do are left as they are, or repaired with --fix.

    wallet-updated keeps its partition count for good: choose it well. Exit 1 if a topic has a setting that it must not
    have, each in a line. A lost marker of what was published is found again in the output topics.

    Example: connects topics create --partitions 12 --replication 3
    """

    async def create(settings: Settings) -> CreatedTopics:
        async with reached_kafka(settings) as reached:
            created = await topics.create_topics(
                reached.kafka_kwargs(), settings.topic_prefix, partitions, replication, inputs=inputs, fix=fix
            )
            return replace(created, repaired=(*created.repaired, *await _marker_repaired(reached))) if fix else created

    found = answer(create)
    if as_json:
        print_json(found)
    else:
        _print_lines(found)
    if found.wrong:
        raise typer.Exit(FOUND_SOMETHING)


def _print_lines(found: CreatedTopics) -> None:
    for word, names in (("created", found.created), ("existed", found.existing), ("repaired", found.repaired)):
        for name in names:
            typer.echo(f"{word:<8} {name}")
    for complaint in found.wrong:
        typer.echo(f"connects: {complaint}.", err=True)


async def _marker_repaired(settings: Settings) -> list[str]:
    """Restore the relay's marker if it is lost; what was done, in words. A ledger that cannot be read is left."""
    try:
        if not await marker_is_lost(settings):
            return []
    except (OperatorNeeded, Transient, UsageError) as error:
        typer.echo(f"the relay's marker was not checked: {error}", err=True)
        return []
    restored = await restore_marker(settings)
    return [f"the marker: rows up to {restored.published} are published, {restored.pending} are not yet"]
