"""The console as one ASGI application: its pages, its API, and what every failure looks like."""

import re
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from worker.console.addresses import NO_ID
from worker.console.api import api
from worker.console.desk import Desk
from worker.console.guard import Guard
from worker.console.openapi import describe
from worker.console.pages import add_pages
from worker.console.problems import problem
from worker.errors import Transient, WorkerError
from worker.http.application import SmallRequests
from worker.http.server import HttpServer
from worker.queries.plan_effects import NoSuchPlan
from worker.queries.policy_versions import NoSuchVersion

_REQUEST_SECONDS: Final = 20.0
"""How long a connection may take: a page has less, and its reader a slow line."""
_ADDRESS: Final = re.compile(r"postgres(?:ql)?://\S+")

_log: Final = structlog.get_logger(__name__)


def served(desk: Desk) -> HttpServer:
    """The console on a server that is not started yet."""
    return HttpServer(application(desk), _REQUEST_SECONDS)


def application(desk: Desk) -> ASGIApp:
    """The console at a desk. It serves GET only, small requests only, and nobody whom the desk does not let in."""
    app = FastAPI(
        title="Connects console",
        description="What became of a freelancer's Connects, and why, in words to paste. Read-only.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its page loads scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever host the request names
        exception_handlers={
            HTTPException: _of_http,
            RequestValidationError: _of_a_parameter,
            NoSuchPlan: _of_a_plan,
            NoSuchVersion: _of_a_version,
            WorkerError: _of_the_ledger,
            Exception: _of_a_failure,
        },
    )
    app.include_router(api(desk))
    add_pages(app, desk)
    describe(app, has_token=bool(desk.access.token))
    return SmallRequests(Guard(app, desk.access))


async def _of_http(request: Request, error: Exception) -> Response:
    path = request.url.path
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return problem("wrong-method", "Use GET: nothing can be changed here.", path)
    return problem("no-such-page", "There is nothing at this address. The search finds every page.", path)


async def _of_a_parameter(request: Request, error: Exception) -> Response:
    """Name the first parameter that cannot be used; its value is not repeated."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("", "parameter"), "msg": ""}
    where, name = first["loc"][0], first["loc"][-1]
    if where == "path":
        return problem("invalid-id", NO_ID.capitalize(), request.url.path)
    return problem("invalid-parameter", f"{name}: {first['msg']}.", request.url.path)


async def _of_a_plan(request: Request, error: Exception) -> Response:
    return problem("no-such-plan", str(error), request.url.path)


async def _of_a_version(request: Request, error: Exception) -> Response:
    return problem("no-such-version", str(error), request.url.path)


async def _of_the_ledger(request: Request, error: Exception) -> Response:
    """Say why the ledger cannot be read; where it is stays in the log, for readers have no use for the address."""
    kind = "ledger-away" if isinstance(error, Transient) else "ledger-unusable"
    _log.warning("console.ledger", kind=kind, error=str(error))
    return problem(kind, _ADDRESS.sub("DATABASE_URL", str(error)), request.url.path)


async def _of_a_failure(request: Request, _error: Exception) -> Response:
    return problem("failed", "The console failed. Its log says why.", request.url.path)
