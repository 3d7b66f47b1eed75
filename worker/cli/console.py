"""`connects console`: the pages for support agents, and the API of the same."""

from typing import Annotated

import typer

from worker.cli._errors import refusals
from worker.cli._settings import read_settings, ready_settings
from worker.console import running
from worker.console.access import access_for
from worker.observability import configure_logging
from worker.places import LAST_PORT
from worker.queries.policies import policies


def command(
    *,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Another one than this host's own needs a token or a proxy.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=LAST_PORT, help="The port to listen on. 0: one that is free.")] = 8080,
) -> None:
    """Serve pages on which support agents look up freelancers, proposals, jobs and questions; read-only.

    The same is served as JSON under /api/v1. On another address than 127.0.0.1 it needs CONNECTS_CONSOLE_TOKEN, or
    CONNECTS_CONSOLE_TRUST_HEADER behind a proxy that logs people in.

    Example: connects console --port 8080
    """
    with refusals():
        given = read_settings()
        access = access_for(host, given)
        book = policies(given)
        settings = ready_settings(given)
        configure_logging(settings)
        running.run(settings, book, access, host, port)
