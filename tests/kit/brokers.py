"""Kafka as others have it: several brokers, rights for some topics only, a network between it and the worker."""

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit.http import free_port
from tests.kit.java_ahead import java_options
from worker.embedded import kafka as embedded
from worker.embedded.jars import class_path
from worker.embedded.java import find_java
from worker.embedded.stack import LocalStack, cache_folder
from worker.embedded.state import load

_READY_SECONDS = 90
_LOOK_SECONDS = 0.05
LIMITED = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "limited",
    "sasl_plain_password": "a-password",
}
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_ODD_PROPERTIES = f"""
# Rights: a client without a name may do everything, `limited` what it was granted.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
listener.name.limited.sasl.enabled.mechanisms=PLAIN
listener.name.limited.plain.sasl.jaas.config={_PLAIN} required user_limited="a-password";
"""


@dataclass(frozen=True)
class OddKafka:
    """A broker with three ways in: for everybody, for a user with few rights, and through a proxy's port."""

    stack: LocalStack
    limited: dict[str, Any]
    """aiokafka's connection arguments of the user with few rights."""
    behind_proxy: int
    """The port that a proxy at `proxy_port` leads to."""
    proxy_port: int

    @property
    def kafka(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.stack.addresses.kafka_bootstrap}

    def settings_of_limited(self, ledger_url: str, prefix: str) -> dict[str, str]:
        """The settings of a worker that is the user with few rights."""
        return {
            "DATABASE_URL": ledger_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.limited["bootstrap_servers"],
            "KAFKA_SECURITY_PROTOCOL": self.limited["security_protocol"],
            "KAFKA_SASL_MECHANISM": self.limited["sasl_mechanism"],
            "KAFKA_SASL_USERNAME": self.limited["sasl_plain_username"],
            "KAFKA_SASL_PASSWORD": self.limited["sasl_plain_password"],
            "CONNECTS_TOPIC_PREFIX": prefix,
        }


@contextmanager
def odd_kafka(folder: Path) -> Iterator[OddKafka]:
    """An embedded stack whose broker has more listeners and an authorizer."""
    limited, behind_proxy, proxy_port = free_port(), free_port(), free_port()
    changes: dict[str, Callable[[str], str]] = {
        "listeners": lambda configured: (
            f"{configured},LIMITED://127.0.0.1:{limited},PROXIED://127.0.0.1:{behind_proxy}"
        ),
        "advertised.listeners": lambda configured: (
            f"{configured},LIMITED://127.0.0.1:{limited},PROXIED://127.0.0.1:{proxy_port}"
        ),
        "listener.security.protocol.map": lambda configured: f"{configured},LIMITED:SASL_PLAINTEXT,PROXIED:PLAINTEXT",
        "auto.create.topics.enable": lambda _: "true",
    }
    with changed_stack(folder, changes, _ODD_PROPERTIES) as stack:
        yield OddKafka(stack, {"bootstrap_servers": f"127.0.0.1:{limited}", **LIMITED}, behind_proxy, proxy_port)


@contextmanager
def changed_stack(
    folder: Path, changes: dict[str, Callable[[str], str]], more_properties: str = ""
) -> Iterator[LocalStack]:
    """An embedded stack, up, whose broker has some properties changed and some more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_PROPERTIES", _changed(embedded._PROPERTIES, changes) + more_properties)  # noqa: SLF001
        stack = LocalStack(folder)
        stack.up()
        try:
            yield stack
        finally:
            stack.down(delete=True)


class AnotherBroker:
    """One more broker of an embedded stack's cluster, by default node 2; it can be ended and started again."""

    def __init__(self, stack: LocalStack, folder: Path, node: int = 2) -> None:
        self.node = node
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        changes: dict[str, Callable[[str], str]] = {
            "process.roles": lambda _: "broker",
            "node.id": lambda _: str(node),
            "listeners": lambda _: f"CLIENT://127.0.0.1:{self.port}",
            "advertised.listeners": lambda _: f"CLIENT://127.0.0.1:{self.port}",
        }
        configured = (stack.folder / "kafka" / "server.properties").read_text()
        (folder / "data").mkdir(parents=True)
        (folder / "server.properties").write_text(_changed(configured, changes))
        state = load(stack.folder)
        assert state is not None
        meta = f"version=1\nnode.id={node}\ncluster.id={state.kafka_cluster_id}\n"
        (folder / "data" / "meta.properties").write_text(meta)

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        log4j = Path(embedded.__file__).with_name("log4j2.properties").as_uri()
        command = [
            *(str(find_java()), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *java_options()),
            *(f"-Dconnects.log={self._folder / 'kafka.log'}", f"-Dlog4j2.configurationFile={log4j}"),
            *("-cp", ":".join(str(jar) for jar in class_path(cache_folder(), lambda _: None))),
            *("kafka.Kafka", "server.properties"),
        ]
        with (self._folder / "out").open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603 - Java and its arguments are ours
                command, cwd=self._folder, stdout=out, stderr=out
            )
        end = time.monotonic() + _READY_SECONDS
        while not self._answers():
            assert time.monotonic() < end, (self._folder / "out").read_text()[-2000:]
            assert self._process.poll() is None, (self._folder / "out").read_text()[-2000:]
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """Let it leave the cluster in order: what only it has is without a leader then."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


def _changed(properties: str, changes: dict[str, Callable[[str], str]]) -> str:
    """Properties with some values changed; all of these must be there."""
    for name, change in changes.items():
        pattern = re.compile(rf"^({re.escape(name)}=)(.*)$", re.MULTILINE)
        assert pattern.search(properties), name
        properties = pattern.sub(lambda found, change=change: found[1] + change(found[2]), properties)  # type: ignore[misc]
    return properties
