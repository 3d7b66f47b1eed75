"""libpq's parameters in a URL, as hosters write them, turned into what our driver does.

What changes nothing that a user relies on is left out. What is a promise that the driver cannot keep is refused.
"""

import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

Parameters = tuple[tuple[str, str], ...]
Treatment = Callable[[str, str], str | None]
"""The value that the driver gets; None: the parameter is left out. Raises ValueError: it is refused."""

_WORKS_AS_WELL: Final = "sslmode=verify-full protects as well"
SESSION_ATTRIBUTES: Final = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_VERIFYING: Final = ("verify-ca", "verify-full")
_MOST_SHOWN: Final = 40
_SYSTEM: Final = "system"
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their authorities in one file, if the TLS library does not say."""


def _kept(_name: str, value: str) -> str:
    return value


def _left_out(_name: str, _value: str) -> None:
    return None


def _number(name: str, value: str) -> None:
    """A limit on waiting: the worker has its own, which are shorter (docs/operations.md, "Silence")."""
    if not value.strip().removeprefix("-").isdecimal():
        raise ValueError(f"{name} should be a whole number. Correct it, or take it out")


def _one_of(*values: str) -> Treatment:
    def treat(name: str, value: str) -> str:
        if value not in values:
            raise ValueError(f"{name} is one of {', '.join(values)}")
        return value

    return treat


def _left_out_if(*harmless: str, instead: str, among: Iterable[str] = ()) -> Treatment:
    """Leave out values that promise nothing, and refuse the others, of which `among` has those that libpq takes."""

    def treat(name: str, value: str) -> None:
        if value.lower() in harmless:
            return
        if among and value not in among:
            raise ValueError(f"{name} is one of {', '.join((*harmless, *among))}")
        raise ValueError(f"{name}={_shown(value)} cannot be kept by this worker. {instead}")

    return treat


def _shown(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."


def _refused(instead: str) -> Treatment:
    def treat(name: str, _value: str) -> None:
        raise ValueError(f"{name} cannot be used by this worker. {instead}")

    return treat


def _encoding(name: str, value: str) -> None:
    if value.lower().replace("-", "").replace("_", "") not in {"utf8", "unicode", "auto"}:
        raise ValueError(
            f"{name}={_shown(value)} cannot be kept: a worker speaks UTF8 only. Take it out, or write UTF8"
        )


_OFF: Final = ("0", "off", "no", "false")
_NO_OAUTH: Final = "It signs in with a password or a certificate: take it out, and name those"
TREATMENTS: Final[Mapping[str, Treatment]] = {
    # What the driver reads itself.
    **dict.fromkeys(("host", "port", "dbname", "database", "user", "password", "passfile", "service"), _kept),
    **dict.fromkeys(("sslcert", "sslkey", "sslpassword", "sslcrl", "sslrootcert", "krbsrvname"), _kept),
    "sslmode": _one_of(*_MODES),
    "sslnegotiation": _one_of("postgres", "direct"),
    "ssl_min_protocol_version": _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "gsslib": _one_of("gssapi", "sspi"),
    "target_session_attrs": _one_of(*SESSION_ATTRIBUTES),
    # What the server reads.
    **dict.fromkeys(("options", "application_name"), _kept),
    # What changes nothing that a user relies on.
    **dict.fromkeys(("fallback_application_name", "sslcompression", "authtype", "tty"), _left_out),
    **dict.fromkeys(("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"), _number),
    **dict.fromkeys(("keepalives_count", "tcp_user_timeout"), _number),
    "client_encoding": _encoding,
    "load_balance_hosts": _left_out_if("disable", "random", instead="Take it out"),
    # What may be a promise.
    "channel_binding": _left_out_if(
        "disable",
        "prefer",
        instead=f"Take it out, or write channel_binding=prefer; {_WORKS_AS_WELL}",
        among=("require",),
    ),
    "gssencmode": _left_out_if(
        "disable", "prefer", instead="Write gssencmode=prefer, and sslmode=verify-full instead", among=("require",)
    ),
    "gssdelegation": _left_out_if("0", instead="Take it out"),
    "require_auth": _refused(f"Take it out; {_WORKS_AS_WELL} against a server that is not yours"),
    "requirepeer": _refused("Take it out; the rights of the socket's folder protect it"),
    "requiressl": _left_out_if("0", instead="Write sslmode=require"),
    "sslsni": _left_out_if("1", instead="Take it out: the name of the host is always sent"),
    "sslcertmode": _left_out_if("allow", instead="Take it out; sslcert and sslkey name a certificate"),
    "sslcrldir": _refused("Name one file as sslcrl"),
    "sslkeylogfile": _refused("Name the file in the environment, as SSLKEYLOGFILE"),
    "servicefile": _refused("Name the file in the environment, as PGSERVICEFILE"),
    "hostaddr": _refused("Write the address in the place of the host"),
    "replication": _left_out_if(*_OFF, instead="A ledger needs an ordinary connection: take it out"),
    "min_protocol_version": _left_out_if("3.0", instead="Write 3.0, or take it out"),
    "max_protocol_version": _left_out_if("3.0", "3.2", "latest", instead="Write 3.0, or take it out"),
    **dict.fromkeys(("scram_client_key", "scram_server_key"), _refused("Give the password instead")),
    **dict.fromkeys(("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"), _refused(_NO_OAUTH)),
}
"""Every parameter that a release of libpq has or had."""


def for_driver(parameters: Parameters) -> Parameters:
    """The parameters that the driver gets. Those that libpq does not have go to the server as they are.

    Raises:
        ValueError: one cannot be kept; the text names it, and what to write instead.
    """
    return tuple(_authorities(tuple(_treated(parameters))))


def _treated(parameters: Parameters) -> Iterator[tuple[str, str]]:
    for given_name, given in parameters:
        # libpq takes this one of JDBC, too.
        name, value = ("sslmode", "require") if (given_name, given) == ("ssl", "true") else (given_name, given)
        treat = TREATMENTS.get(name, _kept)
        if not value and name in TREATMENTS:
            continue  # libpq takes it as not given
        if (treated := treat(name, value)) is not None:
            yield name, treated


def _authorities(parameters: Parameters) -> Iterator[tuple[str, str]]:
    """The same with a file of authorities in the place of the system's; verifying needs one of them."""
    given = dict(parameters)
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE", "")
    root = given.get("sslrootcert") or os.environ.get("PGSSLROOTCERT", "")
    if root != _SYSTEM:
        if mode in _VERIFYING and not root and not _default_file_exists():
            raise ValueError(
                f"sslmode={mode} needs authorities to verify with. Name their file as sslrootcert, or write "
                "sslrootcert=system for those of this system"
            )
        yield from parameters
        return
    if mode not in {"", "verify-full"}:
        raise ValueError(f"sslrootcert=system needs sslmode=verify-full, and it is {mode}")
    yield from ((name, value) for name, value in parameters if name not in {"sslmode", "sslrootcert"})
    yield from (("sslmode", "verify-full"), ("sslrootcert", _bundle()))


def _default_file_exists() -> bool:
    try:
        return (Path.home() / ".postgresql" / "root.crt").is_file()
    except RuntimeError:  # there is no home
        return False


def _bundle() -> str:
    found = ssl.get_default_verify_paths().cafile
    for file in (found, *_BUNDLES):
        if file and Path(file).is_file():
            return file
    raise ValueError("sslrootcert=system finds no file of this system's authorities. Name one as sslrootcert")
