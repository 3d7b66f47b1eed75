"""compose.yaml as a new user has it: one command, and everything runs."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.containers.conftest import run
from tests.containers.harness import Topics, publish, wallet_updates
from tests.containers.workers import free_port, until

pytestmark = pytest.mark.containers

Compose = Callable[..., str]
ASK = """
import asyncio, asyncpg, os, sys
async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(sys.argv[1])
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    """Ports that are free here; a new user takes the usual ones."""
    return {name: str(free_port()) for name in ("KAFKA_PORT", "POSTGRES_PORT", "CONNECTS_HTTP_PORT", "CONSOLE_PORT")}


@pytest.fixture(scope="module")
def compose(image: str, ports: dict[str, str]) -> Iterator[Compose]:
    """The stack, up; a function that runs `docker compose` on it."""
    program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    project = f"connects-test-{uuid.uuid4().hex[:8]}"
    given = {**ports, "WORKER_IMAGE": image, "CONNECTS_SETTLEMENT_GRACE": "1"}

    def compose(*arguments: str) -> str:
        return run(*program, "--project-name", project, *arguments, **given)

    try:
        compose("up", *(() if "WORKER_IMAGE" in os.environ else ("--build",)), "--detach")
        yield compose
    finally:
        compose("down", "--volumes")


async def test_an_event_becomes_a_wallet_updated(compose: Compose, ports: dict[str, str]) -> None:
    topics = Topics(f"127.0.0.1:{ports['KAFKA_PORT']}")
    await publish(topics, "freelancer-registered", freelancer_id="f-1")
    [update] = await wallet_updates(topics, 1)

    assert (update["freelancer_id"], update["version"]) == ("f-1", 1)
    history = compose("exec", "-T", "worker", "connects", "history", "f-1", "--json")
    assert json.loads(history)["balance"] == update["balance_after"]


def test_every_service_becomes_healthy(compose: Compose, ports: dict[str, str]) -> None:
    def healthy() -> bool:
        ids = compose("ps", "-q", "kafka", "postgres", "worker", "console").split()
        states = run("docker", "inspect", "--format", "{{.State.Health.Status}}", *ids).split()
        return states == ["healthy"] * 4

    until(healthy, lambda: compose("logs", "--tail", "30"))
    with urlopen(f"http://127.0.0.1:{ports['CONNECTS_HTTP_PORT']}/health/ready", timeout=10) as ready:
        assert json.load(ready)["role"] == "active"


def test_the_console_shows_a_freelancer_to_those_with_the_token(compose: Compose, ports: dict[str, str]) -> None:
    compose("ps", "-q", "console")
    address = f"http://127.0.0.1:{ports['CONSOLE_PORT']}/api/v1/freelancers/f-1"
    with pytest.raises(HTTPError, match="401"):
        urlopen(address, timeout=10)
    asked = Request(address, headers={"Authorization": "Bearer connects-dev-token"})
    with urlopen(asked, timeout=10) as shown:  # noqa: S310 - http, as written above
        assert json.load(shown)["freelancer_id"] == "f-1"


def test_the_consoles_role_cannot_write(compose: Compose) -> None:
    with pytest.raises(AssertionError, match="InsufficientPrivilegeError"):
        compose("exec", "-T", "console", "python", "-c", ASK, "UPDATE lots SET remaining = 0")


@pytest.mark.parametrize("statement", ["UPDATE changes SET delta = 0", "DELETE FROM decisions", "DROP TABLE changes"])
def test_the_workers_role_cannot_change_history(compose: Compose, statement: str) -> None:
    with pytest.raises(AssertionError, match="InsufficientPrivilegeError"):
        compose("exec", "-T", "worker", "python", "-c", ASK, statement)


def test_nothing_is_published_beyond_this_machine(compose: Compose) -> None:
    ids = compose("ps", "-q").split()
    published = json.loads(run("docker", "inspect", *ids))
    hosts = {
        binding["HostIp"]
        for container in published
        for bindings in (container["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    }
    assert hosts == {"127.0.0.1"}
