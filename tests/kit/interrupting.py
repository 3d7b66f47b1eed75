"""Ctrl-C for a command that waits for the ledger."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from tests.kit.asking import Running
from tests.kit.fork_server import ROOT
from tests.kit.waiting import in_time, until_async

_WAITS = """
    SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                   WHERE NOT granted AND datname = current_database())"""


async def interrupted(url: str, table: str, words: str, environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    """Run a command while a table of the ledger is locked, and press Ctrl-C once it waits for that.

    Returns the exit code, and what the command printed on each side.
    """
    connection = await asyncpg.connect(url)
    await connection.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    everything = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    process = await Running.start("worker", *words.split(), environment=everything, folder=Path.cwd())

    async def waits() -> bool:
        return bool(await connection.fetchval(_WAITS))

    try:
        await until_async(waits)
        process.send_signal(signal.SIGINT)
        out, err = await in_time(process.communicate())
    finally:
        await connection.close()
    return process.returncode, out.decode(), err.decode()
