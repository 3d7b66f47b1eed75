"""Serves the application with uvicorn, inside the worker's event loop and within bounds."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

_REQUEST_SECONDS: Final = 5.0
"""How long a connection of the worker may take for its request and the response."""
_CONNECTIONS: Final = 64
_INCOMPLETE_BYTES: Final = 64 * 1024
"""The most of a request's head that is kept while the rest of it is awaited."""
_STOP_SECONDS: Final = 1

_log = structlog.get_logger(__name__)


class HttpServer:
    """An application on a port; a connection lasts `request_seconds` at most, with its request and the response."""

    def __init__(self, application: ASGIApp, request_seconds: float | None = None) -> None:
        self._server = _Server(
            uvicorn.Config(
                application,
                http=_bounded(request_seconds),
                ws="none",
                loop="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",  # of what any stranger may send there is no line in the log
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=int(request_seconds or _REQUEST_SECONDS),
                timeout_graceful_shutdown=_STOP_SECONDS,
                h11_max_incomplete_event_size=_INCOMPLETE_BYTES,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (of 0, one that was free).

        Raises:
            OSError: the port is taken, or the address does not belong to this host.
        """
        sockets = await listening_sockets(host, port)
        bound: int = sockets[0].getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets), name="http")
        _log.info("http.listening", host=host, port=bound)
        return bound

    async def stop(self) -> None:
        """Stop listening and close open connections."""
        if self._serving is None:
            return
        self._server.should_exit = True
        for connection in self._server.server_state.connections:
            connection.transport.abort()
        await self._serving
        self._serving = None


class _Server(uvicorn.Server):
    """Leaves signals to the worker, which finishes its work before it stops this server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Bounded(H11Protocol):
    """Limits how many connections there are, and how long each lasts, which uvicorn does not.

    uvicorn's `limit_concurrency` would answer 503, which a probe takes for a worker that is not ready, and keep the
    connection; and no timeout of its ends a request that never becomes whole.
    """

    seconds: float | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn narrows asyncio's type
        """Accept a connection for a while, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > _CONNECTIONS:
            transport.abort()
            return
        self._deadline = self.loop.call_later(self.seconds or _REQUEST_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)


def _bounded(request_seconds: float | None) -> type[_Bounded]:
    """The protocol with that limit."""
    return type("_Bounded", (_Bounded,), {"seconds": request_seconds})


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of the host.

    Raises:
        OSError: one of them cannot be had.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as opened:
        sockets = [
            opened.enter_context(_listening(family, address))
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found)
        ]
        opened.pop_all()
    return sockets


def _listening(family: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # or :: would take the addresses of 0.0.0.0 as well
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen()
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
