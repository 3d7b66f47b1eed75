"""Worker processes that a test stops, kills and talks to."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.kit.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]


class Child:
    """A Python program of tests/kit that prints where it is, a line each."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def says(self, beginning: str) -> str:
        """Wait for the next line that begins so; the rest of it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := (await self._process.stdout.readline()).decode():
                self.lines.append(line.rstrip())
                if line.startswith(beginning):
                    return line.removeprefix(beginning).strip()
        raise AssertionError(f"the process ended without {beginning!r}; it said {self.lines}")

    async def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._process.wait()


@asynccontextmanager
async def child(program: str, *arguments: str) -> AsyncIterator[Child]:
    """Run tests/kit/<program> with the arguments; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "tests" / "kit" / program),
        *arguments,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    child = Child(process)
    try:
        yield child
    finally:
        await child.kill()
