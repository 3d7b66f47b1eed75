"""A PostgreSQL URL as it is typed: taken apart without doubt, or refused in words that hold nothing of a password.

The driver's own reading is too trusting: it takes the part of a password after a raw `@` for the host, and what it
cannot read it repeats in its errors. So every URL passes through here first, and the driver gets it percent-encoded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from worker import libpq_parameters
from worker.libpq_parameters import TREATMENTS
from worker.places import LAST_PORT
from worker.secrecy import MASK

_SCHEME: Final = re.compile(r"postgres(?:ql)?://")
_PARAMETER_PASSWORD: Final = re.compile(
    r"((?:password|scram_client_key|scram_server_key|oauth_client_secret)=)[^&]*", re.IGNORECASE
)
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_AS_IT_IS: Final = re.compile(r"(?:[A-Za-z0-9._~!$'()*,;:=-]|%[0-9A-Fa-f]{2})*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_BRACKETED: Final = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%25\w+)?\])(?::(.*))?")
_MOST_DIGITS: Final = 9
_SECRET_PARAMETERS: Final = ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
DRIVERS_PARAMETERS: Final = frozenset(
    {
        *("service", "host", "port", "dbname", "database", "user", "password", "passfile", "target_session_attrs"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslnegotiation", "sslcrl", "sslpassword"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
    }
)
"""What the driver takes out of the query; everything else goes to the server as one of its settings."""
_WELL_KNOWN: Final = TREATMENTS.keys() | DRIVERS_PARAMETERS | {"search_path"}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The parts of a URL, decoded. `hosts` are as typed, each with its port; empty parts were not given."""

    user: str
    password: str
    hosts: tuple[str, ...]
    database: str
    parameters: tuple[tuple[str, str], ...]

    @property
    def role(self) -> str:
        """The role that connects; empty when the URL leaves it to the driver."""
        return self.user or self.parameter("user")

    @property
    def named_database(self) -> str:
        """The database; empty when the URL leaves it to the driver, which then takes the role's name."""
        return self.database or self.parameter("dbname") or self.parameter("database")

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each server that is reached by TCP."""
        hosts = self.hosts or tuple(filter(None, self.parameter("host").split(",")))
        default = self.parameter("port").split(",")[0]
        found = [_split_port(host) for host in hosts]
        return tuple(
            (_decoded(host).strip("[]"), int(port or default or "5432"))
            for host, port in found
            if not _decoded(host).startswith("/")
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password in the URL."""
        named = (value for name, value in self.parameters if name.lower() in _SECRET_PARAMETERS)
        return tuple(filter(None, (self.password, *named)))

    def parameter(self, name: str) -> str:
        """The last value of a parameter; empty when there is none."""
        return next((value for key, value in reversed(self.parameters) if key == name), "")


def for_driver(url: str) -> str:
    """The URL so that the driver reads what was typed: unchanged where it does, else percent-encoded.

    What it does not know of libpq's parameters is turned into what it knows, or left out.

    Raises:
        ValueError: it cannot be taken apart without doubt, or a parameter cannot be kept; the text says what would be
            right.
    """
    url = url.strip("\r\n")  # a file of a secret often ends so
    parts = taken_apart(url)
    parameters = libpq_parameters.for_driver(parts.parameters)
    is_plain = all(map(_AS_IT_IS.fullmatch, _typed_parts(url))) and not _is_typed_raw(url)
    if is_plain and parameters == parts.parameters:
        return url
    credentials = quote(parts.user, safe="")
    if parts.password:
        credentials += ":" + quote(parts.password, safe="")
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
    return (
        "postgresql://"
        + (f"{credentials}@" if credentials else "")
        + ",".join(parts.hosts)
        + (f"/{quote(parts.database, safe='')}" if parts.database else "")
        + (f"?{query}" if query else "")
    )


def taken_apart(url: str) -> DatabaseUrl:
    """The parts of the URL.

    Raises:
        ValueError: it cannot be taken apart without doubt; the text says what would be right.
    """
    if not _SCHEME.match(url):
        raise ValueError("should begin with postgresql://")
    if any(ord(character) < ord(" ") or character == "\x7f" for character in url):
        raise ValueError("holds a line break or another control character. Remove it, or percent-encode it (%0A)")
    authority, _, query = _split(url)
    userinfo, at, hosts = authority.rpartition("@")
    for bracket in "[]":
        if bracket in userinfo:
            raise ValueError(_encode(bracket))
    user, _, password = userinfo.partition(":")
    return DatabaseUrl(
        user=_text(user),
        password=_text(password),
        hosts=tuple(_hosts(hosts, has_user=bool(at))),
        database=_text(_path(url)),
        parameters=tuple(_parameters(query)),
    )


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if at and colon:
        rest = f"{user}:{MASK}@{address}"
    return _PARAMETER_PASSWORD.sub(rf"\g<1>{MASK}", scheme + separator + rest)


