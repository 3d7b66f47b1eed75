"""The settings, the policy file, the extras and the port of this host: what a worker reads before it connects."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Final

from worker.doctor.looks import Look, ok, unknown, wrong
from worker.errors import SettingsError, UsageError
from worker.http.server import listening_sockets
from worker.queries.policies import check_policy, policies
from worker.running import why_no_page
from worker.settings import Settings
from worker.tracing.switch import require_tracing
from worker.words.phrases import counted

_LARGEST_PAGE: Final = 64 * 1024
_PAGE_SECONDS: Final = 3.0
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked about, not bound


def settings_looks(settings: Settings) -> Iterator[Look]:
    """Whether each name is known, and the certificates and tracing can be used."""
    try:
        settings.kafka_kwargs()
    except SettingsError as error:
        yield wrong("settings", "certificates", error)
    for line in settings.mistyped:
        yield wrong("settings", "names", line)
    if not settings.mistyped:
        yield ok("settings", "names", "every setting is known")
    for line in settings.hints:
        yield ok("settings", "hint", line)
    try:
        require_tracing(settings)
    except SettingsError as error:
        yield wrong("settings", "tracing", error)
    else:
        yield ok("settings", "tracing", "tracing is on, and installed" if settings.tracing else "tracing is off")


async def policy_looks(settings: Settings) -> AsyncIterator[Look]:
    """Whether the policy file can be used, and the ledger can go on with it."""
    try:
        book = policies(settings)
    except SettingsError as error:
        yield wrong("policy", "file", error)
        return
    versions = counted(len(book.versions), "version", "versions")
    try:
        checked = await check_policy(book, settings.database_url)
    except UsageError:  # what is wrong with the database is a look at PostgreSQL
        checked = None
    if checked is None or checked.not_compared is not None:
        yield ok("policy", "file", f"{settings.policy} can be used: {versions}")
        yield unknown("policy", "ledger", "the file was not compared with a ledger, for none can be read")
        return
    for problem in checked.problems:
        yield wrong("policy", "ledger", f"CONNECTS_POLICY: {settings.policy}: {problem}", "See `connects policy check`")
    if not checked.problems:
        new = [version.version for version in checked.versions if version.ledger == "new"]
        adds = f"; new to the ledger: {', '.join(new)}" if new else ""
        yield ok("policy", "file", f"{settings.policy} can be used, and the ledger can go on with it: {versions}{adds}")


async def port_looks(settings: Settings) -> AsyncIterator[Look]:
    """Whether a worker on this host can have its port: it is free, or a worker has it already."""
    where = f"{settings.http_host}:{settings.http_port}"
    try:
        for one in await listening_sockets(settings.http_host, settings.http_port):
            one.close()
    except OSError as error:
        role = await _role_of_worker(settings) if error.errno == errno.EADDRINUSE else None
        if role is None:
            yield wrong("host", "port", why_no_page(settings, error))
        else:
            yield ok("host", "port", f"a worker of this host has {where} ({role})")
    else:
        yield ok("host", "port", f"{where} is free for health and metrics")


async def _role_of_worker(settings: Settings) -> str | None:
    """The role that a worker on our port tells; None if it is no worker that has it."""
    host = _EVERY_ADDRESS.get(settings.http_host, settings.http_host)
    with suppress(OSError, ValueError):
        async with asyncio.timeout(_PAGE_SECONDS):
            reader, writer = await asyncio.open_connection(host, settings.http_port)
            try:
                writer.write(b"GET /health/ready HTTP/1.1\r\nHost: connects\r\nConnection: close\r\n\r\n")
                page = await reader.read(_LARGEST_PAGE)
            finally:
                writer.close()
        found = json.loads(page.partition(b"\r\n\r\n")[2])
        if isinstance(found, dict) and isinstance(found.get("role"), str) and "ready" in found:
            return str(found["role"])
    return None
