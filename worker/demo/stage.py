"""The demo's surroundings: a stack of its own, an empty ledger with fresh topics, and a worker as a process."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from worker.embedded import processes
from worker.embedded import state as states
from worker.embedded.files import exclusive_lock, is_empty
from worker.embedded.postgres import DATABASE
from worker.embedded.stack import LocalStack, cache_folder
from worker.errors import LocalStackError, OperatorNeeded, WrongFolder
from worker.kafka.topics import create_topics, input_topic_specs, output_topic_specs
from worker.ledger.connections import Session, connect
from worker.ledger.migrate import migrate

PARTITIONS: Final = 3
DEMO_SESSION: Final = Session("connects-demo", statement_seconds=300.0)
"""For what follows the demo; its checks at the end read all that was decided."""

_WORKER_PID: Final = "demo-worker.pid"
_OLD_MARK: Final = "this-is-the-demo"
"""The file by which earlier versions recognised their folder. It outlives the stack, so it proves nothing now."""
_MAY_BE_LEFT: Final = frozenset(
    {states.DEMO_LOCK, states.DEMO_POLICY, _WORKER_PID, _OLD_MARK, states.FILE_NAME + ".new", states.LOCK}
)
"""Files that a demo may leave in its folder if it was killed before it had a stack, or its stack was deleted."""
_NAMED: Final = 3
_LEAD_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.05
_GONE_SECONDS: Final = 15.0
_LAST_WORDS: Final = 300
# `connects run`, whether or not `connects` is on the PATH.
_PROGRAM: Final = "from worker.cli import main; main()"


def default_folder() -> Path:
    """Return the folder of the demo's stack if none was named."""
    return cache_folder() / "demo"


