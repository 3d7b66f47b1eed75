"""The console as its readers reach it: served on a port of this process, and asked over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from tests.golden.reply_stories import GRACE_SECONDS
from tests.kit.policies import policies
from tests.kit.waiting import PATIENCE_SECONDS
from worker.console.access import Access
from worker.console.application import served
from worker.console.desk import Desk
from worker.console.ledger import ReadOnlyLedger
from worker.wall_clock import wall_clock


class Visited(NamedTuple):
    """A response; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


class Visitor:
    """Asks one console; `headers` go with every request."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port, self.headers = port, headers

    async def get(self, path: str, method: str = "GET", **headers: str) -> Visited:
        lines = {"Host": f"127.0.0.1:{self.port}", **self.headers, **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        return await self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())

    async def send(self, request: bytes) -> Visited:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(request)
            answer = (await reader.read()).decode()
            writer.close()
        head, _, body = answer.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        return Visited(int(first.split()[1]), dict(_header(line) for line in lines), body)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


@asynccontextmanager
async def visited(database_url: str, access: Access | None = None) -> AsyncIterator[Visitor]:
    """A console on that ledger, for as long as it is needed."""
    ledger = ReadOnlyLedger(database_url)
    desk = Desk(ledger, policies(), access or Access(), wall_clock(""), timedelta(seconds=GRACE_SECONDS))
    server = served(desk)
    try:
        yield Visitor(await server.start("127.0.0.1", 0))
    finally:
        await server.stop()
        ledger.close()