def _split(url: str) -> tuple[str, str, str]:
    """What is before the path, the path, and the query, where no `@` or `#` leaves it open which is which."""
    rest = url.partition("://")[2]
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if "#" in tail:  # a fragment means nothing here, so it is a part of a password, or of a name
        raise ValueError(_encode(tail[0] if "@" in tail else "#"))
    path, _, query = tail.partition("?")
    if "@" in path or ("@" in query and not _is_plain_query(authority, query)):
        raise ValueError(_encode(tail[0]))
    return authority, path, query


def _is_plain_query(authority: str, query: str) -> bool:
    """Whether an `@` in the query is the value's own, as in `?user=me@example.com`, beyond doubt."""
    names = [field.partition("=")[0] for field in query.split("&")]
    try:
        list(_hosts(authority.rpartition("@")[2], has_user=True))
    except ValueError:
        return False
    return all(name in _WELL_KNOWN for name in names)


def _path(url: str) -> str:
    return _split(url)[1].removeprefix("/")


def _typed_parts(url: str) -> Iterator[str]:
    authority, path, query = _split(url)
    userinfo = authority.rpartition("@")[0]
    yield from (userinfo.replace("+", ""), path.replace("/", ""))  # a plus sign is itself there, and a space below
    for field in query.split("&"):
        yield field.partition("=")[2].replace("/", "")


def _is_typed_raw(url: str) -> bool:
    """Whether a percent sign begins no encoding, or one of no UTF-8 text: the driver would guess."""
    return any(_decoded(part) == part and "%" in part for part in _typed_parts(url))


def _hosts(hosts: str, *, has_user: bool) -> Iterator[str]:
    if not hosts:
        return
    for typed in hosts.split(","):
        host, port = _split_port(typed)
        if not host:
            raise ValueError("names no host before a port or a comma; postgresql://user@host:5432/database is the form")
        if "[" in host or "]" in host:
            if not _BRACKETED.fullmatch(typed):
                raise ValueError(_encode("[" if "[" in host else "]"))
        elif not _decoded(host).startswith("/"):
            _require_host_name(_decoded(host))
        _require_port(port, shown=has_user)
        yield typed


def _split_port(typed: str) -> tuple[str, str]:
    if match := _BRACKETED.fullmatch(typed):
        return match[1], match[2] or ""
    host, _, port = typed.partition(":")
    return host, port


def _require_host_name(host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(
            "the host is no name that can be looked up: between two dots there are 1 to 63 characters"
        ) from None


def _require_port(port: str, *, shown: bool) -> None:
    """Refuse a port that cannot be one; without a user before the host it may be a password, and is not shown."""
    if not port:
        return
    if not (port.isascii() and port.isdigit()):
        raise ValueError(
            f"the port is not a number from 1 to {LAST_PORT}; postgresql://user:password@host:5432/database is the form"
        )
    if len(port) > _MOST_DIGITS or not 1 <= int(port) <= LAST_PORT:
        named = f"{port[:_MOST_DIGITS]} " if shown else ""
        raise ValueError(f"the port {named}should be from 1 to {LAST_PORT}")


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    after_secret = False
    for field in filter(None, query.split("&")):
        name, equals, value = field.partition("=")
        if not equals or not _NAME.fullmatch(name) or (after_secret and name not in _WELL_KNOWN):
            raise ValueError(
                "something after the question mark is no NAME=value. "
                "If it belongs to a password, percent-encode it: & as %26, = as %3D"
            )
        after_secret = after_secret or name.lower() in _SECRET_PARAMETERS
        if name == "port":
            for port in value.split(","):
                _require_port(port, shown=True)
        yield name, _text(value)


def _text(typed: str) -> str:
    decoded = _decoded(typed)
    if "\0" in decoded:
        raise ValueError("holds a zero byte (%00), which PostgreSQL takes in no name and no password")
    return decoded


def _decoded(typed: str) -> str:
    """What was meant: percent-encodings decoded, or the text as it is if one of its percent signs begins none."""
    if typed.count("%") != len(_ENCODED.findall(typed)):
        return typed
    try:
        return unquote_to_bytes(typed).decode()
    except UnicodeDecodeError:
        return typed


def _encode(character: str) -> str:
    return (
        f"a {character!r} in it leaves open where the password, the host or the database ends. "
        f"Where it belongs to a password or a name, percent-encode it: {character} as {quote(character, safe='')} "
        "(and # as %23, / as %2F, ? as %3F, @ as %40, % as %25)"
    )
