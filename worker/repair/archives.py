"""Archives of events: JSON lines in files, plain or compressed by gzip or Zstandard, or on standard input.

A line is an event with its topic in one more field, `topic`, or `{"topic": ..., "value": ...}` with the record's value
as an object or as text; where it names none, the topic is the caller's. `value_base64` in the place of `value` is what
a dead letter held that is no event. No line takes more memory than LONGEST_LINE.
"""

import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple, cast

import cramjam
import msgspec

from schemas.catalogue import INPUT_TOPICS
from schemas.json_text import canonical, parsed
from schemas.reading import LARGEST_VALUE_BYTES
from worker.errors import UsageError, WorkerError
from worker.places import shortened
from worker.plain_text import plain
from worker.words.plans import place_of

STANDARD_INPUT: Final = "-"
LONGEST_LINE: Final = 8 * LARGEST_VALUE_BYTES
"""Bytes. A value in text has up to six bytes for one of its own."""
_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BLOCK: Final = 1024 * 1024
_BASE64: Final = "value_base64"
_NO_EVENT: Final = (
    "its value is in base64 (value_base64), for it is no JSON object: write the event that was meant as value"
)
_BROKEN: Final = (EOFError, zlib.error, gzip.BadGzipFile, cramjam.DecompressionError)
_read_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_text: Final = msgspec.json.Decoder(str).decode


class BrokenArchive(WorkerError):
    """An archive that is not whole, or is compressed in another way than it says."""


class NoEvent(ValueError):
    """A line whose value is no event, and says so. It never leaves this module, so it is no `WorkerError`."""


class Line(NamedTuple):
    """A line of an archive, from 1: the value of a record of that topic, as it may be decided.

    0: there are no lines, and the source says the place.
    """

    source: str
    number: int
    topic: str
    value: bytes


class BadLine(NamedTuple):
    """A line that is no event of its topic, and why; `source` and `number` as of a `Line`."""

    source: str
    number: int
    why: str

    def __str__(self) -> str:
        return f"{place_of(self.source, self.number)}: {self.why}"


def read_archive(source: str, topic: str | None = None) -> Iterator[Line | BadLine]:
    """Every line of a file, or of standard input (`-`), that has something in it; `topic` is that of lines without one.

    Raises:
        BrokenArchive: what is compressed is not whole.
        UsageError: it cannot be read.
    """
    name = "standard input" if source == STANDARD_INPUT else shortened(source)
    with ExitStack() as stack:
        try:
            file = sys.stdin.buffer if source == STANDARD_INPUT else stack.enter_context(Path(source).open("rb"))
            for number, line in enumerate(_lines(_expanded(cast("BinaryIO", file), stack)), 1):
                if line is None:
                    yield BadLine(name, number, f"too long: more than {LONGEST_LINE} bytes")
                elif line.strip():
                    yield line_read(name, number, line.strip(), topic)
        except _BROKEN as error:
            words = " ".join(str(error).split()) or "it ends too early"
            raise BrokenArchive(f"{name} is compressed and not whole ({words}). Fetch it again") from None
        except OSError as error:  # of the archive, which must not pass for one of the database
            raise UsageError(f"{name} cannot be read ({error.strerror or error}). Name another file") from None


def _expanded(file: BinaryIO, stack: ExitStack) -> IO[bytes]:
    """The file's content; of what it is compressed by its first bytes say, not its name."""
    start = file.peek(len(_ZSTANDARD))[: len(_ZSTANDARD)]  # type: ignore[attr-defined] # a buffered reader has it
    if start.startswith(_GZIP):
        return cast("IO[bytes]", stack.enter_context(gzip.open(file)))
    if start != _ZSTANDARD:
        return file
    # The library expands from file to file in bounded memory, and not from a pipe.
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    packed, whole = folder / "packed", folder / "whole"
    with packed.open("wb") as copy:
        shutil.copyfileobj(file, copy, _BLOCK)
    cramjam.zstd.decompress_into(cramjam.File(str(packed)), cramjam.File(str(whole), write=True))
    return stack.enter_context(whole.open("rb"))


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Every line; None for one that is too long."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
            pass
        yield None


def line_read(source: str, number: int, line: bytes, topic: str | None) -> Line | BadLine:
    """What a line is: an event that names its topic, or is of `topic`, or neither."""
    try:
        named, value = _split(line)
    except NoEvent as error:
        return BadLine(source, number, str(error))
    except ValueError as error:
        if topic is None:
            return BadLine(source, number, f"not a JSON object: {error}")
        named, value = None, line  # reading it as an event says what is wrong with it
    name = topic if named is None else named
    if name is None:
        return BadLine(source, number, "it names no topic; give --topic if all are of one")
    return line_of(source, number, name, value)


def line_of(source: str, number: int, topic: str, value: bytes) -> Line | BadLine:
    """The line of a value that is of that topic, if there is such a topic."""
    if topic not in INPUT_TOPICS:
        return BadLine(source, number, f"there is no input topic {plain(topic[:_MOST_SHOWN])!r}")
    return Line(source, number, topic, value)


_MOST_SHOWN: Final = 60


def _split(line: bytes) -> tuple[str | None, bytes]:
    """The topic that a line names, if it does, and the record's value, to the byte as far as it can be.

    Raises:
        NoEvent: its value is in base64, as that of a dead letter that is no event.
        ValueError: it is not a JSON object, or its topic is not text.
    """
    try:
        members = {name: bytes(raw) for name, raw in _read_members(line).items()}
    except (msgspec.MsgspecError, RecursionError):
        members = _members(line)
    if "topic" not in members:
        return None, line
    try:
        topic = _read_text(members.pop("topic"))
    except msgspec.MsgspecError:
        raise ValueError("its topic is not text") from None
    if _BASE64 in members and "value" not in members:
        raise NoEvent(_NO_EVENT)
    if (value := members.get("value")) is not None:
        return topic, _read_text(value).encode() if value.startswith(b'"') else value
    return topic, b"{" + b",".join(msgspec.json.encode(name) + b":" + raw for name, raw in members.items()) + b"}"


def _members(line: bytes) -> dict[str, bytes]:
    """The members of an object with what the quick reader refuses and is JSON all the same: half a character."""
    content = parsed(line.decode())
    if not isinstance(content, dict):
        raise ValueError("it is another value")  # noqa: TRY004 - of what was read, not of an argument
    return {name: canonical(member).encode() for name, member in content.items()}
