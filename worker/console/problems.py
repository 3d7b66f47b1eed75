"""Failures, as problems of RFC 9457 for programs and as a page for people: what happened, and what to do."""

import json
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from worker.console.rendering import page

RETRY_SECONDS: Final = 5
_URN: Final = "urn:connects:problem:"


class Kind(NamedTuple):
    """A kind of problem: its status, its title, and whether asking again by itself may help."""

    status: HTTPStatus
    title: str
    retries: bool = False


KINDS: Final = {
    "invalid-id": Kind(HTTPStatus.BAD_REQUEST, "This cannot be an id"),
    "invalid-parameter": Kind(HTTPStatus.BAD_REQUEST, "A parameter cannot be used"),
    "invalid-cursor": Kind(HTTPStatus.BAD_REQUEST, "The cursor cannot be used"),
    "wrong-token": Kind(HTTPStatus.UNAUTHORIZED, "The token is missing or wrong"),
    "not-logged-in": Kind(HTTPStatus.FORBIDDEN, "Nobody is logged in"),
    "wrong-host": Kind(HTTPStatus.MISDIRECTED_REQUEST, "Not a name of this host"),
    "nothing-on-record": Kind(HTTPStatus.NOT_FOUND, "Nothing is on record"),
    "no-such-topic": Kind(HTTPStatus.NOT_FOUND, "No topic is about this"),
    "no-such-plan": Kind(HTTPStatus.NOT_FOUND, "No plan has this hash"),
    "no-such-version": Kind(HTTPStatus.NOT_FOUND, "No policy version has this name"),
    "no-such-page": Kind(HTTPStatus.NOT_FOUND, "There is no such page"),
    "wrong-method": Kind(HTTPStatus.METHOD_NOT_ALLOWED, "This console is read-only"),
    "ledger-away": Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be read now", retries=True),
    "ledger-unusable": Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be read"),
    "failed": Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "Something failed"),
}
"""By the last part of their type."""


def problem(kind: str, detail: str, path: str, **more: Any) -> Response:  # noqa: ANN401 - extensions are any JSON
    """The response to a request for this path; `more` are members of the problem in JSON."""
    found = KINDS[kind]
    response = _as_json(kind, detail, path, more) if path.startswith("/api/") else _as_page(found, detail)
    if found.retries:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    if kind == "wrong-method":
        response.headers["Allow"] = "GET" if path.startswith("/api/") else "GET, HEAD"
    return response


def document(kind: str, detail: str, path: str) -> dict[str, Any]:
    """A problem in JSON."""
    found = KINDS[kind]
    return {
        "type": _URN + kind,
        "title": found.title,
        "status": int(found.status),
        "detail": detail,
        "instance": path,
    }


def _as_json(kind: str, detail: str, path: str, more: dict[str, Any]) -> Response:
    body = json.dumps({**document(kind, detail, path), **more}).encode()
    return Response(body, KINDS[kind].status, media_type="application/problem+json")


def _as_page(kind: Kind, detail: str) -> Response:
    return page(
        "problem.html", kind.status, title=kind.title, detail=detail, retry=RETRY_SECONDS if kind.retries else 0
    )
