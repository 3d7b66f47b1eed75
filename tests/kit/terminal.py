"""A terminal in which the commands of a document run, and what they print is compared with the document."""

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.kit.asking import Asking
from tests.kit.documented import Block, Command
from tests.kit.waiting import in_time, until, until_async
from tests.kit.worker_process import WorkerProcess

_QUERIES: Final = (
    *("history ", "explain ", "answer ", "status", "parked list", "positions list", "dead-letters ", "relay show"),
)
"""Commands that change nothing: they are repeated until the worker has decided what they are about."""
_EVALUATED: Final = re.compile(r'eval "\$\((?P<command>.*)\)"')
_EXPORT: Final = re.compile(r"export (?P<name>\w+)=(?P<value>.*)")


class Terminal:
    """Runs commands. The settings that `connects` has at first stay, whatever the document exports."""

    def __init__(self, connects: Asking, *, prefix: str = "") -> None:
        self._connects, self._prefix = connects, prefix
        self._fixed = frozenset(connects.settings)
        self._workers: list[WorkerProcess] = []

    async def follow(self, blocks: list[Block]) -> int:
        """Run the blocks that can run, in order; return how many there were."""
        able = [block for block in blocks if block.not_run is None]
        for block in able:
            for command in block.commands:
                await self._run(command)
        return len(able)

    async def _run(self, command: Command) -> None:
        name, _, rest = command.line.partition(" ")
        if evaluated := _EVALUATED.fullmatch(command.line):
            name, _, rest = evaluated["command"].partition(" ")
            assert name == "connects", command.place
            self._export((await self._connects(rest)).out)
        elif _EXPORT.fullmatch(command.line):
            self._export(command.line)
        elif (name, rest) == ("connects", "run"):
            await self._start_worker(command)
        elif name == "connects":
            await self._query(command, rest)
        elif name == "python":
            self._compare(command, await self._python(command, rest))
        else:
            raise AssertionError(f"{command.place}: a test cannot run {command.line!r}; say in the document why")

    def _export(self, text: str) -> None:
        exports = [_EXPORT.fullmatch(line) for line in text.splitlines()]
        named = {found["name"]: shlex.split(found["value"])[0] for found in exports if found is not None}
        assert named, text
        self._connects.settings.update({name: named[name] for name in named.keys() - self._fixed})

    async def _query(self, command: Command, words: str) -> None:
        if not words.startswith(_QUERIES):
            answer = await self._connects(words)
            assert answer.code == 0, (command.place, answer)
            self._compare(command, answer.out)
            return
        said = ""

        async def answered() -> bool:
            nonlocal said
            answer = await self._connects(words)
            said = f"exit {answer.code}\n{answer.out}{answer.err}"
            return answer.code == 0 and command.is_answered_by(self._without_prefix(answer.out))

        try:
            await until_async(answered)
        except TimeoutError:
            raise AssertionError(f"{command.place}: {command.line}\n{said}\nis not\n{command.shown}") from None

    async def _start_worker(self, command: Command) -> None:
        name = f"worker-{len(self._workers)}"
        settings = {"CONNECTS_HTTP_PORT": "0", **self._connects.settings}
        log = self._connects.folder / f"{name}.log"
        worker = await WorkerProcess.start(name, settings, log, "worker", "run")
        self._workers.append(worker)
        await until(lambda: worker.said('"relay.open"') or not worker.runs)
        assert command.is_in(log.read_text(encoding="utf-8")), (command.place, worker.tail())

    async def _python(self, command: Command, words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *shlex.split(words)),
            cwd=self._connects.folder,
            env=self._connects.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await in_time(process.communicate())
        assert process.returncode == 0, (command.place, out.decode())
        return out.decode()

    def _compare(self, command: Command, output: str) -> None:
        said = self._without_prefix(output)
        assert command.is_answered_by(said), f"{command.place}: {command.line}\n{said}\nis not\n{command.shown}"

    def _without_prefix(self, output: str) -> str:
        return output.replace(self._prefix, "") if self._prefix else output

    async def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
            assert await worker.ended() == 0, worker.tail()


@asynccontextmanager
async def terminal_in(folder: Path, prefix: str = "", **settings: str) -> AsyncIterator[Terminal]:
    """A terminal in a folder, with these settings; the workers that were started in it end with it."""
    terminal = Terminal(Asking(folder, **settings), prefix=prefix)
    try:
        yield terminal
    finally:
        await terminal.close()
