"""How commands read the settings."""

from worker.cli._errors import say
from worker.cli._local import local_stack
from worker.settings import Settings


def read_settings() -> Settings:
    """The settings as they are set; what looks like one and is not is named on standard error.

    Raises:
        SettingsError: a setting cannot be used.
    """
    settings = Settings.read()
    for line in (*settings.mistyped, *settings.hints):
        say(f"connects: {line}")
    return settings


def ready_settings(given: Settings | None = None) -> Settings:
    """The settings, or those given; if nobody named a Kafka and a PostgreSQL, with the embedded stack, started.

    Raises:
        UsageError: a setting cannot be used, or the embedded stack is not installed.
        LocalStackError: the embedded stack does not start.
    """
    settings = given or read_settings()
    if not settings.embedded:
        return settings
    addresses = local_stack().up(say)
    return settings.on_stack(addresses.kafka_bootstrap, addresses.database_url)
