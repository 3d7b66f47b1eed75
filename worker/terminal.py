"""Standard output and error in whatever encoding they have: what it cannot show is replaced, and nothing fails."""

import codecs
import io
import json
import re
import sys
from typing import Final, TextIO

_REPLACED: Final = "backslashreplace"
"""A character that is not in the encoding is shown as its number, such as \\u2026."""
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")

_replaced: list[TextIO] = []


class _Ascii(io.TextIOWrapper):
    """A stream in ASCII that is written to as it is.

    The library that prints takes a stream that says `ascii` for a mistake, and writes UTF-8 to it.
    """

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute to the type checker, and read only to Python
        """Another encoding that has nothing beyond one byte: no lines of boxes are drawn in it either."""
        return "latin-1"


def show_in_any_encoding() -> None:
    """Have what standard output and error cannot show replaced; once for a process."""
    sys.stdout, sys.stderr = _replacing(sys.stdout), _replacing(sys.stderr)


def json_for(text: str, encoding: str | None) -> str:
    """JSON that stays JSON in an encoding that lacks characters of it: those are escaped as JSON does it."""
    if (encoding or "ascii").lower().startswith("utf"):
        return text
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _replacing(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # closed, as some supervisors do, or not a stream of the system
        return stream
    if codecs.lookup(stream.encoding).name != "ascii":
        stream.reconfigure(errors=_REPLACED)
        return stream
    _replaced.append(stream)  # it would close what both write to
    return _Ascii(stream.buffer, "ascii", _REPLACED, line_buffering=stream.line_buffering)
