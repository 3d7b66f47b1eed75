"""`connects` as a process, as support agents and operators type it."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.worker_process import ROOT


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """What it printed, with lines and columns run together."""
        return " ".join(self.out.split())


class Asking:
    """`connects` in a folder, with these settings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.settings = folder, settings

    async def __call__(self, command: str, **more: str) -> Answer:
        process = await self.start(command, **more)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert "Traceback" not in err.decode(), err.decode()
        return Answer(process.returncode or 0, out.decode(), err.decode())

    async def start(self, command: str, **more: str) -> asyncio.subprocess.Process:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", *command.split()),
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(ROOT), **self.settings, **more},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
