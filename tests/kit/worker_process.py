"""Workers as processes, ended and stopped by the pid of those that were started here and by nothing else."""

import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from tests.kit.fork_server import FORK_SERVER, Forked
from tests.kit.waiting import PATIENCE_SECONDS, until

ROOT = Path(__file__).parents[2]
KILLABLE = "tests.kit.killable"
_INHERITED = ("PATH", "HOME", "TMPDIR", "COVERAGE_PROCESS_START")
_BEFORE_IMPORTS = {"TEST_PATIENCE_SECONDS", "COVERAGE_PROCESS_START"}
"""Settings that count when modules are imported."""


def peak_bytes_of(pid: int) -> int:
    """The most resident memory that a running process had so far; 0 if it runs no longer."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


class WorkerProcess:
    """One worker; what it says is in `log`."""

    def __init__(self, holder: str, process: asyncio.subprocess.Process | Forked, log: Path) -> None:
        self.holder = holder
        self.log = log
        self.killed_at: float | None = None
        self._process = process

    @classmethod
    async def start(
        cls,
        holder: str,
        environment: dict[str, str],
        log: Path,
        *program: str,
        fresh: bool = False,
        folder: Path = ROOT,
    ) -> "WorkerProcess":
        """Start a worker that can be killed at points, or the module `program` with its arguments.

        `fresh`: in an interpreter of its own, instead of a fork of one. So is what has its code in another `folder`.
        """
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment = {**inherited, "PYTHONUNBUFFERED": "1", "TEST_HOLDER": holder, **environment}
        with log.open("ab") as output:
            if not (fresh or folder != ROOT or _BEFORE_IMPORTS & environment.keys()):
                outputs = (output.fileno(), output.fileno())
                start = partial(FORK_SERVER.start, environment=environment, outputs=outputs)
                return cls(holder, await asyncio.to_thread(start, *(program or (KILLABLE,))), log)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *(program or (KILLABLE,))),
                cwd=folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        return cls(holder, process, log)

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def peak_bytes(self) -> int:
        """The most resident memory that it had so far."""
        return peak_bytes_of(self._process.pid)

    def said(self, words: str) -> bool:
        return words in self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = 40) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"--- {self.holder} ---", *text[-lines:]])

    async def stopped_at(self, point: str, limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has stopped itself at a point."""
        await until(lambda: self.said(f"at {point}: SIGSTOP") or not self.runs, limit_seconds)
        assert self.runs, self.tail()

    async def died_at(self, point: str, limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has killed itself at a point."""
        await self.ended(limit_seconds)
        assert self.said(f"at {point}: SIGKILL"), self.tail()

    async def ended(self, limit_seconds: float = PATIENCE_SECONDS) -> int:
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
