"""`connects relay show`: what the ledger and Kafka's marker say about what was published."""

from typing import Any, Final

from worker.errors import OperatorNeeded
from worker.kafka.output.marker import relay_report
from worker.ledger.postgres import PostgresStore
from worker.ledger.rows import as_uuid
from worker.ledger.sql import load
from worker.queries.asking import reached_kafka, snapshot
from worker.settings import Settings

_SQL: Final = load("asking.sql")
_ADOPT: Final = load("adopt.sql")


async def show_relay(settings: Settings) -> dict[str, Any]:
    """Both sides' figures, and whether a worker would go on from them (`consistent`; if not, `why`).

    Of what was adopted after a restore: how much, and what is not made again yet, with the first of it.

    Raises:
        OperatorNeeded, Transient: the database or Kafka cannot be used.
    """
    async with snapshot(settings.database_url) as connection:
        leader = await connection.fetchrow(_SQL["leader"])
        adopted = await connection.fetchrow(_ADOPT["adoptions"])
    if leader is None:
        raise OperatorNeeded("the table leader is empty: this database is no ledger. Restore it, or migrate a new one.")
    store = PostgresStore(settings.database_url, "relay-show")
    try:
        async with reached_kafka(settings) as reached:
            ledger_id = as_uuid(leader["ledger_id"])
            report = await relay_report(reached.kafka_kwargs(), settings.topic_prefix, ledger_id, store)
            return report | dict(adopted or {})
    finally:
        await store.close()
