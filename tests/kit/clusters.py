"""PostgreSQL servers of other major versions, and PgBouncer, as far as this machine has them installed."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.kit.http import free_port
from tests.kit.waiting import PATIENCE_SECONDS
from worker.embedded.processes import wait_until

_PLACES: Final = "/usr/lib/postgresql"
_UNPRIVILEGED: Final = ("postgres", "nobody")


def installed_versions() -> dict[int, Path]:
    """Each major version of PostgreSQL that is installed, from 14 on, with the folder of its programs."""
    folders = [*Path(_PLACES).glob("*/bin")]
    if on_path := shutil.which("initdb"):
        folders.append(Path(on_path).resolve().parent)
    found: dict[int, Path] = {}
    for folder in folders:
        if not (folder / "initdb").exists():
            continue
        printed = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        if (version := re.search(r"\b(\d+)\.\d+", printed.stdout)) and int(version[1]) >= 14:
            found.setdefault(int(version[1]), folder)
    return found


class Cluster:
    """A PostgreSQL server of its own; `url` names a database of its superuser's."""

    def __init__(self, programs: Path, version: int) -> None:
        self.version = version
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="connects-cluster-"))
        self._identity = _identity(self._folder)
        self._port = free_port()
        self._data = str(self._folder / "data")

    @property
    def address(self) -> str:
        """Its host and port, as a URL has them."""
        return f"127.0.0.1:{self._port}"

    def url(self, database: str = "postgres", role: str = "owner") -> str:
        return f"postgresql://{role}@{self.address}/{database}"

    def start(self, **settings: str) -> None:
        self._run(
            "initdb", "-D", self._data, "-U", "owner", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"
        )
        self._launch(**settings)

    def replica(self) -> "Cluster":
        """Another server, which streams from this one."""
        replica = Cluster(self._programs, self.version)
        copied = ("-D", replica._data, "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync")
        replica._run("pg_basebackup", "-d", self.url(), *copied)
        replica._launch()
        return replica

    def promote(self) -> None:
        """Let a replica become the primary, as a failover does."""
        self._run("pg_ctl", "-D", self._data, "-w", "promote")

    def kill(self) -> None:
        """End the server as a crash does."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def _launch(self, **settings: str) -> None:
        given = {
            "port": str(self._port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            **settings,
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in given.items())
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", self._data, "-w", "-t", str(int(PATIENCE_SECONDS)), "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            [str(self._programs / program), *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            start_new_session=True,
            **self._identity,
        )
        assert done.returncode == 0 or not check, f"{program}: {done.stderr}"


@contextmanager
def a_cluster(version: int, **settings: str) -> Iterator[Cluster]:
    """A server of that major version; the test is skipped where it is not installed."""
    programs = installed_versions().get(version)
    if programs is None:
        pytest.skip(f"PostgreSQL {version} is not installed here (looked in {_PLACES} and PATH)")
    cluster = Cluster(programs, version)
    try:
        cluster.start(**settings)
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def a_pooler(database_url: str, mode: str, **settings: str) -> Iterator[str]:
    """PgBouncer before a database's server, in that pool mode; returns the database's URL through it."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed here (looked for pgbouncer in PATH and /usr/sbin)")
    matched = re.fullmatch(r"postgresql://(?:(\w+)@)?([\w.]+):(\d+)/(\w+)", database_url)
    assert matched, database_url
    user, host, server_port, name = matched.groups()
    folder, port = Path(tempfile.mkdtemp(prefix="connects-pooler-")), free_port()
    identity = _identity(folder)
    lines = [f"{key} = {value}" for key, value in settings.items()]
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={host} port={server_port} dbname={name} user={user}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\n" + "\n".join(lines) + "\n"
    )
    (folder / "pgbouncer.ini").chmod(0o644)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program that was found
            [program, str(folder / "pgbouncer.ini")],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **identity,
        )
    try:
        assert wait_until(lambda: _listens(port), PATIENCE_SECONDS), (folder / "log").read_text()
        yield f"postgresql://{user}@127.0.0.1:{port}/{name}"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _identity(folder: Path) -> dict[str, object]:
    """Whom these programs run as, who then owns the folder: they refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in _UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip(f"this is root, and none of the users {', '.join(_UNPRIVILEGED)} exists to run a server as")
