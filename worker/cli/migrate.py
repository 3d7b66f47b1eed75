"""`connects migrate`: the database schema."""

import typer

from worker.cli._errors import refusals
from worker.cli._settings import ready_settings
from worker.queries.schema import migrate_schema


def command() -> None:
    """Upgrade the database schema to this release. Running it again changes nothing.

    Connects as CONNECTS_MIGRATE_URL, and grants the role of DATABASE_URL what a worker needs.

    Example: connects migrate
    """
    with refusals():
        migrate_schema(ready_settings())
    typer.echo("the schema is up to date")
