"""A TCP proxy that a test cuts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on until it is told to keep them: connections stay open and silent, as when a cable is pulled."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pass_on(reader, there_writer), self._pass_on(there_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


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
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    try:
        yield parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}").geturl()
    finally:
        server.close()
