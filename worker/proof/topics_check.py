"""The check of the ledger against its topics: input and decisions, wallet-updated and changes."""

from collections.abc import AsyncIterator
from typing import Final

from worker.kafka.broker import probing
from worker.ledger.sql import load
from worker.proof.against_topics import AgainstTopics
from worker.proof.checks import Check, Finding, Ground
from worker.proof.input_topics import TOPICS, InputTopics
from worker.proof.output_topic import OutputTopic
from worker.proof.reading import reading
from worker.queries.asking import reached_kafka
from worker.settings import Settings

_SQL: Final = load("state.sql")
_REQUEST_TIMEOUT_MS: Final = 10_000


def topics_check(settings: Settings, counts: AgainstTopics) -> Check:
    """The check that ledger and topics agree, as far as retention reaches; `counts` says what was compared."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        ground.progress.begin(TOPICS, 0, "records and messages")
        async with reached_kafka(settings) as reached, reading(ground.database_url) as connection:
            kafka = {"request_timeout_ms": _REQUEST_TIMEOUT_MS, **reached.kafka_kwargs()}
            prefix = settings.topic_prefix
            counts.replaced = await connection.fetchval(_SQL["events_replaced"])
            async with probing(reached.kafka_kwargs(), None) as probe:
                inputs = InputTopics(connection, probe, prefix, counts, ground.progress)
                output = OutputTopic(connection, probe, kafka, prefix, counts, ground.progress)
                async for finding in inputs.compare():
                    yield finding
                async for finding in output.compare():
                    yield finding

    return Check(TOPICS, run)
