"""The worker's own HTTP server: health, metrics, and what its topics hold. It reads only, and only small requests."""

import asyncio
import html
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_HEAD_BYTES: Final = 8 * 1024
_REQUEST_SECONDS: Final = 5.0
_CONNECTIONS: Final = 64

_log = structlog.get_logger(__name__)


class HealthSource(Protocol):
    """Who knows how the worker is."""

    @property
    def role(self) -> str:
        """`active` or `standby`."""
        ...

    def problems(self) -> list[str]:
        """What is wrong now, in words; nothing when all is well. A healthy standby has none."""
        ...


class Response(NamedTuple):
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class HttpServer:
    """Serves `/health/live`, `/health/ready`, `/metrics` and `/asyncapi`.

    `refresh` is called before metrics are shown, `asyncapi` makes the document when it is asked for.
    """

    def __init__(
        self,
        source: HealthSource,
        registry: CollectorRegistry,
        *,
        asyncapi: Callable[[], Mapping[str, object]],
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._registry = source, registry
        self._asyncapi, self._refresh = asyncapi, refresh
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (of 0, one that was free).

        Raises:
            OSError: the port is taken, or the address is none of this machine's.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=_HEAD_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        _log.info("http.listening", host=host, port=bound)
        return bound

    async def stop(self) -> None:
        """Listen no more, and let go of whoever is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._serving) >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._serving.add(task)
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                method, response = await self._answer(reader)
                writer.write(_head(response) + (b"" if method == "HEAD" else response.body))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()  # whoever asked has gone, or takes too long, or the server stops
        finally:
            self._serving.discard(task)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, Response]:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.LimitOverrunError:
            return "", _text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large")
        request, *headers = head.split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            return "", _text(HTTPStatus.BAD_REQUEST, "not a request")
        if method not in {"GET", "HEAD"}:
            return method, _text(HTTPStatus.METHOD_NOT_ALLOWED, "GET only")
        accepts_html = any(line.lower().startswith("accept:") and "text/html" in line for line in headers)
        try:
            return method, self._route(target.partition("?")[0], accepts_html=accepts_html)
        except Exception:  # noqa: BLE001 - whatever failed, the one who asked gets an answer
            _log.exception("http.failed", target=target)
            return method, _text(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; the log says why")

    def _route(self, path: str, *, accepts_html: bool) -> Response:
        if path == "/health/live":
            return _json(HTTPStatus.OK, {"live": True})
        if path == "/health/ready":
            problems = self._source.problems()
            status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
            return _json(status, {"ready": not problems, "role": self._source.role, "problems": problems})
        if path == "/metrics":
            self._refresh()
            return Response(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry))
        if path == "/asyncapi":
            document = self._asyncapi()
            if accepts_html:
                return Response(HTTPStatus.OK, "text/html; charset=utf-8", _page(document))
            return _json(HTTPStatus.OK, document)
        return _text(HTTPStatus.NOT_FOUND, "there is /health/live, /health/ready, /metrics and /asyncapi")


def _head(response: Response) -> bytes:
    status = response.status
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Connection: close",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _json(status: HTTPStatus, document: Mapping[str, object]) -> Response:
    return Response(status, "application/json", json.dumps(document, indent=2).encode() + b"\n")


def _text(status: HTTPStatus, words: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", words.encode() + b"\n")


def _page(document: Mapping[str, object]) -> bytes:
    """The document for a person: which topics there are, then all of it. Loads nothing from elsewhere."""
    info, channels = document.get("info"), document.get("channels")
    title = html.escape(str(info.get("title", "AsyncAPI")) if isinstance(info, dict) else "AsyncAPI")
    topics = "".join(
        f"<li><code>{html.escape(str(channel.get('address', name)))}</code></li>"
        for name, channel in (channels.items() if isinstance(channels, dict) else ())
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<style>body{font-family:sans-serif;margin:2rem;max-width:70rem}pre{background:#f6f6f6;padding:1rem}</style>"
        f"<h1>{title}</h1><h2>Topics</h2><ul>{topics}</ul>"
        f"<h2>AsyncAPI document</h2><pre>{html.escape(json.dumps(document, indent=2))}</pre></html>\n"
    ).encode()
