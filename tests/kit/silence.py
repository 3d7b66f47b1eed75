"""A TCP proxy before PostgreSQL whose connections fall silent, without RST or FIN; new ones work."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.kit.proxy import place_of, through

_SOME_BYTES: Final = 65_536


class Link:
    """One connection through the proxy."""

    def __init__(self) -> None:
        self.heard = time.monotonic()
        self.sent = bytearray()
        """The last that the client sent."""
        self.silent = False
        self.asked_in_vain = False
        """Whether anything was sent since it fell silent."""

    def says(self, words: bytes) -> bool:
        """Whether the client sent these words, at any time."""
        return words in self.sent

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self.heard


class SilentProxy:
    """Swallows what is sent on the links that it is asked to let fall silent; it acknowledges it all the same.

    With `stop_reading` it takes nothing more from the client either: then the client's own buffers fill up.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.links: list[Link] = []
        self.silence_when: Callable[[Link, bytes, bool], bool] = lambda _link, _data, _to_server: False
        """Asked with all that passes, and whether it is for the server: a link falls silent when it says so."""
        self.stop_reading = False
        self._tasks: set[asyncio.Task[None]] = set()

    def fall_silent(self, which: Callable[[Link], bool] = lambda _: True) -> int:
        """Let links that are open now fall silent; how many did."""
        chosen = [link for link in self.links if not link.silent and which(link)]
        for link in chosen:
            link.silent = True
        return len(chosen)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        link = Link()
        self.links.append(link)
        try:
            sides = (
                self._pass_on(link, reader, there_writer, to_server=True),
                self._pass_on(link, there_reader, writer, to_server=False),
            )
            await asyncio.gather(*sides)
        finally:
            self.links.remove(link)
            for end in (writer, there_writer):
                end.transport.abort()

    async def _pass_on(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_SOME_BYTES):
                link.asked_in_vain = link.asked_in_vain or (link.silent and to_server)
                if not link.silent and self.silence_when(link, data, to_server):
                    link.silent = True
                if link.silent:
                    if to_server and self.stop_reading:
                        await asyncio.Event().wait()
                    continue
                link.heard = time.monotonic()
                if to_server:
                    link.sent += data[-_SOME_BYTES:] if len(link.sent) < 4 * _SOME_BYTES else b""
                writer.write(data)
                await writer.drain()
        if not link.silent:  # the other side does not see the end of a silent one
            writer.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def falling_silent(database_url: str) -> AsyncIterator[tuple[SilentProxy, str]]:
    """The proxy, and the database's URL through it."""
    proxy = SilentProxy(*place_of(database_url))
    async with through(proxy.serve, database_url) as url:
        try:
            yield proxy, url
        finally:
            await proxy.close()
