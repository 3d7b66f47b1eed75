"""`connects run`: the worker itself."""

import asyncio

from worker import running
from worker.cli._errors import refusals
from worker.cli._settings import read_settings, ready_settings
from worker.errors import SettingsError
from worker.kafka.topic_watch import fatal_before_start
from worker.observability import configure_logging
from worker.queries.policies import policies
from worker.queries.schema import migrate_schema, require_schema
from worker.tracing.switch import require_tracing


def command() -> None:
    """Work: lead the ledger, or stand by to take over.

    On the embedded stack the schema is created automatically; elsewhere run `connects migrate` first. Exit 2 if one of
    its own topics has a setting with which messages or the marker would be lost.

    Example: connects run
    """
    with refusals():
        given = read_settings()
        policies(given)  # one that cannot be used is refused before anything is started or made
        require_tracing(given)  # as above
        settings = ready_settings(given)
        configure_logging(settings)
        if (wrong := asyncio.run(fatal_before_start(settings.kafka_kwargs(), settings.topic_prefix))) is not None:
            raise SettingsError(wrong)
        (migrate_schema if given.embedded else require_schema)(settings)
        running.run(settings)
