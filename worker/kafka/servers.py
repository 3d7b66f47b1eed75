"""The servers that KAFKA_BOOTSTRAP_SERVERS lists, checked before anybody connects."""

import re
from typing import Final, NamedTuple

from worker.places import LAST_PORT

_FORM: Final = "should be host:port, or several of them with commas between"
_MOST_SHOWN: Final = 100
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s,/@\[\]]+):(\d{1,9})")


class Server(NamedTuple):
    """One server of the list."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listed_servers(text: str) -> tuple[Server, ...]:
    """The servers of a list.

    Raises:
        ValueError: one of them cannot be a server; the text says what would be right, and holds nothing that may be
            a password.
    """
    return tuple(_server(entry) for entry in text.split(","))


def _server(entry: str) -> Server:
    match = _SERVER.fullmatch(entry)
    if match is None:
        hidden = "@" in entry or not 0 < len(entry) <= _MOST_SHOWN
        raise ValueError(_FORM + ("" if hidden else f", is not {entry!r}"))
    host, port = match[1].strip("[]"), int(match[2])
    if ":" in host and not match[1].startswith("["):
        raise ValueError(f"{_FORM}, and an IPv6 address is written in brackets, as in [::1]:9092")
    if not 1 <= port <= LAST_PORT:
        raise ValueError(f"the port of {entry} should be from 1 to {LAST_PORT}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(
            f"the host of {entry[:_MOST_SHOWN]} is no name that can be looked up: "
            "between two dots there are 1 to 63 characters"
        ) from None
    return Server(host, port)
