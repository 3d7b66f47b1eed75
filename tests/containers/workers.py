"""The two ways to run a worker, and waiting for one."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.request import urlopen

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

CONNECTS = (sys.executable, "-m", "worker")
LIMIT_SECONDS = 120
SETTINGS = ("CONNECTS_", "DATABASE_URL", "KAFKA_", "LOG_LEVEL", "OTEL_")


class WorkerContainer(DockerContainer):
    """The worker's image as it should run: with no rights, and nothing to write to but /tmp."""

    def __init__(self, image: str, network: Network, settings: dict[str, str], *command: str) -> None:
        super().__init__(image, command=list(command) or None, network=network, env=settings)
        self.ports["8000"] = ("127.0.0.1",)
        self.with_tmpfs_mount("/tmp").with_kwargs(  # noqa: S108 - the container's
            read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"], init=True
        )

    def prepare(self, *command: str) -> None:
        """Run another command of the image with the same settings, to its end."""
        with WorkerContainer(self.image, self._network, self.env, *command) as other:
            assert other.wait() == 0, other.log()

    def connects(self, *command: str) -> str:
        code, output = self.exec(["connects", *command])
        assert code == 0, output.decode()
        return output.decode()

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.get_exposed_port(8000)}"

    def log(self) -> str:
        return b"".join(self.get_logs()).decode()

    def terminate(self) -> int:
        """Send SIGTERM; the exit code."""
        self.get_wrapped_container().stop(timeout=LIMIT_SECONDS)
        return self.wait()


class WorkerProcess:
    """The worker's Python package as a process of this machine."""

    def __init__(self, settings: dict[str, str]) -> None:
        port = str(free_port())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        self.http = f"http://127.0.0.1:{port}"
        self._environment = {**inherited, **settings, "CONNECTS_HTTP_PORT": port}

    def __enter__(self) -> Self:
        self._log = tempfile.NamedTemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*CONNECTS, "run"], env=self._environment, stdout=self._log, stderr=self._log
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def connects(self, *command: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            [*CONNECTS, *command], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prepare = connects

    def log(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")

    def terminate(self) -> int:
        self._process.terminate()
        return self._process.wait(LIMIT_SECONDS)


def until(condition: Callable[[], bool], given: Callable[[], str] = str) -> None:
    """Wait for a condition; if it does not come true, `given` says what can be seen."""
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < end, given()
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return bool(urlopen(url, timeout=5).status == HTTPStatus.OK)  # noqa: S310 - a worker's
    except OSError:  # nobody listens yet, or it says 503
        return False
