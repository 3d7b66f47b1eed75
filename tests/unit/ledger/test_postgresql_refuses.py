import errno
import socket
import ssl

import asyncpg
import pytest

from worker.errors import OperatorNeeded, UsageError
from worker.ledger.connect_errors import in_words, refused_statement, wrong_setting

URL = "postgresql://worker:Wq7Zk9@db:5432/connects?sslmod=require"
WHERE = "PostgreSQL at postgresql://worker:********@db:5432/connects?sslmod=require"
NEVER = ("Wq7", "Zk9", "asyncpg", "Error", "()", "\n", "Errno")


def said(kind: type[asyncpg.PostgresError], text: str) -> asyncpg.PostgresError:
    return kind.new({"S": "FATAL", "C": kind.sqlstate, "M": text, "D": "a detail", "H": "a hint"})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (said(asyncpg.InvalidPasswordError, "password authentication failed"), ["refuses the password", "'worker'"]),
        (said(asyncpg.InvalidAuthorizationSpecificationError, 'role "w" does not exist'), ['role "w" does not exist']),
        (said(asyncpg.InvalidCatalogNameError, "Datenbank fehlt"), ["has no such database (connects)", "Create it"]),
        (said(asyncpg.InsufficientPrivilegeError, 'permission denied for database "c"'), ["permission denied"]),
        (said(asyncpg.UndefinedObjectError, 'unrecognized ... parameter "sslmod"'), ['"sslmod"', "Is sslmode meant?"]),
        (said(asyncpg.InvalidParameterValueError, 'invalid value for parameter "a": "b"'), ['"a"']),
        (
            asyncpg.ClientConfigurationError("`sslmode` parameter must be one of: disable", hint="x"),
            ["sslmode", "disable"],
        ),
        (asyncpg.ClientConfigurationError("target_session_attrs is expected to be <built-in>"), ["read-write"]),
        (ValueError("invalid literal for int() with base 10: 'Wq7'"), ["the port is not a number"]),
        (asyncpg.InterfaceError("unsupported authentication method: 'kerberosv5'"), ["authentication"]),
        (
            asyncpg.InternalClientError("... performing authentication: please install asyncpg[gssauth]"),
            ["authentication"],
        ),
    ],
)
def test_what_a_person_has_to_change_names_the_setting(error: Exception, words: list[str]) -> None:
    refused = wrong_setting(error, URL, "CONNECTS_MIGRATE_URL")
    assert isinstance(refused, UsageError)
    for word in (*words, "CONNECTS_MIGRATE_URL"):
        assert word in str(refused)
    assert not any(word in str(refused) for word in NEVER)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "x"),
        TimeoutError(),
        socket.gaierror(-2, "x"),
        said(asyncpg.CannotConnectNowError, "the database system is starting up"),
        said(asyncpg.TooManyConnectionsError, "sorry, too many clients already"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    ],
)
def test_what_may_pass_by_itself_is_nobodys_setting(error: Exception) -> None:
    assert wrong_setting(error, URL, "DATABASE_URL") is None
    assert in_words(error)
    assert not any(word in in_words(error) for word in NEVER)


def test_a_variable_of_the_driver_is_named_where_it_is_the_odd_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "many")
    refused = wrong_setting(ValueError("invalid literal for int()"), "postgresql://db/d", "DATABASE_URL")
    assert str(refused) == "PGPORT: the port is not a number from 1 to 65535"
    monkeypatch.setenv("PGSSLMODE", "yes")
    wrong = asyncpg.ClientConfigurationError("`sslmode` parameter must be one of: disable")
    assert str(wrong_setting(wrong, "postgresql://db/d", "DATABASE_URL")).startswith("PGSSLMODE: ")
    assert str(wrong_setting(wrong, "postgresql://db/d?sslmode=on", "DATABASE_URL")).startswith("DATABASE_URL: ")


def test_a_file_that_is_not_there_is_named() -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory")
    refused = wrong_setting(error, "postgresql://db/d?sslmode=verify-full&sslrootcert=/no/ca.pem", "DATABASE_URL")
    assert (
        str(refused) == "DATABASE_URL: sslrootcert names /no/ca.pem, which is no file. Name one that this user can read"
    )
    assert wrong_setting(error, "postgresql://db/d", "DATABASE_URL") is None, "a socket of a server that is not running"


def test_a_certificate_that_is_not_accepted_is_tls() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message, error.verify_code = "self-signed certificate", 18
    refused = wrong_setting(error, URL, "DATABASE_URL")
    assert "TLS does not accept: self-signed certificate. Name its authority's file as sslrootcert" in str(refused)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            said(asyncpg.UndefinedTableError, 'relation "x"'),
            OperatorNeeded,
            "holds no ledger yet. Run `connects migrate`",
        ),
        (said(asyncpg.UndefinedColumnError, "x"), OperatorNeeded, "another release. Run `connects migrate`"),
        (said(asyncpg.ReadOnlySQLTransactionError, "x"), UsageError, "is read-only"),
        (said(asyncpg.InsufficientPrivilegeError, "permission denied"), UsageError, "CONNECTS_MIGRATE_URL"),
        (said(asyncpg.InvalidSchemaNameError, "no schema has been selected"), UsageError, "search_path"),
    ],
)
def test_a_statement_that_is_refused_is_words(error: Exception, kind: type[Exception], words: str) -> None:
    refused = refused_statement(error, URL, "DATABASE_URL")
    assert isinstance(refused, kind)
    assert str(refused).startswith(WHERE)
    assert words in str(refused)
    assert not any(word in str(refused) for word in NEVER)