class DemoWorker:
    """`connects run` as a process in a session of its own, so that Ctrl-C is the demo's alone; its log is a file."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "logs" / "worker.log"
        self._pid_file = folder / _WORKER_PID
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def end_earlier(self) -> None:
        """End a worker that a killed demo left behind.

        Raises:
            LocalStackError: it does not end.
        """
        earlier = processes.read_pid(self._pid_file)
        if not processes.end(earlier, self._token, signal.SIGTERM, _DRAIN_SECONDS):
            raise LocalStackError(f"the worker of an earlier demo (pid {earlier}) does not end. End it by hand.")
        self.log.unlink(missing_ok=True)

    def start(self, settings: Mapping[str, str]) -> None:
        """Start it with these settings and no others."""
        # Its folder has no .env, and the user's settings for a real worker must not count here.
        foreign = ("KAFKA_", "CONNECTS_", "DATABASE_URL", "LOG_LEVEL", "OTEL_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        search = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment |= {**settings, "PYTHONPATH": os.pathsep.join(search)}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-X", f"connects_demo={self._token}", "-c", _PROGRAM, "run"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="utf-8")

    @property
    def pid(self) -> int:
        """Its process id, once it was started."""
        return 0 if self._process is None else self._process.pid

    def require_running(self) -> None:
        """Raise an error if it has ended.

        Raises:
            LocalStackError: with its last words.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            how = f"ended with exit {code}: {self._last_words()}" if code >= 0 else f"was ended by signal {-code}"
            raise LocalStackError(f"the worker {how} (log: {self.log})")

    async def stop(self) -> int | None:
        """Ask it to finish (SIGTERM); return its exit code, or None if it had to be killed."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.terminate()
        try:
            code: int | None = await asyncio.to_thread(process.wait, _DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
            code = None
        self._process = None
        self._pid_file.unlink(missing_ok=True)
        return code

    @property
    def _token(self) -> str:
        return str(self._folder)

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip()[:_LAST_WORDS] for line in reversed(lines) if line.strip()), "it said nothing")


class Stage:
    """The stack, the ledger and the topics of one run."""

    def __init__(self, folder: Path) -> None:
        self.stack = LocalStack(folder, for_demo=True)
        self.folder = self.stack.folder

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep the folder for this run.

        Raises:
            LocalStackError: another stack or other files are there, or another demo uses it.
        """
        with ExitStack() as held:
            try:
                self._claim()
                held.enter_context(exclusive_lock(self.folder / states.DEMO_LOCK, waiting=self._refuse_to_wait))
            except OSError as error:
                raise WrongFolder(
                    f"{error.filename or self.folder} cannot be written: {error.strerror}. Give the demo another --dir."
                ) from error
            yield

    def _claim(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.stack.is_for_demo is not None:
            self._require_ours()
            return
        foreign = sorted(entry.name for entry in self.folder.iterdir() if not _may_be_left(entry))
        if foreign:
            some = ", ".join(foreign[:_NAMED]) + (", ..." if len(foreign) > _NAMED else "")
            raise WrongFolder(
                f"{self.folder} holds {some}, which no demo made. Give the demo an empty folder, or one that is not "
                "there yet, as its --dir."
            )

    def _require_ours(self) -> None:
        """Refuse a stack that no demo made: it is not the demo's to empty."""
        if self.stack.is_for_demo:
            return
        words = f"{self.folder} holds a stack that is not the demo's, and the demo empties its own. "
        if (self.folder / _OLD_MARK).exists():
            remove = f"connects local down --delete --dir {shlex.quote(str(self.folder))}"
            words += (
                f"If only demos of an earlier version ever used it, `{remove}` removes it; else give it another --dir."
            )
        else:
            words += "Give it another --dir."
        raise WrongFolder(words)

    def up(self, progress: Callable[[str], None]) -> None:
        """Start the stack."""
        self.stack.up(progress)

    async def clear(self) -> None:
        """Create an empty ledger and fresh topics; those of the last run are deleted.

        Raises:
            OperatorNeeded, OSError, KafkaError: the stack refuses.
            LocalStackError: the stack is not the demo's.
        """
        self._require_ours()
        await asyncio.to_thread(self.stack.drop_database, DATABASE)
        await asyncio.to_thread(self.stack.create_database, DATABASE)
        await asyncio.gather(migrate(self.database_url), self._fresh_topics())

    @property
    def database_url(self) -> str:
        """The ledger."""
        return self.stack.addresses.database_url

    @property
    def kafka(self) -> dict[str, Any]:
        """Connection arguments for a client of Kafka."""
        return {"bootstrap_servers": self.stack.addresses.kafka_bootstrap}

    @property
    def settings(self) -> dict[str, str]:
        """The two settings with which every command uses this stack."""
        addresses = self.stack.addresses
        return {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap, "DATABASE_URL": addresses.database_url}

    async def _fresh_topics(self) -> None:
        await self._delete_topics({spec.name for spec in (*input_topic_specs(), *output_topic_specs())})
        await create_topics(self.kafka, "", partitions=PARTITIONS, replication=1, inputs=True)

    async def _delete_topics(self, names: set[str]) -> None:
        admin = AIOKafkaAdminClient(**self.kafka)
        await admin.start()
        try:
            there = names & set(await admin.list_topics())
            if there:
                await admin.delete_topics(sorted(there))
            deadline = time.monotonic() + _GONE_SECONDS
            while names & set(await admin.list_topics()):
                if time.monotonic() > deadline:
                    raise OperatorNeeded(f"the broker does not delete the topics of the last run. See {self.folder}.")
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await admin.close()

    def _refuse_to_wait(self) -> None:
        raise LocalStackError(f"another demo is at work on {self.folder}. End it, or give this one another --dir.")


def _may_be_left(entry: Path) -> bool:
    return entry.name in _MAY_BE_LEFT or (entry.name == "logs" and is_empty(entry))


async def leads(database_url: str, worker: DemoWorker) -> None:
    """Wait until a worker leads the ledger.

    Raises:
        LocalStackError: the worker ended, or did not begin in time.
    """
    connection = await connect(database_url, DEMO_SESSION)
    try:
        deadline = time.monotonic() + _LEAD_SECONDS
        while not await connection.fetchval("SELECT lease_until > clock_timestamp() FROM leader"):
            worker.require_running()
            if time.monotonic() > deadline:
                raise LocalStackError(f"the worker does not begin. Its log: {worker.log}")
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await connection.close()
