"""Writing a new file that is there once it is complete, and not before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from worker.errors import UsageError

_UNFINISHED: Final = ".unfinished"


class NewFile:
    """A file that is being written. It is dropped when it is closed if `is_wanted` is false then."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.is_wanted = True


def require_new(path: Path, option: str) -> None:
    """Refuse to write over a file; `option` is how the user named it.

    Raises:
        UsageError: there is such a file already.
    """
    if path.exists():
        raise UsageError(f"{option}: {path} exists already. Name another file, or remove that one")


@contextmanager
def new_file(path: Path, option: str) -> Iterator[NewFile]:
    """Write a new file; `option` is how the user named it. After an exception, or Ctrl-C, nothing is left of it.

    Raises:
        UsageError: there is such a file already.
        OSError: it cannot be written.
    """
    require_new(path, option)
    unfinished = path.with_name(path.name + _UNFINISHED)
    try:
        with unfinished.open("w+b") as file:
            new = NewFile(file)
            yield new
            file.flush()
            os.fsync(file.fileno())
        if new.is_wanted:
            unfinished.rename(path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
