"""How every command ends that cannot do as asked: one line on standard error, and an exit code. Never a traceback.

LOG_LEVEL=debug, or --debug, shows the traceback also. Passwords are masked in whatever is shown.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, TextIO

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from worker.secrecy import without_secrets

FOUND_SOMETHING: Final = 1
WRONG_USE: Final = 2

_INTERRUPTED: Final = 130
_MOST_SHOWN: Final = 120
"""Characters of a file's name."""
_OF_A_PLACE: Final = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.ENAMETOOLONG, errno.ELOOP),
    }
)
"""What the system says of a place that somebody named wrongly; all else may pass by itself."""
_OF_AN_OUTPUT: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What it says of writing without naming the file."""


@contextmanager
def refusals(command: str = "connects") -> Iterator[None]:
    """End the command with one line when it cannot do as asked: exit 2 for what the user set wrongly, else 1."""
    from worker.errors import UsageError, WorkerError  # noqa: PLC0415 - `--help` needs none of it
    from worker.local.errors import LocalStackError, WrongFolder  # noqa: PLC0415

    try:
        yield
    except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
        raise
    except (UsageError, WrongFolder) as error:
        _end(command, str(error), WRONG_USE)
    except (WorkerError, LocalStackError) as error:
        _end(command, str(error), FOUND_SOMETHING)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - a bug of ours is shown in a line also
        if isinstance(error, OSError) and (error.filename or error.errno in _OF_AN_OUTPUT):
            _end(command, *_unwritable(error))
        _end(command, f"failed unexpectedly, {type(error).__name__}: {error} (--debug tells more)", FOUND_SOMETHING)


class Commands(TyperGroup):
    """All commands: what was typed wrongly, and an output that cannot be written, is one line too."""

    # The values are typer's own.
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run the command that was typed, and exit."""

        def run() -> Any:  # noqa: ANN401
            return super(Commands, self).main(args, prog_name, complete_var, False, windows_expand_args, **extra)

        if not standalone_mode:
            return run()
        try:
            code = run()
            if sys.stdout is not None:  # closed, as some supervisors do
                sys.stdout.flush()
        except TyperException as error:
            sys.exit(_show_wrong_use(error))
        except typer.Abort:
            sys.exit(FOUND_SOMETHING)
        except OSError as error:  # of printing: what a command does itself is inside `refusals`
            words, code = _unwritable(error)
            say(f"connects: {words}")
            _forget(sys.stdout)
        sys.exit(code or 0)


def say(line: str) -> None:
    """Write a line to standard error, if it can be written."""
    try:
        typer.echo(without_secrets(line), err=True)
    except OSError:
        _forget(sys.stderr)


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("LOG_LEVEL", "").lower() == "debug"


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Show a library's warning as one line, without the place in its code."""
    say(f"connects: {' '.join(str(message).split())}")


def _end(command: str, words: str, code: int) -> NoReturn:
    if debugging():
        say(traceback.format_exc().rstrip())  # called where an exception is handled
    say(f"{command}: {' '.join(words.splitlines())}")
    raise typer.Exit(code) from None


def _unwritable(error: OSError) -> tuple[str, int]:
    """What to say of a file or an output that the system refused, and the exit code."""
    what = _shortened(error.filename) if error.filename else "the output"
    reason = error.strerror or str(error) or "no reason given"
    if error.errno in _OF_A_PLACE and error.filename:
        return f"{what} cannot be used ({reason}). Name another place", WRONG_USE
    return f"{what} cannot be written ({reason}). Make room, or write it elsewhere", FOUND_SOMETHING


def _shortened(name: object) -> str:
    text = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _show_wrong_use(error: TyperException) -> int:
    """Show what was typed wrongly, and how to see what is right; the exit code."""
    context = getattr(error, "ctx", None)
    command = "connects" if context is None else context.command_path
    message = error.format_message()
    if message.startswith("Usage:"):  # a group of commands was named without one of them
        typer.echo(message, err=True)
    else:
        say(f"{command}: {' '.join(message.split()).rstrip('.')}. See `{command} --help`.")
    return error.exit_code


def _forget(stream: TextIO) -> None:
    """Keep the interpreter from trying to write the rest, and from ending with an exit code of its own."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
