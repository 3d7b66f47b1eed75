"""The ASGI application: health, metrics, and what the worker's topics hold."""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.http.asyncapi_page import asyncapi_page

_HEAD_BYTES: Final = 8 * 1024
"""The most that a request's path and headers may have."""
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_HEADERS: Final = {
    "Connection": "close",  # a connection ends with its one request, and so cannot be kept open
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}

_log = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


class HealthSource(Protocol):
    """Who knows how the worker is."""

    @property
    def role(self) -> str:
        """`active` or `standby`."""
        ...

    def problems(self) -> list[str]:
        """What keeps it from working now, in words; nothing when all is well. A healthy standby has none."""
        ...


def application(
    source: HealthSource,
    registry: CollectorRegistry,
    *,
    asyncapi: Callable[[], Mapping[str, object]],
    refresh: Callable[[], None] = lambda: None,
    warnings: Callable[[], list[str]] = list,
) -> ASGIApp:
    """Make the application that serves `/health/live`, `/health/ready`, `/metrics` and `/asyncapi`.

    `refresh` is called before metrics are shown, `asyncapi` makes the document when it is asked for. `warnings` are
    what else is wrong, while the worker goes on with its work: they are shown, and do not make it unready.
    """

    async def live(_request: Request) -> Response:
        return _json(HTTPStatus.OK, {"live": True})

    async def ready(_request: Request) -> Response:
        problems = source.problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        found = {"ready": not problems, "role": source.role, "problems": [*problems, *warnings()]}
        return _json(status, found)

    async def metrics(_request: Request) -> Response:
        refresh()
        return _response(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))

    async def topics(request: Request) -> Response:
        document = asyncapi()
        if "text/html" in request.headers.get("accept", ""):
            return _response(HTTPStatus.OK, "text/html; charset=utf-8", asyncapi_page(document))
        return _json(HTTPStatus.OK, document)

    pages: dict[str, Endpoint] = {
        "/health/live": live,
        "/health/ready": ready,
        "/metrics": metrics,
        "/asyncapi": topics,
    }
    routed = Starlette(
        routes=[Route(path, _answered(page), methods=["GET"]) for path, page in pages.items()],
        exception_handlers={HTTPStatus.NOT_FOUND: _not_found, HTTPStatus.METHOD_NOT_ALLOWED: _get_only},
    )
    routed.router.redirect_slashes = False  # it would lead to whatever host the request names
    return SmallRequests(routed)


class SmallRequests:
    """Refuses what is no small request of HTTP 1 before anything else sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        app = self._app
        if scope["http_version"] not in _VERSIONS:
            app = _text(HTTPStatus.BAD_REQUEST, "not a request")
        elif size > _HEAD_BYTES:
            app = _text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large")
        await app(scope, receive, send)


def _answered(page: Endpoint) -> Endpoint:
    """The page, and a response also where it fails: the log says why, the response does not."""

    async def endpoint(request: Request) -> Response:
        try:
            return await page(request)
        except Exception:  # noqa: BLE001 - whatever failed, the client gets a response
            _log.exception("http.failed", target=request.url.path)
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; the log says why")

    return endpoint


async def _not_found(_request: Request, _error: Exception) -> Response:
    return _text(HTTPStatus.NOT_FOUND, "there is /health/live, /health/ready, /metrics and /asyncapi")


async def _get_only(_request: Request, _error: Exception) -> Response:
    response = _text(HTTPStatus.METHOD_NOT_ALLOWED, "GET only")
    response.headers["Allow"] = "GET, HEAD"
    return response


def _json(status: HTTPStatus, document: Mapping[str, object]) -> Response:
    return _response(status, "application/json", json.dumps(document, indent=2).encode() + b"\n")


def _text(status: HTTPStatus, words: str) -> Response:
    return _response(status, "text/plain; charset=utf-8", words.encode() + b"\n")


def _response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    return Response(body, status, _HEADERS, content_type)
