"""Workers and commands without the second that each would take to import its modules: a server does once, and forks.

`python -m tests.kit.fork_server` is the server. Its input is a socket on which each request is a message: a JSON object
and the two files that take the process's outputs. It answers with a line for each process that it started (its number)
and each that ended (its number and exit code). It ends when its input does. What a process is given replaces all that
the server itself was started with.
"""

import asyncio
import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NoReturn

from tests.kit.waiting import PATIENCE_SECONDS

ROOT: Final = Path(__file__).parents[2]
_LONGEST_REQUEST: Final = 1 << 17


class Forked:
    """One process; as far as tests need it like an asyncio.subprocess.Process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._changes = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    async def wait(self) -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._changes:
            if self.returncode is None:
                self._waiting.append((loop, future))
            else:
                future.set_result(None)
        await future
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, what: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, what)

    def ended(self, code: int) -> None:
        with self._changes:
            self.returncode = code
            for loop, future in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(lambda future=future: future.done() or future.set_result(None))


class ForkServer:
    """The server as its user sees it; started by the first process that is wanted."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._requests: socket.socket | None = None
        self._started: SimpleQueue[Forked] = SimpleQueue()
        self._turn = threading.Lock()

    def start(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        outputs: tuple[int, int],
        folder: Path = ROOT,
    ) -> Forked:
        """Run a module in a process of its own, in that folder; `outputs` are its standard output and error."""
        asked = {"program": [module, *arguments], "environment": dict(environment), "folder": str(folder)}
        with self._turn:
            if self._requests is None:
                self._requests = self._begin()
            socket.send_fds(self._requests, [json.dumps(asked).encode()], outputs)
            return self._started.get(timeout=PATIENCE_SECONDS)

    def _begin(self) -> socket.socket:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.fork_server"],
                cwd=ROOT,
                stdin=its.fileno(),
                stdout=subprocess.PIPE,
                text=True,
            )
        threading.Thread(target=self._listen, args=(self._server.stdout,), daemon=True).start()
        atexit.register(self._server.kill)
        return ours

    def _listen(self, answers: Any) -> None:  # noqa: ANN401
        running: dict[int, Forked] = {}
        for line in answers:
            pid, code = json.loads(line)
            if code is None:
                running[pid] = Forked(pid)
                self._started.put(running[pid])
            else:
                running.pop(pid).ended(code)
        for lost in running.values():  # nobody will hear of them any more
            lost.send_signal(signal.SIGKILL)
            lost.ended(-signal.SIGKILL)


FORK_SERVER: Final = ForkServer()
"""That of this process."""


# In the server.


def _serve() -> None:
    """Fork for each request, and say when a process has ended."""
    requests, wakes = socket.socket(fileno=0), os.pipe()
    for end in wakes:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes[1], warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # after Ctrl-C the tests still end their processes
    while True:
        ready, _, _ = select.select([requests.fileno(), wakes[0]], [], [])
        if requests.fileno() in ready:
            message, outputs, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 2)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                _become(json.loads(message), outputs)
            for output in outputs:
                os.close(output)
            _answer(pid, None)
        if wakes[0] in ready:
            os.read(wakes[0], 4096)
            _reap()


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _answer(pid, os.waitstatus_to_exitcode(status))


def _answer(pid: int, code: int | None) -> None:
    os.write(1, f"{json.dumps([pid, code])}\n".encode())


def _become(request: dict[str, Any], outputs: list[int]) -> NoReturn:
    """Be the process that was asked for, to its end."""
    code: Any = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        for number, opened in enumerate((os.open(os.devnull, os.O_RDONLY), *outputs)):
            os.dup2(opened, number)
            os.close(opened)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - to the end of the process
        sys.stdout.reconfigure(write_through=True)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        sys.argv = request["program"]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
    finally:
        for output in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
                output.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    import worker.cli.history
    import worker.cli.run
    import worker.cli.status
    import worker.engine.service
    import worker.wall_clock  # noqa: F401 - what every worker imports, and commands that are often run

    gc.collect()
    gc.freeze()
    _serve()
