"""A TCP proxy before PostgreSQL that loses the answer to a COMMIT, or the COMMIT itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from tests.kit.proxy import place_of, through

COMMIT = b"COMMIT\x00"
"""As a statement on its way to the server, and as the server's answer to it."""

Cut = Literal["before the server has it", "after the server did it"]


class CommitCutter:
    """Cuts the connection at every COMMIT whose number (from 1) is in `at`, this side or that side of the server."""

    def __init__(self, host: str, port: int, at: set[int], cut: Cut) -> None:
        self._host, self._port = host, port
        self._at, self._cut = at, cut
        self._tasks: set[asyncio.Task[None]] = set()
        self.commits = 0
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        cutting = asyncio.Event()
        sides = [
            asyncio.create_task(self._to_server(reader, there_writer, cutting)),
            asyncio.create_task(self._to_client(there_reader, writer, cutting)),
        ]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            for end in (writer, there_writer):
                end.transport.abort()

    async def _to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if COMMIT in data:
                    self.commits += 1
                    if self.commits in self._at:
                        self.cuts += 1
                        if self._cut == "before the server has it":
                            return
                        cutting.set()
                writer.write(data)
                await writer.drain()

    async def _to_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if cutting.is_set() and COMMIT in data:
                    return
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def cutting_commits(database_url: str, at: set[int], cut: Cut) -> AsyncIterator[tuple[CommitCutter, str]]:
    """The proxy, and the database's URL through it."""
    cutter = CommitCutter(*place_of(database_url), at, cut)
    async with through(cutter.serve, database_url) as url:
        yield cutter, url
