"""TLS and SASL against a real broker: as it should be, and spoken to otherwise."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.kit.secrets_in import shown_of
from tests.kit.secured_kafka import PASSWORD, USER, SecuredKafka, secured_kafka
from tests.kit.shells import undone
from worker.cli import app
from worker.errors import UsageError
from worker.kafka.contact import reached_servers
from worker.settings import Settings

SECONDS = 10.0
pytestmark = pytest.mark.in_turn
SASL = {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": USER, "KAFKA_SASL_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured") / "broker") as broker:
        yield broker


def connection(broker: SecuredKafka, address: str, protocol: str, **settings: str) -> dict[str, Any]:
    """aiokafka's arguments, as the settings make them."""
    given = {"KAFKA_BOOTSTRAP_SERVERS": address, "KAFKA_SECURITY_PROTOCOL": protocol, **settings}
    if protocol.endswith("SSL"):
        given.setdefault("KAFKA_SSL_CAFILE", str(broker.cafile))
    if protocol.startswith("SASL"):
        given = {**SASL, **given}
    return Settings(**given).kafka_kwargs()


@pytest.mark.parametrize(
    ("listener", "protocol"),
    [("plain", "PLAINTEXT"), ("tls", "SSL"), ("sasl", "SASL_PLAINTEXT"), ("sasl_tls", "SASL_SSL")],
)
async def test_a_listener_spoken_to_as_it_speaks_is_reached(broker: SecuredKafka, listener: str, protocol: str) -> None:
    address = getattr(broker, listener)
    assert await reached_servers(connection(broker, address, protocol), SECONDS) == address


OTHERWISE = [
    ("tls", "PLAINTEXT", {}, ["speaks TLS", "KAFKA_SECURITY_PROTOCOL=PLAINTEXT", "SSL"]),
    ("tls", "SASL_PLAINTEXT", {}, ["speaks TLS", "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT"]),
    ("tls", "SASL_SSL", {}, ["asks for no SASL", "KAFKA_SECURITY_PROTOCOL=SASL_SSL", "SSL may be right"]),
    ("sasl", "PLAINTEXT", {}, ["asks for SASL", "KAFKA_SECURITY_PROTOCOL=PLAINTEXT", "SASL_PLAINTEXT may be right"]),
    ("sasl", "SSL", {}, ["speaks no TLS", "KAFKA_SECURITY_PROTOCOL=SSL"]),
    ("sasl", "SASL_SSL", {}, ["speaks no TLS", "SASL_PLAINTEXT may be right"]),
    ("sasl_tls", "PLAINTEXT", {}, ["speaks TLS", "SASL_SSL"]),
    ("sasl_tls", "SSL", {}, ["asks for SASL", "SASL_SSL may be right"]),
    ("sasl_tls", "SASL_PLAINTEXT", {}, ["speaks TLS", "SASL_SSL"]),
    ("plain", "SASL_PLAINTEXT", {}, ["asks for no SASL", "PLAINTEXT may be right"]),
    ("plain", "SASL_SSL", {}, ["speaks no TLS", "SASL_PLAINTEXT may be right"]),
    ("mutual_tls", "SSL", {}, ["ends the TLS connection", "client's certificate"]),
    (
        "sasl",
        "SASL_PLAINTEXT",
        {"KAFKA_SASL_PASSWORD": "Zk9XvWq7"},
        ["refuses the user or the password", "KAFKA_SASL_PASSWORD"],
    ),
    (
        "sasl_tls",
        "SASL_SSL",
        {"KAFKA_SASL_USERNAME": "nobody"},
        ["refuses the user or the password", "KAFKA_SASL_USERNAME"],
    ),
    (
        "sasl",
        "SASL_PLAINTEXT",
        {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"},
        ["does not take", "PLAIN", "KAFKA_SASL_MECHANISM"],
    ),
    (
        "astray",
        "PLAINTEXT",
        {},
        ["answers, and sends clients to", "refused", "advertised.listeners", "KAFKA_BOOTSTRAP_SERVERS"],
    ),
]


@pytest.mark.parametrize(("listener", "protocol", "settings", "words"), OTHERWISE)
async def test_a_listener_spoken_to_otherwise_is_named_with_the_setting(
    broker: SecuredKafka, listener: str, protocol: str, settings: dict[str, str], words: list[str]
) -> None:
    address = getattr(broker, listener)
    with pytest.raises(UsageError) as refused:
        await reached_servers(connection(broker, address, protocol, **settings), SECONDS)
    line = str(refused.value)
    for word in (*words, address):
        assert word in line
    assert "\n" not in line
    assert not [word for word in ("Error", "()", "Exception") if word in line]
    assert not shown_of(PASSWORD, line)


async def test_a_certificate_of_an_unknown_authority_is_reported(broker: SecuredKafka) -> None:
    trusting = {**connection(broker, broker.tls, "SSL"), "ssl_context": ssl.create_default_context()}
    with pytest.raises(UsageError, match=r"certificate of .* is not accepted: .*KAFKA_SSL_CAFILE"):
        await reached_servers(trusting, SECONDS)


async def test_a_certificate_for_another_name_is_reported(broker: SecuredKafka) -> None:
    elsewhere = broker.tls.replace("127.0.0.1", "localhost")
    with pytest.raises(UsageError, match=r"certificate of localhost.* is not accepted: .*KAFKA_BOOTSTRAP_SERVERS"):
        await reached_servers(connection(broker, elsewhere, "SSL"), SECONDS)


async def test_one_good_listener_among_others_is_enough(broker: SecuredKafka) -> None:
    several = f"{broker.tls},{broker.sasl},{broker.astray},{broker.plain}"
    assert await reached_servers(connection(broker, several, "PLAINTEXT"), SECONDS) == broker.plain


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", **SASL}, 0),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", **SASL, "KAFKA_SASL_PASSWORD": "Zk9XvWq7"}, 2),
    ],
)
def test_a_command_speaks_tls_and_sasl(
    broker: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.sasl_tls,
        "KAFKA_SSL_CAFILE": str(broker.cafile),
        "DATABASE_URL": "postgresql://h/d",
        **settings,
    }
    with undone():
        done = CliRunner().invoke(app, ["--debug", "topics", "create", "--partitions", "1"], env=environment)
    assert done.exit_code == code, done.stderr
    for password in (PASSWORD, "Zk9XvWq7"):
        assert not shown_of(password, done.stdout + done.stderr)
