"""`connects`, as support agents and operators type it: inside this process, or as one where that is the point."""

import asyncio
import json
import os
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from tests.kit.fork_server import FORK_SERVER, ROOT, Forked
from tests.kit.shells import undone
from tests.kit.waiting import PATIENCE_SECONDS, in_time
from worker.cli import app

_KEPT: Final = ("PATH", "HOME", "TMPDIR")
_turn: Final = threading.Lock()
"""A command has the environment, the folder and the outputs of this process while it runs."""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.out)

    @property
    def problems(self) -> list[str]:
        """What `status --json` says that needs a person, in words; each has a time and what to do."""
        found = self.json["problems"]
        assert all(set(problem) == {"what", "since", "next"} for problem in found), found
        return [problem["what"] for problem in found]

    @property
    def text(self) -> str:
        """Its output, with lines and columns run together."""
        return " ".join(self.out.split())


class Running:
    """A process that was forked; as far as tests need it like an asyncio.subprocess.Process."""

    def __init__(self, process: Forked, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self._process, self.stdout, self.stderr = process, stdout, stderr
        self.pid, self.wait, self.send_signal = process.pid, process.wait, process.send_signal

    @classmethod
    async def start(cls, module: str, *arguments: str, environment: Mapping[str, str], folder: Path) -> "Running":
        """Run a module, with pipes for its outputs."""
        out, err = os.pipe(), os.pipe()
        start = partial(FORK_SERVER.start, environment=environment, outputs=(out[1], err[1]), folder=folder)
        try:
            process = await asyncio.to_thread(start, module, *arguments)
        finally:
            os.close(out[1])
            os.close(err[1])
        return cls(process, await _reader_of(out[0]), await _reader_of(err[0]))

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """All that it says, once it has ended."""
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self._process.wait())
        return out, err

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def _reader_of(pipe: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
    )
    return reader


def _is_told(err: str) -> None:
    """What a command says that failed is what it knows about; any other failure is one of ours."""
    assert "Traceback" not in err, err
    assert "failed unexpectedly" not in err, err


class Asking:
    """`connects` in a folder, with these settings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.settings = folder, settings

    async def __call__(self, command: str, **more: str) -> Answer:
        """Run a command inside this process, which spares a second; `run`, which needs signals, as one."""
        if command.split(maxsplit=1)[0] == "run":
            return await self.as_process(command, **more)
        answer = await asyncio.to_thread(self._invoke, command, {**self.settings, **more})
        _is_told(answer.err)
        return answer

    async def is_well(self) -> bool:
        """Whether `status` has nothing to say. A worker reports within a second that something is over: wait for it."""
        return (await self("status")).code == 0

    async def as_process(self, command: str, *, limit_seconds: float = PATIENCE_SECONDS, **more: str) -> Answer:
        """Run a command in a process of its own, to its end."""
        process = await self.start(command, **more)
        out, err = await in_time(process.communicate(), limit_seconds)
        _is_told(err.decode())
        return Answer(process.returncode or 0, out.decode(), err.decode())

    async def start(self, command: str, **more: str) -> "Running":
        """Begin a command in a process of its own."""
        return await Running.start(
            "worker", *shlex.split(command), environment=self.environment(**more), folder=self.folder
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process that runs in that folder, with these settings."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {**kept, "PYTHONPATH": str(ROOT), **self.settings, **more}

    def _invoke(self, command: str, settings: dict[str, str]) -> Answer:
        with _turn, chdir(self.folder), _environment(settings), undone():
            done = CliRunner().invoke(app, shlex.split(command), prog_name="connects")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Answer(done.exit_code, done.stdout, done.stderr)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """These settings, and what every process needs; nothing else that this process was started with."""
    before = dict(os.environ)
    for name in before.keys() - set(_KEPT):
        del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
