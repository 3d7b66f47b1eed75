"""Statements, written as SQL in files: the ledger's beside this one, others in the folder that sends them."""

import re
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(file: str, package: str = __name__) -> dict[str, str]:
    """The statements of one file of this folder, or of another package's, by name.

    A statement begins at its line `-- name: <name>` and ends where the next begins; the comment below that line says
    once what it is for. No semicolon at the end.

    Raises:
        ValueError: the file has no statement, or two of one name, or something above the first.
    """
    above, *parts = _NAME.split((files(package) / file).read_text(encoding="utf-8"))
    names = parts[::2]
    if not names or above.strip() or len(set(names)) != len(names):
        raise ValueError(f"{file} is not a list of statements, each under a name of its own")
    return {name: text.strip() for name, text in zip(names, parts[1::2], strict=True)}
