"""The console as its readers reach it: served on a port of this process, and asked over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from tests.golden.reply_stories import GRACE_SECONDS
from tests.kit.asking import Asking, Running
from tests.kit.policies import policies
from tests.kit.waiting import PATIENCE_SECONDS, in_time
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

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

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


@asynccontextmanager
async def console_process(connects: Asking) -> AsyncIterator[str]:
    """The address of a console that runs as a process of its own, as `connects console` starts it."""
    process = await connects.start("console --port 0")
    try:
        address = await address_of(process)
        saying = asyncio.create_task(process.communicate())  # a pipe that nobody reads would stop it once it is full
        yield address
    finally:
        process.terminate()
    _, said = await in_time(saying)
    assert process.returncode == 0, said.decode()


async def address_of(process: Running) -> str:
    """Where a console that was just started listens, once it does."""
    said: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while said.get("event") != "console.ready":
            said = json.loads(await process.stderr.readline())
    return str(said["address"])
