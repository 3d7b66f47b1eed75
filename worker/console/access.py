"""Who may look: nobody from elsewhere without a token or a proxy's login, and who it is, for the record."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple

from worker.errors import SettingsError
from worker.settings import Settings

_MOST_NAME: Final = 128
_NAME: Final = re.compile(rf"[A-Za-z0-9._:@+-]{{1,{_MOST_NAME}}}")
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_UNNAMED: Final = "unnamed"


class Access(NamedTuple):
    """How requests prove that they may look. With neither, only this host can reach the console.

    A request with the token may look, and so may one whose `trust_header` a proxy has set after its login.
    """

    token: str = ""
    trust_header: str = ""

    @property
    def is_open(self) -> bool:
        """Whether everybody who reaches the console may look."""
        return not self.token and not self.trust_header

    def reader(self, headers: Mapping[str, str]) -> str | None:
        """Who asks, by their headers (names in lower case); None: they may not look.

        The user name beside the token is what the asker says; the proxy's header is what the proxy has checked.
        """
        if self.is_open:
            return "local" if _is_local(headers.get("host", "")) else None
        if self.trust_header and (named := headers.get(self.trust_header.lower(), "").strip()):
            return _shown(named)
        if self.token:
            return self._by_token(headers.get("authorization", ""))
        return None

    def _by_token(self, authorization: str) -> str | None:
        scheme, _, credentials = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return "token" if self._is_token(credentials.strip()) else None
            case "basic":
                user, _, password = _decoded(credentials.strip()).partition(":")
                return _shown(user) if self._is_token(password) else None
            case _:
                return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


def access_for(host: str, settings: Settings) -> Access:
    """How the settings let people in, where the console listens on that address.

    Raises:
        SettingsError: others could reach it, and nothing would ask them who they are.
    """
    access = Access(settings.console_token.get_secret_value(), settings.console_trust_header)
    if access.is_open and not is_loopback(host):
        raise SettingsError(
            f"CONNECTS_CONSOLE_TOKEN: not set, though --host {host} can be reached from other machines. Set it, or "
            "CONNECTS_CONSOLE_TRUST_HEADER to the header in which a proxy names who logged in, or use --host 127.0.0.1"
        )
    return access


def is_loopback(host: str) -> bool:
    """Whether only this host can reach that address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local(host_header: str) -> bool:
    """Whether a request names this host.

    A page of others can let its own name lead here, and then read what a browser on this host may read.
    """
    name = host_header.lower().rpartition(":")[0] if re.search(r":\d+$", host_header) else host_header.lower()
    return name in _LOCAL_NAMES or is_loopback(name)


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _shown(name: str) -> str:
    """A name as the record has it."""
    return name if _NAME.fullmatch(name) else _UNNAMED
