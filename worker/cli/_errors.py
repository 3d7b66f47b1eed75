"""How a command ends that cannot do as asked: one line on standard error, and an exit code. Never a traceback.

LOG_LEVEL=debug, or --debug, shows the traceback also. Passwords are masked in whatever is shown.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from worker.errors import UsageError, WorkerError
from worker.places import UNUSABLE, shortened
from worker.secrecy import without_secrets

FOUND_SOMETHING: Final = 1
WRONG_USE: Final = 2

_INTERRUPTED: Final = 130
_OF_A_PLACE: Final = UNUSABLE | {errno.ENOENT}
"""What the system says of a place that somebody named wrongly; all else may pass by itself."""
_OF_AN_OUTPUT: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What it says of writing without naming the file."""


@contextmanager
def refusals(command: str = "connects") -> Iterator[None]:
    """End the command with one line when it cannot do as asked: exit 2 for what the user set wrongly, else 1."""
    try:
        yield
    except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
        raise
    except WorkerError as error:
        _end(command, str(error), exit_code(error))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - a bug of ours is shown in a line also
        if isinstance(error, OSError) and (error.filename or error.errno in _OF_AN_OUTPUT):
            _end(command, *unwritable(error))
        _end(command, f"failed unexpectedly, {type(error).__name__}: {error} (--debug shows more)", FOUND_SOMETHING)


def exit_code(error: WorkerError) -> int:
    """The exit code of a command that ends with this error."""
    return WRONG_USE if isinstance(error, UsageError) else FOUND_SOMETHING


def say(line: str) -> None:
    """Write a line to standard error, if it can be written."""
    try:
        typer.echo(without_secrets(line), err=True)
    except OSError:
        forget(sys.stderr)


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("LOG_LEVEL", "").lower() == "debug"


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Show a library's warning as one line, without the place in its code."""
    say(f"connects: {' '.join(str(message).split())}")


def unwritable(error: OSError) -> tuple[str, int]:
    """What to say of a file or an output that the system refused, and the exit code."""
    what = shortened(error.filename) if error.filename else "the output"
    reason = error.strerror or str(error) or "no reason given"
    if error.errno in _OF_A_PLACE and error.filename:
        return f"{what} cannot be used ({reason}). Name another place", WRONG_USE
    return f"{what} cannot be written ({reason}). Make room, or write it elsewhere", FOUND_SOMETHING


def forget(stream: TextIO) -> None:
    """Keep the interpreter from trying to write the rest, and from ending with an exit code of its own."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _end(command: str, words: str, code: int) -> NoReturn:
    if debugging():
        say(traceback.format_exc().rstrip())  # called where an exception is handled
    say(f"{command}: {' '.join(words.splitlines())}")
    raise typer.Exit(code) from None
