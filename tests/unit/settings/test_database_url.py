"""A PostgreSQL URL: read as it was typed, or refused without a part of its password."""

from urllib.parse import quote

import asyncpg.connect_utils
import pytest

from tests.kit.secrets_in import password_with, shown_of
from worker.database_url import for_driver, taken_apart, without_password

ODD = [
    "#",
    "/",
    "@",
    "?",
    "[",
    "]",
    "%",
    "%2",
    "%FF",
    "%zz%41",
    "#@/",
    "&",
    "+",
    " ",
    '"',
    ":",
    "é",
    "=",
    "\\",
    "?a=b&",
]
REFUSED_RAW = {"#", "/", "?", "[", "]", "#@/", "?a=b&"}
REFUSED_AS_PARAMETER = {"#", "#@/", "&", "?a=b&"}
HOST = "127.0.0.1:5433"


def as_the_driver_reads(url: str) -> tuple[object, ...]:
    """Addresses, user, password and database."""
    addresses, parameters, _ = asyncpg.connect_utils._parse_connect_arguments(  # noqa: SLF001 - its reading is what counts
        **dict.fromkeys(
            (
                *("host", "port", "user", "password", "passfile", "database", "command_timeout", "ssl", "direct_tls"),
                *("server_settings", "target_session_attrs", "krbsrvname", "gsslib", "service", "servicefile"),
            )
        ),
        dsn=url,
        statement_cache_size=0,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
    )
    return addresses, parameters.user, parameters.password, parameters.database


@pytest.mark.parametrize("odd", ODD)
def test_a_password_arrives_as_it_was_typed_or_is_refused_without_a_part_of_it(odd: str) -> None:
    password = password_with(odd)
    raw = f"postgresql://u:{password}@{HOST}/d"
    if odd in REFUSED_RAW:
        with pytest.raises(ValueError, match="percent-encode") as refused:
            for_driver(raw)
        assert f"{odd[0]} as {quote(odd[0], safe='')}" in str(refused.value)
        assert not shown_of(password, str(refused.value))
    else:
        assert as_the_driver_reads(for_driver(raw)) == ([("127.0.0.1", 5433)], "u", password, "d")
        assert not shown_of(password, without_password(for_driver(raw)))
    encoded = f"postgresql://u:{quote(password, safe='')}@{HOST}/d"
    assert for_driver(encoded) == encoded
    assert as_the_driver_reads(encoded)[2] == password


@pytest.mark.parametrize("odd", ODD)
def test_the_same_holds_for_a_password_among_the_parameters(odd: str) -> None:
    password = password_with(odd)
    raw = f"postgresql://{HOST}/d?user=u&password={password}"
    if odd in REFUSED_AS_PARAMETER:
        with pytest.raises(ValueError, match="percent-encode") as refused:
            for_driver(raw)
        assert not shown_of(password, str(refused.value))
    else:
        assert as_the_driver_reads(for_driver(raw)) == ([("127.0.0.1", 5433)], "u", password, "d")
        assert not shown_of(password, without_password(for_driver(raw)))
    encoded = f"postgresql://{HOST}/d?user=u&password={quote(password, safe='')}"
    assert for_driver(encoded) == encoded
    assert taken_apart(encoded).secrets == (password,)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:Wq7Zk9@h/d", "should begin with postgresql://"),
        ("postgresql://u:Wq7Zk9", "the port is not a number"),  # no host: the password is where a port would be
        ("postgresql://u:98765432", "should be from 1 to 65535"),
        ("postgresql://u:Wq7Zk9@h:70000/d", "the port 70000 should be from 1 to 65535"),
        ("postgresql://u:Wq7Zk9@h:0/d", "the port 0 should be"),
        ("postgresql://u:Wq7Zk9@h1:1,h2:70000/d", "the port 70000"),
        ("postgresql://u:Wq7Zk9@h:Zk9/d", "the port is not a number"),
        ("postgresql://u:Wq7Zk9@h/d?port=70000", "the port 70000"),
        ("postgresql://u:Wq7Zk9@:5432/d", "names no host before a port"),
        ("postgresql://u:Wq7Zk9@a,,b/d", "names no host"),
        ("postgresql://u:Wq7Zk9@a..b/d", "no name that can be looked up"),
        (f"postgresql://u:Wq7Zk9@{'x' * 64}/d", "no name that can be looked up"),
        ("postgresql://u:Wq7Zk9@[::1/d", "percent-encode"),
        ("postgresql://u:Wq7Zk9@h/d?Wq7", "no NAME=value"),
        ("postgresql://u:Wq7Zk9@h/d?password=a&Zk9=b", "no NAME=value"),
        ("postgresql://u:Wq7\nZk9@h/d", "line break"),
        ("postgresql://u:Wq7%00Zk9@h/d", "zero byte"),
        ("postgresql://u:Wq7@Zk9/h@127.0.0.1/d", "/ as %2F"),
        ("postgresql://u:12?Zk9=x@127.0.0.1/d", r"\? as %3F"),
    ],
)
def test_what_cannot_be_an_address_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        for_driver(url)
    assert "\n" not in str(refused.value)
    for secret in ("Wq7Zk9", "Wq7", "Zk9", "98765432"):
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///d",
        "postgresql://db/connects",
        "postgres://u@h1:1,h2:2/d?target_session_attrs=primary",
        "postgresql://u@[::1]:5432/d",
        "postgresql://u@%2Fvar%2Frun/d",
        "postgresql://u@h/d?options=-c%20a=b&application_name=x",
        "postgresql://u@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://u:a:b@h/d",
        "postgresql://u+x:a+b@h/d",
    ],
)
def test_a_url_that_the_driver_reads_as_typed_is_left_alone(url: str) -> None:
    assert for_driver(url) == url


def test_a_line_break_at_the_end_as_a_file_of_a_secret_has_it_is_left_out() -> None:
    assert for_driver("postgresql://u@h/d\r\n") == "postgresql://u@h/d"


def test_an_at_sign_in_a_known_parameter_is_its_own() -> None:
    assert taken_apart(for_driver("postgresql://h/d?user=me@example.com")).role == "me@example.com"


def test_the_parts_are_shown() -> None:
    parts = taken_apart("postgresql://u%40x:p%2Fw@h1:1,[::1]:2,%2Frun,h3/d%20e?sslpassword=q&dbname=z")
    assert (parts.role, parts.password, parts.named_database) == ("u@x", "p/w", "d e")
    assert parts.addresses == (("h1", 1), ("::1", 2), ("h3", 5432))
    assert parts.secrets == ("p/w", "q")
    assert taken_apart("postgresql:///?user=u&host=a,b&port=7&dbname=z").addresses == (("a", 7), ("b", 7))
