"""The embedded stacks of a run: one that all its processes share, and those of tests that stop servers.

The process that started the run makes a folder and names it in TEST_STACK_FOLDER, which its workers (pytest-xdist)
inherit. Whichever process needs the servers first starts them there; the process that made the folder takes them down.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import asyncpg

from worker.embedded import state
from worker.embedded.files import exclusive_lock
from worker.embedded.stack import LocalStack
from worker.ledger.migrate import migrate

FOLDER: Final = "TEST_STACK_FOLDER"
TEMPLATE: Final = "ledger_template"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of this run's own is made there
_PLENTY_BYTES: Final = 8 * 1024**3


def keep_to_own_ports() -> None:
    """Draw the ports of embedded servers where no other process of this run draws any.

    A port looks free while its server is stopped for a while: it was given to another one, and one of them failed.
    """
    process, count = os.environ["PYTEST_XDIST_WORKER"], int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    each = len(state.PORTS) // count
    first = int(process.removeprefix("gw")) * each
    state.PORTS = state.PORTS[first : first + each]


class SharedStack(LocalStack):
    """The stack of the whole run. Other tests use its servers at this moment, so nobody may stop them."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
        raise AssertionError("all tests share these servers: mark this test with @pytest.mark.own_servers")

    start_kafka = stop_kafka = kill_kafka = pause_kafka = resume_kafka = _refuse
    start_postgres = stop_postgres = restart_postgres = kill_postgres = down = _refuse


def make_folder() -> Path:
    """A folder for the shared stack, named to all processes that this one starts; in memory where there is plenty.

    Thousands of topics and ledgers come and go, and each wants files of its own on the disk: a tenth of all work.
    No test takes the power away, so none can tell.
    """
    in_memory = _MEMORY if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _PLENTY_BYTES else None
    folder = Path(tempfile.mkdtemp(prefix="connects-tests-", dir=in_memory))
    if in_memory:
        folder.chmod(0o755)  # then PostgreSQL's data can be in it too where tests run as root
    os.environ[FOLDER] = str(folder)
    return folder


def remove_folder(folder: Path) -> None:
    """Take down every stack that was started there; to be called when no test runs any more."""
    del os.environ[FOLDER]
    for found in folder.glob("*/stack.json"):
        LocalStack(found.parent).down(delete=True)
    shutil.rmtree(folder)


def shared_stack() -> SharedStack:
    """The stack of the run, up."""
    stack = SharedStack(Path(os.environ[FOLDER]) / "stack")
    stack.up()
    return stack


def fault_stack() -> LocalStack:
    """A stack of this process alone, up."""
    stack = LocalStack(Path(os.environ[FOLDER]) / f"fault-stack-{os.getpid()}")
    stack.up()
    return stack


async def template_of(stack: LocalStack) -> str:
    """The name of a migrated database that nobody connects to: the template of all ledgers there; made once."""
    made = stack.folder.with_name(f"{stack.folder.name}.{TEMPLATE}")
    if not made.exists():
        with exclusive_lock(made.with_suffix(".lock"), waiting=lambda: None):
            if not made.exists():
                await migrate(stack.create_database(TEMPLATE))
                made.touch()
    return TEMPLATE


async def run_sql(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def copy_template(stack: LocalStack, begins: str) -> str:
    """A fresh, migrated, empty ledger, whose name begins so; its URL. A tenth of the work of migrating another one."""
    name, server = f"{begins}_{uuid.uuid4().hex[:12]}", stack.addresses.database_url
    await run_sql(server, f"CREATE DATABASE {name} TEMPLATE {await template_of(stack)} STRATEGY FILE_COPY")
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def new_ledger(stack: LocalStack, begins: str = "ledger") -> str:
    """The same, for a fixture without an event loop."""
    return asyncio.run(copy_template(stack, begins))
