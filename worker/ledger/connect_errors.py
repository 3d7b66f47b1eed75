"""Why PostgreSQL cannot be used, in one sentence: the setting, what is wrong with it, and what would be right.

`UsageError` is what a person has to change, `Transient` what may pass by itself. No sentence holds a part of a
password, SQL, or the name of a library or a class.
"""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Coroutine, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg

from worker.database_url import DRIVERS_PARAMETERS, DatabaseUrl, taken_apart, without_password
from worker.errors import OperatorNeeded, Transient, UsageError, WorkerError
from worker.libpq_parameters import SESSION_ATTRIBUTES
from worker.listeners import PATIENCE_SECONDS, Listener, reason_of, what_listens

T = TypeVar("T")

_FILES: Final = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
}
"""Parameters that name files, and the variables that the driver takes in their place."""
_VARIABLES: Final = {
    **_FILES,
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "port": "PGPORT",
}
_PARAMETER: Final = re.compile(r'"([^"]+)"')
_NOTHING_SAID: Final = (
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
)
"""Errors that leave open what it is that answers on the port."""
_UNREACHABLE: Final = (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)
_OF_FILES: Final = frozenset({"X509", "PEM", "ASN1"})
"""Parts of the TLS library whose errors are about the content of a file."""
_TLS_WANTED: Final = frozenset({"require", "verify-ca", "verify-full"})
_CLOSE: Final = 0.7


def wrong_setting(error: Exception, database_url: str, setting: str) -> UsageError | None:
    """What only a person can change, of a failed attempt to connect; None for all else."""
    where, url = f"PostgreSQL at {without_password(database_url)}", taken_apart(database_url)
    if isinstance(error, asyncpg.PostgresError):
        words = _server_refused(error, url, setting)
    elif isinstance(error, OSError):
        words = _tls_refused(error, setting)
    else:
        words = None
    if words is not None:
        return UsageError(f"{where} {words}")
    if (words := _driver_refused(error, url)) is not None:
        return UsageError(f"{_variable_of(words, url) or setting}: {words}")
    return None


async def connected_or_refused(connecting: Coroutine[Any, Any, T], database_url: str, setting: str) -> T:
    """Await a connection; one that is silent for long is given up once it is clear that no PostgreSQL listens there.

    Raises:
        UsageError: something else listens; the text says what.
        Exception: whatever connecting raises.
    """
    task = asyncio.create_task(connecting)
    try:
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if not done:
            refused = await _refused_by_another(TimeoutError(), database_url, setting)
            if refused is not None and not task.done():
                raise refused
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def why_away(error: Exception, database_url: str, setting: str) -> WorkerError:
    """Word a failure that may pass by itself, after finding out what listens there: it may be something else."""
    if isinstance(error, _NOTHING_SAID) and not _is_plain_refusal(error):
        refused = await _refused_by_another(error, database_url, setting)
        if refused is not None:
            return refused
    where = f"PostgreSQL at {without_password(database_url)}"
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, _UNREACHABLE):
        return Transient(f"{where} refused for now: {first_line(error)}. Ask again later.")
    return Transient(f"{where} cannot be reached ({in_words(error)}). Is it running? Otherwise correct {setting}.")


def refused_statement(error: Exception, database_url: str, setting: str) -> WorkerError | None:
    """Word what a server refused that let us in; None if it is not PostgreSQL that refused."""
    where = f"PostgreSQL at {without_password(database_url)}"
    match error:
        case asyncpg.UndefinedTableError():
            return OperatorNeeded(f"{where} holds no ledger yet. Run `connects migrate`.")
        case asyncpg.UndefinedColumnError():
            return OperatorNeeded(f"{where} holds a ledger of another release. Run `connects migrate`.")
        case asyncpg.ReadOnlySQLTransactionError():
            return read_only(where, setting)
        case asyncpg.InsufficientPrivilegeError():
            return UsageError(
                f"{where} refuses: {first_line(error)}. Run `connects migrate` as the schema's owner "
                "(CONNECTS_MIGRATE_URL): it grants the role of DATABASE_URL what a worker needs."
            )
        case asyncpg.InvalidSchemaNameError():
            return UsageError(f"{where}: {first_line(error)}. Correct the search_path of the role or in {setting}.")
    return None


def read_only(where: str, setting: str) -> UsageError:
    """Word that nothing can be written there."""
    return UsageError(
        f"{where} is read-only: a standby, or default_transaction_read_only is on. "
        f"Name the server or database that can be written in {setting}."
    )


def no_connection_left(error: Exception, database_url: str) -> Transient:
    """Word that the server, the role or a pooler allows no more connections now."""
    where = f"PostgreSQL at {without_password(database_url)}"
    return Transient(f"{where} has no connection left for this command ({first_line(error)}). Ask again later.")


def refused_otherwise(error: asyncpg.PostgresError, database_url: str) -> OperatorNeeded:
    """Word what PostgreSQL refused for a reason that is not foreseen."""
    return OperatorNeeded(f"PostgreSQL at {without_password(database_url)} refuses: {first_line(error)}.")


