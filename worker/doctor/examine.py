"""One look at everything that a worker needs, within bounds of time. Nothing is changed, started or made."""

import asyncio
from typing import Final

from worker.doctor.looks import Examined, Look, all_of, in_time
from worker.doctor.of_kafka import kafka_looks
from worker.doctor.of_ledger import ledger_looks
from worker.doctor.of_postgresql import postgresql_looks
from worker.doctor.of_settings import policy_looks, port_looks, settings_looks
from worker.settings import Settings

_POSTGRESQL_SECONDS: Final = 25.0
_KAFKA_SECONDS: Final = 45.0
_OTHERS_SECONDS: Final = 20.0


async def examine(settings: Settings) -> Examined:
    """Look at settings, policy, host, PostgreSQL, Kafka and ledger: all of it takes 45 seconds at most."""
    at_once = await asyncio.gather(
        in_time("policy", policy_looks(settings), _OTHERS_SECONDS),
        in_time("host", port_looks(settings), _OTHERS_SECONDS),
        in_time("postgresql", postgresql_looks(settings), _POSTGRESQL_SECONDS),
        in_time("kafka", kafka_looks(settings), _KAFKA_SECONDS),
        in_time("ledger", ledger_looks(settings), _KAFKA_SECONDS),
    )
    looks: list[Look] = [*settings_looks(settings)]
    for found in at_once:
        looks += found
    return all_of(looks)
