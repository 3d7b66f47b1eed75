"""The group of all commands: what was typed wrongly, and an output that cannot be written, is one line too."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.exceptions import TyperException

from worker.cli._errors import FOUND_SOMETHING, exit_code, forget, say, unwritable
from worker.cli._lazy import LazyGroup
from worker.errors import WorkerError


class RootGroup(LazyGroup):
    """All commands."""

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
            return super(RootGroup, self).main(args, prog_name, complete_var, False, windows_expand_args, **extra)

        if not standalone_mode:
            return run()
        try:
            code = run()
            if sys.stdout is not None:  # closed, as some supervisors do
                sys.stdout.flush()
        except TyperException as error:
            sys.exit(_show_wrong_use(error))
        except WorkerError as error:  # of finding the command: what it does itself is inside `refusals`
            say(f"connects: {error}")
            sys.exit(exit_code(error))
        except typer.Abort:
            sys.exit(FOUND_SOMETHING)
        except OSError as error:  # of printing
            words, code = unwritable(error)
            say(f"connects: {words}")
            forget(sys.stdout)
        sys.exit(code or 0)


def _show_wrong_use(error: TyperException) -> int:
    """Show what was typed wrongly, and how to see what is right; the exit code."""
    context = getattr(error, "ctx", None)
    command = "connects" if context is None else context.command_path
    message = error.format_message()
    if message.startswith("Usage:"):  # a group of commands was named without one of them
        typer.echo(message, err=True)
    else:
        sentence = " ".join(message.split()).rstrip(".")
        say(f"{command}: {sentence}{'' if sentence.endswith('?') else '.'} See `{command} --help`.")
    return error.exit_code
