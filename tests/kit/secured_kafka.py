"""A real broker that listens in every way: plaintext, TLS, SASL, both, with a client's certificate, and led astray."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from worker.embedded import state as states
from worker.embedded.java import find_java
from worker.embedded.kafka import Kafka
from worker.embedded.stack import cache_folder
from worker.embedded.state import StackState, free_ports

USER, PASSWORD = "u", "Wq7Zk9Xv"
_STORE_PASSWORD = "of-a-test-store"  # noqa: S105 - made up
_JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class SecuredKafka:
    """Where its listeners are (all but `relayed` are 127.0.0.1:port), and the file of its authority."""

    plain: str
    tls: str
    sasl: str
    sasl_tls: str
    mutual_tls: str
    astray: str
    """Answers, and sends its clients to a port on which nobody listens."""
    relayed: str
    """The address that a proxy has to lead to: its clients are sent to `proxy`."""
    proxy: str
    cafile: Path


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Start it, and stop it at the end."""
    tls, sasl, sasl_tls, mutual_tls, astray, nowhere, relayed, proxy = free_ports(8)
    (folder / "logs").mkdir(parents=True)
    (folder / "kafka").mkdir()
    store, cafile = folder / "store.p12", folder / "ca.pem"
    _make_certificate(store, cafile)
    ports = {"TLS": tls, "SASL": sasl, "SASLTLS": sasl_tls, "MUTUAL": mutual_tls, "ASTRAY": astray, "RELAYED": relayed}
    advertised = {**ports, "ASTRAY": nowhere, "RELAYED": proxy}
    broker = _Broker(folder, ports, advertised, store)
    state = replace(states.new(folder), folder=str(folder))
    broker.begin_start(state, lambda _: None)
    try:
        broker.await_ready(state)
        yield SecuredKafka(
            plain=f"127.0.0.1:{state.kafka_port}",
            **{
                name: f"127.0.0.1:{port}"
                for name, port in (
                    *(("tls", tls), ("sasl", sasl), ("sasl_tls", sasl_tls), ("mutual_tls", mutual_tls)),
                    *(("astray", astray), ("relayed", relayed), ("proxy", proxy)),
                )
            },
            cafile=cafile,
        )
    finally:
        broker.stop(state)


class _Broker(Kafka):
    """The embedded broker with more listeners."""

    def __init__(self, folder: Path, ports: dict[str, int], advertised: dict[str, int], store: Path) -> None:
        super().__init__(folder, cache_folder())
        self._ports, self._advertised, self._store = ports, advertised, store

    def _write(self, name: str, properties: str, state: StackState, *, data: str = "data") -> None:
        protocols = {
            "TLS": "SSL",
            "SASL": "SASL_PLAINTEXT",
            "SASLTLS": "SASL_SSL",
            "MUTUAL": "SSL",
            "ASTRAY": "PLAINTEXT",
            "RELAYED": "PLAINTEXT",
        }
        more = {
            "listeners=": _listed(self._ports, "://127.0.0.1:"),
            "advertised.listeners=": _listed(self._advertised, "://127.0.0.1:"),
            "listener.security.protocol.map=": _listed(protocols, ":"),
        }
        lines = [
            line + next((f",{added}" for begin, added in more.items() if line.startswith(begin)), "")
            for line in properties.splitlines()
        ]
        jaas = f'{_JAAS} username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}";'
        lines += [
            "ssl.keystore.type=PKCS12",
            f"ssl.keystore.location={self._store}",
            f"ssl.keystore.password={_STORE_PASSWORD}",
            "ssl.truststore.type=PKCS12",
            f"ssl.truststore.location={self._store}",
            f"ssl.truststore.password={_STORE_PASSWORD}",
            "sasl.enabled.mechanisms=PLAIN",
            "listener.name.mutual.ssl.client.auth=required",
            *(f"listener.name.{name}.plain.sasl.jaas.config={jaas}" for name in ("sasl", "sasltls")),
        ]
        super()._write(name, "\n".join(lines) + "\n", state, data=data)


def _listed(values: dict[str, int] | dict[str, str], between: str) -> str:
    return ",".join(f"{name}{between}{value}" for name, value in values.items())


def _make_certificate(store: Path, cafile: Path) -> None:
    """A key whose certificate is for 127.0.0.1 alone and is its own authority."""
    keytool = find_java().with_name("keytool")
    where = ["-keystore", str(store), "-storepass", _STORE_PASSWORD, "-storetype", "PKCS12", "-alias", "broker"]
    named = ["-dname", "CN=broker", "-ext", "san=ip:127.0.0.1", "-ext", "bc:critical=ca:true"]
    usage = ["-ext", "ku:critical=digitalSignature,keyCertSign", "-keyalg", "EC", "-validity", "3"]
    for command in (
        ["-genkeypair", *where, *named, *usage],
        ["-exportcert", "-rfc", *where, "-file", str(cafile)],
    ):
        subprocess.run([str(keytool), *command], check=True, capture_output=True)  # noqa: S603 - Java's own program
