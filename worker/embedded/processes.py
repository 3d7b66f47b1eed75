"""Processes that outlive the command that started them, recognised by a token on their command line.

A pid alone proves nothing: after a crash or a reboot it may belong to anyone. So every process of a stack carries the
stack's token as an argument, and nothing is waited for, signalled or trusted unless that token is found under its pid.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.05
_CHANGING_SECONDS = 1

# The shell ends immediately, so that init adopts the program: it is never a zombie of ours, and its pid is on disk
# even if this process is killed the next moment. A session of its own keeps the terminal's Ctrl-C away.
_DETACH = 'out=$1 pid=$2; shift 2; "$@" </dev/null >>"$out" 2>&1 & echo $! >"$pid"'


def spawn_detached(
    command: Sequence[str], *, cwd: Path, output: Path, pid_file: Path, environment: Mapping[str, str]
) -> None:
    """Start `command` in a session of its own, its output appended to `output` and its pid in `pid_file`."""
    subprocess.run(  # noqa: S603 - the program and its arguments are ours
        ["/bin/sh", "-c", _DETACH, "sh", str(output), str(pid_file), *command],
        cwd=cwd,
        env=environment,
        start_new_session=True,
        check=True,
    )


def read_pid(pid_file: Path) -> int | None:
    """Return the pid on the first line of the file; None if there is no such file or no number in it."""
    try:
        return int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def is_alive(pid: int | None, token: str) -> bool:
    """Whether `pid` is a living process that carries our token."""
    return pid is not None and token in _command_line(pid)


def is_paused(pid: int) -> bool:
    """Whether the process was stopped by a signal."""
    return _ps(pid, "stat").startswith("T")


def send(pid: int | None, token: str, number: signal.Signals) -> bool:
    """Send a signal if the process is ours and alive; return whether it was sent."""
    if pid is None or not is_alive(pid, token):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end(pid: int | None, token: str, number: signal.Signals, timeout_seconds: float) -> bool:
    """Send a signal that ends the process, and wait until it has released its ports and files.

    Return True if no such process of ours is left, or there was none; False if it outlived the time.
    """
    if pid is None or not send(pid, token, number):
        return True
    return wait_until(lambda: _is_gone(pid), timeout_seconds)


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Wait until the condition holds; return False if it did not within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _is_gone(pid: int) -> bool:
    """Whether there is no such process, or a zombie whose threads have all ended: until then its sockets are open."""
    if not _ps(pid, "stat").startswith("Z"):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return True  # the pid belongs to another program already
        return False
    threads = Path(f"/proc/{pid}/task")
    return not threads.exists() or len(list(threads.iterdir())) <= 1


def _command_line(pid: int) -> str:
    """Return all arguments of the process; empty if there is no process, only a zombie, or one that we may not see."""
    if not Path("/proc/self/cmdline").exists():
        return _ps(pid, "command")
    # While a process changes from the shell to the program, and while it ends, this is empty for an instant.
    deadline = time.monotonic() + _CHANGING_SECONDS
    while True:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        if line or _is_gone(pid) or time.monotonic() > deadline:
            return line.decode(errors="replace")
        time.sleep(_POLL_SECONDS / 10)


def _ps(pid: int, column: str) -> str:
    if column == "stat" and Path("/proc/self/stat").exists():  # a slim container has no ps
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return ""
    answer = subprocess.run(  # noqa: S603 - a fixed program; the pid is a number
        ["/bin/ps", "-ww", "-o", f"{column}=", "-p", str(pid)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return answer.stdout.strip()
