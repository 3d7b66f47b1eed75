"""Where a command writes many lines: a new file, which is there once it is complete, or standard output."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

from worker.cli._errors import say
from worker.new_file import new_file
from worker.terminal import json_for

STANDARD_OUTPUT: Final = "-"


@contextmanager
def lines_to(out: str) -> Iterator[Callable[[bytes], None]]:
    """Take lines of JSON in UTF-8, each with its end. Of a file nothing is left after an exception, or without lines.

    Raises:
        UsageError: there is such a file already.
        OSError: it cannot be written.
    """
    if out == STANDARD_OUTPUT:
        yield _print
        return
    with new_file(Path(out), "--out") as new:
        new.is_wanted = False

        def write(lines: bytes) -> None:
            new.file.write(lines)
            new.is_wanted = new.is_wanted or bool(lines)

        yield write


def say_of(out: str, line: str) -> None:
    """Say what was written: on standard output, or beside the lines if they are there."""
    if out == STANDARD_OUTPUT:
        say(line)
    else:
        typer.echo(line)


def _print(lines: bytes) -> None:
    if lines:
        typer.echo(json_for(lines.decode(), getattr(sys.stdout, "encoding", None)), nl=False)
