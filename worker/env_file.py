"""The `.env` of the folder in which a command runs: read once, and refused if a line of it would count for nothing.

A refusal names the line, never its content: it may be a password.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from worker.errors import SettingsError

NAME: Final = ".env"

_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_REFERENCE: Final = re.compile(r"\$\{([^}:]*)\}")
_MANY_ZEROS: Final = 0.25
"""Of text as UTF-16 writes it about half of the bytes are zero."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What the file sets, by name, and the line of each name."""

    values: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    unresolved: frozenset[str] = frozenset()
    """Names, in capitals, whose value holds `${...}` of a name that nobody sets."""

    @classmethod
    def read(cls, path: Path = Path(NAME)) -> "EnvFile":
        """Read the file; nothing where there is no such file, or a folder has its name.

        Raises:
            SettingsError: the file cannot be read as text, or a line of it is not NAME=value.
        """
        try:
            if path.is_dir():
                return cls()
            content = path.read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise SettingsError(
                f"{NAME}: cannot be read ({error.strerror or error}). Let this user read it, or remove it"
            ) from None
        text = _text(content)
        typed = {binding.key: binding for binding in parse_stream(io.StringIO(text)) if _sets_a_name(binding)}
        values = dotenv_values(stream=io.StringIO(text))  # puts the values of other names in the place of ${NAME}
        return cls(
            {name: value for name, value in values.items() if value is not None},
            {name: _line(binding) for name, binding in typed.items() if name},
            frozenset(
                name.upper()
                for name, binding in typed.items()
                if name and set(_REFERENCE.findall(binding.value or "")) - {*os.environ, *typed}
            ),
        )


def _text(content: bytes) -> str:
    if content.startswith(_MARKS) or (content and content.count(0) / len(content) > _MANY_ZEROS):
        raise SettingsError(f"{NAME}: is UTF-16 text, of which nothing can be read. Save it as UTF-8")
    if (zero := content.find(0)) >= 0:
        raise SettingsError(f"{NAME}, line {_line_at(content, zero)}: holds a zero byte. Save the file as UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_at(content, error.start)
    raise SettingsError(f"{NAME}, line {line}: is not UTF-8 text. Save the file as UTF-8")


def _line_at(content: bytes, place: int) -> int:
    """The line of a byte; each of the line ends that there are counts once."""
    return len(re.findall(rb"\r\n|\n|\r", content[:place])) + 1


def _sets_a_name(binding: Binding) -> bool:
    """Whether it sets a name: blank lines and comments do not.

    Raises:
        SettingsError: it is neither NAME=value nor blank nor a comment.
    """
    if binding.key is None and not binding.error:
        return False
    if binding.error or binding.value is None or not _VARIABLE.fullmatch(binding.key or ""):
        raise SettingsError(
            f"{NAME}, line {_line(binding)}: is not NAME=value. "
            "Correct it, begin it with # if it is a comment, and close its quote if it has one"
        )
    return True


def _line(binding: Binding) -> int:
    """The line on which the statement itself begins, after the blank lines before it."""
    before = re.match(r"\s*", binding.original.string)
    blank = "" if before is None else before[0]
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", blank))
