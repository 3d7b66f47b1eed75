"""A TCP proxy that a test cuts or slows down."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

_SOME_BYTES: Final = 65_536
_MOST_WAITING: Final = 64


class Proxy:
    """Passes bytes on until it is asked to keep them: connections stay open and silent, as when a cable is pulled.

    What it passes on can be late by `delay_seconds`, and slow: `bytes_per_second` on each connection, each way; 0 is as
    fast as it goes.
    """

    def __init__(self, host: str, port: int) -> None:
        self.delay_seconds = 0.0
        self.bytes_per_second = 0
        self._target = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._connections: set[object] = set()
        self._silent: set[object] = set()

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        """Pass everything on again, at once."""
        self.delay_seconds, self.bytes_per_second = 0.0, 0
        self._open.set()

    def fall_silent(self) -> int:
        """Swallow for good what the connections open now send, both ways; new ones are served. How many those are."""
        self._silent |= self._connections
        return len(self._connections)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:  # as if nobody listened here
            writer.transport.abort()
            return
        connection = object()
        self._connections.add(connection)
        await asyncio.gather(
            self._pass_on(connection, reader, there_writer), self._pass_on(connection, there_reader, writer)
        )
        self._connections.discard(connection)

    async def _pass_on(self, connection: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_WAITING)
        taking = asyncio.create_task(self._take(reader, waiting))
        with suppress(OSError):
            while data := await self._next(waiting):
                if connection in self._silent:
                    continue
                writer.write(data)
                await writer.drain()
        taking.cancel()
        if connection not in self._silent:
            writer.close()

    async def _take(self, reader: asyncio.StreamReader, waiting: "asyncio.Queue[tuple[float, bytes]]") -> None:
        with suppress(OSError):
            while data := await reader.read(_SOME_BYTES):
                await waiting.put((time.monotonic() + self.delay_seconds, data))
        await waiting.put((0.0, b""))

    async def _next(self, waiting: "asyncio.Queue[tuple[float, bytes]]") -> bytes:
        """What is passed on next, when it is time to; nothing at the end."""
        due, data = await waiting.get()
        seconds = due - time.monotonic()
        if self.bytes_per_second:
            seconds = max(seconds, 0.0) + len(data) / self.bytes_per_second
        if seconds > 0:
            await asyncio.sleep(seconds)
        await self._open.wait()
        return data


@asynccontextmanager
async def proxied(database_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a database, and the database's URL through it."""
    proxy = Proxy(*place_of(database_url))
    async with through(proxy.serve, database_url) as url:
        try:
            yield proxy, url
        finally:
            proxy.mend()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def place_of(database_url: str) -> tuple[str, int]:
    """The host and port of a database's server."""
    parts = urlsplit(database_url)
    return parts.hostname or "", parts.port or 0


@asynccontextmanager
async def through(serve: Serve, database_url: str) -> AsyncIterator[str]:
    """A database's URL by way of what serves its clients."""
    parts = urlsplit(database_url)
    async with serving(serve) as port:
        user = parts.netloc.rpartition("@")[0]
        yield parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}").geturl()


@asynccontextmanager
async def proxy_at(at: int, host: str, port: int) -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy that listens at a port (0: any that is free) and forwards to another one; and the port it listens at."""
    proxy = Proxy(host, port)
    async with serving(proxy.serve, at) as listening:
        yield proxy, listening


@asynccontextmanager
async def serving(serve: Serve, at: int = 0) -> AsyncIterator[int]:
    """Listens at a port of 127.0.0.1 (0: any that is free), and yields it."""
    server = await asyncio.start_server(serve, "127.0.0.1", at)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
