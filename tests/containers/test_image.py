"""The image itself: no rights, nothing written, all in it that the package has."""

import re
from collections.abc import Iterator

import pytest

from tests.containers.conftest import run
from tests.containers.harness import Servers, connects_worker, publish, wallet_updates
from tests.containers.workers import WorkerContainer, until

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def container(up: Servers, image: str) -> Iterator[WorkerContainer]:
    with connects_worker(up, image=image) as worker:
        assert isinstance(worker.running, WorkerContainer)
        yield worker.running


def test_it_becomes_healthy(container: WorkerContainer) -> None:
    def healthy() -> bool:
        container.reload()
        return container.get_wrapped_container().health == "healthy"

    until(healthy, container.log)


def test_it_runs_without_rights(container: WorkerContainer) -> None:
    status = container.exec(["cat", "/proc/1/status"]).output.decode()
    identity = {name: value.split() for name, value in re.findall(r"^(\w+):\s*(.*)$", status, re.MULTILINE)}
    assert "0" not in identity["Uid"] + identity["Gid"]
    assert identity["CapEff"] == identity["CapPrm"] == identity["CapBnd"] == ["0" * 16]
    assert identity["NoNewPrivs"] == ["1"]


def test_it_can_write_nowhere_but_in_tmp(container: WorkerContainer) -> None:
    assert container.exec(["touch", "/tmp/written"]).exit_code == 0  # noqa: S108 - the container's
    look = "find / -xdev -writable -not -type l 2>/dev/null"
    assert container.exec(["sh", "-c", look]).output.decode().split() == ["/tmp"]  # noqa: S108 - the container's


@pytest.mark.parametrize("command", ["--help", "settings", "schemas check", "policy check", "policy show"])
def test_the_package_in_it_is_complete(image: str, command: str) -> None:
    assert run("docker", "run", "--rm", "--read-only", "--network", "none", image, *command.split())


def test_it_carries_nothing_that_only_installing_and_testing_need(image: str) -> None:
    as_root = ("docker", "run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "find")
    leavings = r"/build|.*/\.cache|.*/pip/cache|.*/hatchling|.*/pytest"
    assert run(*as_root, image, "/", "-xdev", "-regextype", "egrep", "-regex", leavings) == ""


async def test_sigterm_ends_it_in_order_and_hands_the_ledger_over(up: Servers, image: str) -> None:
    with connects_worker(up, image=image) as worker:
        await publish(worker.topics, "freelancer-registered", freelancer_id="f-1")
        await wallet_updates(worker.topics, 1)

        assert worker.running.terminate() == 0, worker.running.log()
        assert up.postgres.ask("SELECT lease_until < clock_timestamp() FROM leader", worker.database) == "t"
        assert up.postgres.ask("SELECT count(*) FROM outbox", worker.database) == "0"
        assert "Traceback" not in worker.running.log()
