"""A plan as a file: JSON lines with a hash over all bytes at the end, which is the plan's name.

The header, then each trigger in the order in which it is decided, then each wallet that they name, then
`{"summary": ...}`, and last `{"hash": ...}`: SHA-256, in hexadecimal, of every byte before that line.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from worker.errors import UsageError
from worker.places import shortened
from worker.repair.plan import FORMAT, Header, Trigger
from worker.repair.summary import Summary, Wallet

LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes of a line: there is no end to the decisions that a wallet may have in one plan."""
_HASH: Final = b'{"hash":'
_SUMMARY: Final = b'{"summary":'
_AGAIN: Final = "Write the plan again with `connects replay plan`"


class _Summed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    summary: Summary


class _Hashed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hash: str


class _Format(msgspec.Struct, frozen=True):
    """A header of any format."""

    format: int


_encode: Final = msgspec.json.Encoder().encode
_read_format: Final = msgspec.json.Decoder(_Format).decode
_read_header: Final = msgspec.json.Decoder(Header).decode
_read_entry: Final = msgspec.json.Decoder(Trigger | Wallet).decode
_read_summary: Final = msgspec.json.Decoder(_Summed).decode
_read_hash: Final = msgspec.json.Decoder(_Hashed).decode


def write_plan(
    file: BinaryIO, header: Header, triggers: Iterable[Trigger], wallets: Iterable[Wallet], summary: Summary
) -> str:
    """Write a whole plan to a new file; return its hash.

    Raises:
        OSError: it cannot be written.
        UsageError: a line would be longer than can be read again.
    """
    hashed = sha256()
    for part in chain((header,), triggers, wallets, (_Summed(summary),)):
        line = _encode(part) + b"\n"
        if len(line) > LONGEST_LINE:
            whose = f"of {part.freelancer_id} " if isinstance(part, Wallet) else ""
            raise UsageError(
                f"a line {whose}would have more than {LONGEST_LINE} bytes: make several plans, each of less"
            )
        file.write(line)
        hashed.update(line)
    name = hashed.hexdigest()
    file.write(_encode(_Hashed(name)) + b"\n")
    return name


class Plan(NamedTuple):
    """A plan that was read whole and is as it was written. `hash` is its name; its triggers and wallets are read again.

    They may be more than should be held in memory.
    """

    path: Path
    hash: str
    header: Header
    summary: Summary

    def triggers(self) -> Iterator[Trigger]:
        """Every trigger, in the order in which they are decided.

        Raises:
            UsageError: the file was changed meanwhile.
            OSError: it cannot be read.
        """
        return (entry for entry in self._entries() if not isinstance(entry, Wallet))

    def wallets(self) -> Iterator[Wallet]:
        """Every wallet that the triggers name, by id; raises as `triggers` does."""
        return (entry for entry in self._entries() if isinstance(entry, Wallet))

    def _entries(self) -> Iterator[Trigger | Wallet]:
        with self.path.open("rb") as file:
            lines = _Lines(file, self.path)
            for line in lines:
                if lines.number > 1 and not line.startswith(_SUMMARY):
                    yield _entry(line, lines)
            if lines.hash != self.hash:
                raise UsageError(f"{shortened(self.path)}: the plan was changed while it was read. {_AGAIN}")


def read_plan(path: Path) -> Plan:
    """Read a plan, and refuse one that is not as this release wrote it.

    Raises:
        UsageError: it is no plan, was changed or cut off, or is of another format.
        OSError: it cannot be read.
    """
    first = last = b""
    with path.open("rb") as file:
        lines = _Lines(file, path)
        for line in lines:
            first, last = first or line, line
    try:
        header = _read_header(first)
        summary = _read_summary(last).summary
    except msgspec.MsgspecError as error:
        raise UsageError(f"{shortened(path)}: the first or the last part of the plan has {error}. {_AGAIN}") from None
    plan = Plan(path, lines.hash, header, summary)
    for number, trigger in enumerate(plan.triggers(), 1):
        if trigger.number != number:
            raise UsageError(f"{shortened(path)}: trigger {trigger.number} is where {number} should be. {_AGAIN}")
    return plan


class _Lines:
    """The lines of a plan's file without that of the hash, which is compared when the last one was taken."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._where = file, shortened(path)
        self.number = 0
        self.hash = ""

    def __iter__(self) -> Iterator[bytes]:
        """Raise UsageError where the file is no plan, was changed, or was cut off."""
        hashed = sha256()
        while line := self._file.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                raise self.refused("was cut off, or is no plan" if self.number else "is no plan")
            self.number += 1
            if line.startswith(_HASH):
                self._compare(line, hashed.hexdigest())
                return
            if self.number == 1:
                self._require_format(line)
            hashed.update(line)
            yield line
        raise self.refused("was cut off: its last line, the hash, is not there" if self.number else "is empty")

    def refused(self, why: str) -> UsageError:
        """What to raise: the file, what is wrong with it, and what to do."""
        return UsageError(f"{self._where} {why}. {_AGAIN}")

    def _compare(self, line: bytes, is_hash: str) -> None:
        try:
            self.hash = _read_hash(line).hash
        except msgspec.MsgspecError:
            raise self.refused("was changed: the line of its hash cannot be read") from None
        if self.hash != is_hash:
            raise self.refused(f"was changed: its content has the hash {is_hash}, and it names {self.hash}")
        if self._file.read(1):
            raise self.refused("was changed: something follows the line of its hash")

    def _require_format(self, line: bytes) -> None:
        try:
            found = _read_format(line).format
        except msgspec.MsgspecError:
            raise self.refused("is no plan: its first line is not a plan's header") from None
        if found != FORMAT:
            raise UsageError(
                f"{self._where} has format {found}, and this release reads format {FORMAT}. Use the release that wrote "
                "it, or write the plan again with this one"
            )


def _entry(line: bytes, lines: _Lines) -> Trigger | Wallet:
    try:
        entry: Trigger | Wallet = _read_entry(line)
    except msgspec.MsgspecError as error:
        raise lines.refused(f"has something in line {lines.number} that this release does not know: {error}") from None
    return entry
