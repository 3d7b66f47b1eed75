"""`connects positions set`: read on from another place."""

from typing import Annotated

import typer

from schemas.fields import LARGEST_BIGINT
from worker.cli._changes import change
from worker.cli._options import Actor, Json, Why
from worker.domain.rule_catalogue import RULES
from worker.kafka.records import LARGEST_PARTITION, TopicPartition
from worker.queries.positions import require_settable
from worker.settings import Settings


def command(
    *,
    topic: Annotated[str, typer.Option(help="The topic, by its name in the contract.")],
    partition: Annotated[int, typer.Option(min=0, max=LARGEST_PARTITION, help="The partition.")],
    offset: Annotated[int | None, typer.Option(min=0, max=LARGEST_BIGINT, help="Go on at this offset.")] = None,
    recreated: Annotated[
        bool, typer.Option("--recreated", help="The topic was recreated: read it from the beginning as new records.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --recreated: even if nothing shows that the topic was recreated.")
    ] = False,
    why: Why = "set by hand",
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Set where reading of a partition goes on. What was decided stays decided.

    --recreated is for a partition that `connects status` calls recreated, truncated or gone; exit 1 for any other.

    Example: connects positions set --recreated --topic job-closed --partition 0 --why "restored the cluster"
    """
    if topic not in RULES:
        raise typer.BadParameter(f"--topic is one of {', '.join(RULES)}, not {topic!r}")
    if (offset is None) != recreated:
        raise typer.BadParameter("give either --offset or --recreated")
    if force and not recreated:
        raise typer.BadParameter("--force goes with --recreated")

    async def require(settings: Settings) -> None:
        await require_settable(settings, TopicPartition(topic, partition), recreated=recreated and not force)

    where: dict[str, object] = {"topic": topic, "partition": partition}
    arguments = where | ({"recreated": True} if recreated else {"offset": offset})
    change("positions-set", arguments, why, actor, as_json=as_json, require=require)
