"""Workers as processes, ended and stopped by the pid of those that were started here and by nothing else."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """One worker; what it says is in `log`."""

    def __init__(self, holder: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.holder = holder
        self.log = log
        self.killed_at: float | None = None
        self._process = process

    @classmethod
    async def start(cls, holder: str, environment: dict[str, str], log: Path, *program: str) -> "WorkerProcess":
        inherited = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "TMPDIR", "COVERAGE_PROCESS_START")
            if name in os.environ
        }
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *(program or ("tests.support.killable",))),
                cwd=ROOT,
                env={**inherited, "PYTHONUNBUFFERED": "1", "TEST_HOLDER": holder, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        return cls(holder, process, log)

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    def said(self, words: str) -> bool:
        return words in self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = 40) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"--- {self.holder} ---", *text[-lines:]])

    async def stopped_at(self, point: str, limit_seconds: float = 40) -> None:
        """Wait until it has stopped itself at a point."""
        await until(lambda: self.said(f"at {point}: SIGSTOP") or not self.runs, limit_seconds)
        assert self.runs, self.tail()

    async def died_at(self, point: str, limit_seconds: float = 40) -> None:
        """Wait until it has killed itself at a point."""
        await self.ended(limit_seconds)
        assert self.said(f"at {point}: SIGKILL"), self.tail()

    async def ended(self, limit_seconds: float = 20) -> int:
        async with asyncio.timeout(limit_seconds):
            code = await self._process.wait()
        self.killed_at = self.killed_at or time.monotonic()
        return code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    async def kill(self) -> None:
        self.killed_at = time.monotonic()
        self._send(signal.SIGKILL)
        await self._process.wait()

    def _send(self, what: signal.Signals) -> None:
        if self.runs:
            self._process.send_signal(what)
