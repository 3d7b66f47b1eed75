"""Checks of the values of settings: one each; a wrong value is refused in words that hold nothing secret.

Each raises a ValueError that says what would be right; `Settings` names the setting.
"""

import re
from datetime import UTC, date, datetime
from typing import Final

from pydantic import SecretStr

from worker.database_url import for_driver
from worker.kafka.servers import listed_servers
from worker.wall_clock import wall_clock

_FIRST_YEAR: Final = 1970
_SHORTEST_TOKEN: Final = 16
_LONGEST_TOKEN: Final = 200
_TOKEN: Final = re.compile(rf"[A-Za-z0-9_-]{{{_SHORTEST_TOKEN},{_LONGEST_TOKEN}}}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_database_url(url: str) -> str:
    """A URL that the driver takes."""
    return for_driver(url) if url else url


def is_server_list(servers: str) -> str:
    """Kafka's servers, as HOST:PORT."""
    if servers:
        listed_servers(servers)
    return servers


def is_host(host: str) -> str:
    """An address or a name of this host."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("should be an address of this host, or a name of it that can be looked up") from None
    return host


def is_long_enough(token: SecretStr) -> SecretStr:
    """A token that nobody guesses, and that a browser and a program can send as it is."""
    text = token.get_secret_value()
    if text and not _TOKEN.fullmatch(text):
        raise ValueError(
            f"should be {_SHORTEST_TOKEN} to {_LONGEST_TOKEN} characters of A-Z, a-z, 0-9, - and _, "
            "as `openssl rand -hex 24` prints them"
        )
    return token


def is_header_name(name: str) -> str:
    """The name of an HTTP header."""
    if name and not _HEADER_NAME.fullmatch(name):
        raise ValueError("should be the name of one HTTP header, such as X-Forwarded-User")
    return name


def is_clock(spec: str) -> str:
    """A simulated clock, as <start>@<rate>."""
    try:
        wall_clock(spec)
    except ValueError as error:
        if repr(spec) in str(error):  # it may be another setting's value, with a password in it
            raise ValueError("should be <start>@<rate>, as in 2026-03-01T00:00:00Z@3600") from None
        raise
    return spec


def is_earliest_event(text: object) -> object:
    """An instant with an offset, or a day in UTC; not before 1970, which no date of an event may be."""
    if not isinstance(text, str):
        return text
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            "should be an instant with an offset, such as 2000-01-01T00:00:00Z, or a day, such as 2000-01-01"
        ) from None
    if instant.year < _FIRST_YEAR:
        raise ValueError(f"should be in the year {_FIRST_YEAR} or later")
    return instant


def lower_case(value: object) -> object:
    """The text in lower case."""
    return value.lower() if isinstance(value, str) else value
