"""Checks every request before the application sees it, and sets the headers of every response."""

from collections.abc import Mapping
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.console.access import Access
from worker.console.problems import problem

_HEADERS: Final = {
    "Connection": "close",  # a connection ends with its one request, and so cannot be kept open
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
_OPEN_TO_ALL: Final = ("/health/", "/static/")
"""Paths that hold nothing of the ledger."""
_FORBIDDEN_NAME: Final = "This console answers only to names of this host: open it as http://127.0.0.1 with its port."

_log: Final = structlog.get_logger(__name__)


class Guard:
    """An application behind it never sees a request that may not look."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        reader = self._access.reader(self._headers(scope))
        path: str = scope["path"]
        if reader is None and not path.startswith(_OPEN_TO_ALL):
            await self._refusal(path)(scope, receive, sent)
            return
        scope["state"] = {**scope.get("state", {}), "reader": reader}
        try:
            await self._app(scope, receive, sent)
        except Exception:  # noqa: BLE001 - whatever failed, the client gets a response; the log says why
            _log.exception("console.failed", path=path)
            if not begun:
                await problem("failed", "The console failed. Its log says why.", path)(scope, receive, sent)

    def _headers(self, scope: Scope) -> Mapping[str, str]:
        """The headers; a proxy's login that comes twice counts as none, since one of the two is not the proxy's."""
        found: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            twice = name in found and name == self._access.trust_header.lower()
            found[name] = "" if twice else value
        return found

    def _refusal(self, path: str) -> Response:
        if self._access.is_open:
            return problem("wrong-host", _FORBIDDEN_NAME, path)
        if not self._access.token:
            return problem("not-logged-in", "Log in through the proxy that guards this console.", path)
        response = problem("wrong-token", "Give the console's token as the password, or as a bearer token.", path)
        response.headers.append("WWW-Authenticate", 'Basic realm="connects console", charset="UTF-8"')
        return response