def in_words(error: BaseException) -> str:
    """The reason of a failed connection or statement, for people: no class, never empty, one line."""
    if isinstance(error, socket.gaierror):
        return "the name of the host does not resolve"
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "no host that it lists has the target_session_attrs that it asks for"
    if isinstance(error, OSError):
        return str(error) if isinstance(error, TimeoutError) and str(error) else reason_of(error)
    return first_line(error) or "the connection was closed without a word"


def first_line(error: BaseException) -> str:
    """What was said, without the details and hints on further lines, and without a full stop."""
    return next(iter(str(error).splitlines()), "").strip().rstrip(".")


async def _refused_by_another(error: Exception, database_url: str, setting: str) -> UsageError | None:
    """What to say if something else than PostgreSQL answers at one of the addresses, or no TLS is spoken there."""
    url = taken_apart(database_url)
    for host, port in url.addresses:
        if words := _something_else(await what_listens(host, port), url, error):
            where = f"PostgreSQL at {without_password(database_url)}"
            return UsageError(f"{where} cannot be used: {words} at {host}:{port}. Correct {setting}.")
    return None


def _server_refused(error: asyncpg.PostgresError, url: DatabaseUrl, setting: str) -> str | None:
    said = first_line(error)
    match error:
        case asyncpg.InvalidPasswordError():
            return f"refuses the password{f' of the role {url.role!r}' if url.role else ''}. Correct {setting}."
        case asyncpg.InvalidAuthorizationSpecificationError():
            return f"does not let us in: {said}. Correct {setting}."
        case asyncpg.InvalidCatalogNameError():
            named = url.named_database or url.role
            return f"has no such database{f' ({named})' if named else ''}. Create it, or correct {setting}."
        case asyncpg.InsufficientPrivilegeError():
            return f"does not let us in: {said}. Have that right granted, or correct {setting}."
        case asyncpg.UndefinedObjectError() | asyncpg.CantChangeRuntimeParamError() | asyncpg.DataError():
            return f"refuses a parameter: {said}.{_meant(said)} Correct {setting}."
    return None


def _tls_refused(error: OSError, setting: str) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that TLS does not accept: {error.verify_message.rstrip('.')}. "
            f"Name its authority's file as sslrootcert, or the host that it is for, in {setting}."
        )
    if isinstance(error, ssl.SSLError) and error.library in _OF_FILES:
        return f"cannot be used with TLS: a file of {setting} holds no certificate or key that can be used."
    return None


def _driver_refused(error: Exception, url: DatabaseUrl) -> str | None:
    match error:
        case asyncpg.ClientConfigurationError() if "target_session_attrs" in str(error):
            return f"target_session_attrs is one of {', '.join(SESSION_ATTRIBUTES)}"
        case asyncpg.ClientConfigurationError() | UnicodeError():
            return first_line(error)
        case ValueError():
            return "the port is not a number from 1 to 65535"
        case asyncpg.InterfaceError() | asyncpg.InternalClientError() if "authentication" in str(error):
            has_password = url.secrets or os.environ.get("PGPASSWORD")
            lacks = "an authentication that a worker does not have" if has_password else "a password, and there is none"
            return f"the server asks for {lacks}"
        case FileNotFoundError() | PermissionError() | IsADirectoryError():
            return next(_missing_files(url), None)
    return None


def _something_else(found: Listener, url: DatabaseUrl, error: Exception) -> str | None:
    """What is wrong about the one who answers; None if it may be PostgreSQL, or says nothing."""
    if found.postgresql:
        mode = url.parameter("sslmode") or os.environ.get("PGSSLMODE", "")
        if "SSL" in str(error) and mode in _TLS_WANTED:
            return f"no TLS is spoken, which {'sslmode' if url.parameter('sslmode') else 'PGSSLMODE'}={mode} asks for,"
        return None
    if not found.speaks:
        return None
    return f"there is no PostgreSQL, but {found.name or 'something else'}"


def _is_plain_refusal(error: Exception) -> bool:
    return isinstance(error, ConnectionRefusedError) or "Errno 111]" in str(error)


def _meant(said: str) -> str:
    """The parameter that may have been meant, if the refused one looks like one that the driver knows."""
    match = _PARAMETER.search(said)
    close = get_close_matches(match[1] if match else "", sorted(DRIVERS_PARAMETERS), 1, _CLOSE)
    return f" Is {close[0]} meant?" if close else ""


def _variable_of(words: str, url: DatabaseUrl) -> str | None:
    """The variable of the environment from which the driver has what is wrong; None if it is from the URL."""
    for parameter, variable in _VARIABLES.items():
        if parameter in words and not url.parameter(parameter) and os.environ.get(variable):
            return variable
    return None


def _missing_files(url: DatabaseUrl) -> Iterator[str]:
    for parameter, variable in _FILES.items():
        file = url.parameter(parameter) or os.environ.get(variable, "")
        if file and not Path(file).is_file():
            yield f"{parameter} names {file}, which is no file. Name one that this user can read"
