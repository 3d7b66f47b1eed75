"""The embedded stack: a real Apache Kafka and a real PostgreSQL on 127.0.0.1, in a folder you choose.

They are processes of their own and outlive the command that started them. `up` works from any state
in which the folder was left: stopped, running, half dead, or killed in the middle of an `up`.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from worker.embedded import state as states
from worker.embedded.files import exclusive_lock, is_empty
from worker.embedded.kafka import Kafka
from worker.embedded.postgres import Postgres
from worker.embedded.state import StackState
from worker.env_file import EnvFile
from worker.errors import LocalStackError, WrongFolder
from worker.places import UNUSABLE, shortened

Condition = Literal["running", "not answering", "paused", "stopped"]

_PARTS = ("kafka", "postgres", "logs")

_UNNAMEABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Characters that the servers' files and command lines do not take in a name; the last are bytes that are not UTF-8."""


@dataclass(frozen=True)
class StackAddresses:
    """The values of KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL for a client."""

    kafka_bootstrap: str
    database_url: str


@dataclass(frozen=True)
class StackStatus:
    """The state of the two servers now."""

    kafka: Condition
    postgres: Condition
    addresses: StackAddresses | None
    """None before the first `up`; stable afterwards."""

    @property
    def is_up(self) -> bool:
        """Whether both respond."""
        return self.kafka == "running" and self.postgres == "running"


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Turn a refusal of the system into a sentence for the user."""
    try:
        yield
    except OSError as error:
        if error.errno in UNUSABLE:
            raise WrongFolder(
                f"{shortened(error.filename or 'something that the embedded stack needs')} cannot be used "
                f"({error.strerror}). Name another folder: --dir for the stack, CONNECTS_CACHE_DIR for Kafka's files."
            ) from error
        where = f" at {error.filename}" if error.filename else ""
        raise LocalStackError(f"the system refused{where}: {error.strerror or error}.") from error
    except subprocess.SubprocessError as error:
        raise LocalStackError(f"a program of the embedded stack failed: {error}.") from error


class LocalStack:
    """One embedded stack: all its data, ports and logs belong to `data_dir`.

    As a context manager it is up inside and down after. Methods raise LocalStackError if they cannot do as asked.
    """

    def __init__(self, data_dir: Path, *, for_demo: bool = False) -> None:
        """Of that folder; `for_demo` counts when its first `up` makes it."""
        self.folder = Path(os.path.realpath(data_dir))  # Path.resolve raises where links lead in a circle
        self._for_demo = for_demo
        self._kafka = Kafka(self.folder, cache_folder())
        self._postgres = Postgres(self.folder)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @_in_plain_words()
    def up(self, progress: Callable[[str], None] = lambda _: None) -> StackAddresses:
        """Start each server that does not run, and wait until both respond; a server that runs stays as it is."""
        self._claim()
        with self._locked(progress):
            state = self._state_for_up()
            if not (self._kafka.answers(state) and self._kafka.is_alive(state)):
                started = time.monotonic()
                was_alive = self._kafka.is_alive(state)
                self._kafka.begin_start(state, progress)
                try:
                    self._start_postgres(state, progress)
                except LocalStackError:
                    if not was_alive:
                        self._kafka.stop(state)
                    raise
                self._kafka.await_ready(state)
                progress(f"broker ready in {time.monotonic() - started:.1f} s")
            else:
                self._start_postgres(state, progress)
            return self._addresses(state)

    @_in_plain_words()
    def down(self, *, delete: bool = False) -> None:
        """Stop both in order; with `delete`, also remove their data, wherever it lies, and the logs."""
        if not self.folder.exists():
            return
        with self._locked():
            if (state := states.load(self.folder)) is None:
                return
            self._kafka.stop(state)
            self._postgres.stop(state, immediate=False)
            if delete:
                self._delete(state)
        if delete and not any(self.folder.iterdir()):
            self.folder.rmdir()

    @_in_plain_words()
    def status(self) -> StackStatus:
        """Return the state of both, without changing anything."""
        if (state := states.load(self.folder)) is None:
            return StackStatus("stopped", "stopped", None)
        if self._kafka.is_paused(state):
            kafka: Condition = "paused"
        elif self._kafka.is_alive(state):
            kafka = "running" if self._kafka.answers(state) else "not answering"
        else:
            kafka = "stopped"
        postgres: Condition = "stopped"
        if self._postgres.is_alive(state):
            postgres = "running" if self._postgres.answers(state) else "not answering"
        return StackStatus(kafka, postgres, self._addresses(state))

    @property
    def addresses(self) -> StackAddresses:
        """The addresses, which stay the same from the first `up` on."""
        return self._addresses(self._known())

    @property
    def is_for_demo(self) -> bool | None:
        """Whether the demo made it, and so may empty it; None before the first `up`."""
        state = states.load(self.folder)
        return None if state is None else state.for_demo

    @_in_plain_words()
    def create_database(self, name: str) -> str:
        """Create an empty database on the running server unless it exists; return its URL."""
        return self._postgres.create_database(self._known(), name)

    @_in_plain_words()
    def drop_database(self, name: str) -> None:
        """Remove such a database, even while clients are connected to it."""
        self._postgres.drop_database(self._known(), name)

    @property
    def kafka_pid(self) -> int | None:
        """The broker's process id, None if it was never started."""
        return self._kafka.pid

    @_in_plain_words()
    def start_kafka(self) -> None:
        """Start the broker and wait until it answers."""
        with self._locked():
            state = self._known()
            self._kafka.begin_start(state, lambda _: None)
            self._kafka.await_ready(state)

    @_in_plain_words()
    def stop_kafka(self) -> None:
        """Stop the broker in order."""
        self._kafka.stop(self._known())

    def kill_kafka(self) -> None:
        """End the broker with SIGKILL."""
        self._kafka.kill(self._known())

    def pause_kafka(self) -> None:
        """Stop the broker where it is, with SIGSTOP."""
        self._kafka.pause(self._known())

    def resume_kafka(self) -> None:
        """Let a paused broker go on, with SIGCONT."""
        self._kafka.resume(self._known())

    @_in_plain_words()
    def start_postgres(self) -> None:
        """Start the database server and wait until it answers."""
        with self._locked():
            self._postgres.start(self._known(), lambda _: None)

    @_in_plain_words()
    def stop_postgres(self, *, immediate: bool) -> None:
        """Stop the database server: in order, or as a crash would (`immediate`)."""
        self._postgres.stop(self._known(), immediate=immediate)

    def restart_postgres(self, *, immediate: bool = True) -> None:
        """Stop the database server and start it again on the same port."""
        self.stop_postgres(immediate=immediate)
        self.start_postgres()

    def kill_postgres(self) -> None:
        """End the database server's main process with SIGKILL."""
        self._postgres.kill(self._known())

    def _claim(self) -> None:
        """Claim the folder; one that holds other files of the same names stays untouched."""
        if _UNNAMEABLE.search(str(self.folder)):
            raise WrongFolder(
                f"the folder {shortened(ascii(str(self.folder)))} has a line break, another control character "
                "or bytes that are not UTF-8 in its name. Name another one."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # in a file system where folders cannot be created
            raise WrongFolder(
                f"{error.filename} cannot be made ({error.strerror}). Name another folder: --dir for the stack, "
                "CONNECTS_CACHE_DIR for Kafka's files."
            ) from error
        if not (self.folder / states.FILE_NAME).exists():
            foreign = [part for part in _PARTS if (self.folder / part).exists() and not is_empty(self.folder / part)]
            if foreign:
                raise WrongFolder(
                    f"{self.folder} already holds {', '.join(foreign)}, which no embedded stack made. "
                    "Use another folder."
                )

    def _state_for_up(self) -> StackState:
        state = states.load(self.folder)
        if state is None:
            state = states.save(self.folder, states.new(self.folder, for_demo=self._for_demo))
        (self.folder / "logs").mkdir(exist_ok=True)
        return state

    def _known(self) -> StackState:
        state = states.load(self.folder)
        if state is None:
            raise LocalStackError(
                f"no embedded stack was ever started in {self.folder}. Run `connects local up` first."
            )
        return state

    def _start_postgres(self, state: StackState, progress: Callable[[str], None]) -> None:
        started = time.monotonic()
        was_alive = self._postgres.is_alive(state)
        self._postgres.start(state, progress)
        if not was_alive:
            progress(f"database ready in {time.monotonic() - started:.1f} s")

    def _addresses(self, state: StackState) -> StackAddresses:
        return StackAddresses(f"127.0.0.1:{state.kafka_port}", self._postgres.url(state))

    def _delete(self, state: StackState) -> None:
        self._postgres.delete(state)
        self._kafka.delete()
        if (logs := self.folder / "logs").exists():  # neither before the first start nor after half a deletion
            for log in logs.glob("*"):
                log.unlink()
            logs.rmdir()
        for name in (states.DEMO_POLICY, states.DEMO_LOCK) if state.for_demo else ():
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / states.FILE_NAME).unlink()
        (self.folder / states.LOCK).unlink()

    @contextmanager
    def _locked(self, progress: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        waiting = f"waiting for another command that is at work on {self.folder}"
        with exclusive_lock(self.folder / states.LOCK, waiting=lambda: progress(waiting)):
            yield


def cache_folder() -> Path:
    """Return the user's cache: CONNECTS_CACHE_DIR, from the environment or `.env`, else the system's usual place.

    Raises:
        SettingsError: `.env` cannot be read.
        LocalStackError: there is no usual place.
    """
    if named := os.environ.get("CONNECTS_CACHE_DIR") or EnvFile.read().values.get("CONNECTS_CACHE_DIR"):
        return Path(named).expanduser().absolute()
    try:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise LocalStackError("this user has no home folder to cache Kafka in. Set CONNECTS_CACHE_DIR.") from None
    return usual / "connects-worker"


def default_folder() -> Path:
    """Return the folder of a stack for which no folder was named."""
    return cache_folder() / "stack"
