"""Writing what is exported into the file: the decisions as they come, the other entries after them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from worker.bundle import page
from worker.bundle.archive import Writing
from worker.bundle.export import Begun, Line
from worker.bundle.format import BATCHES, BUNDLE, DECISIONS, OTHERS, PAGE, Bundle, Subject, encode
from worker.new_file import new_file
from worker.release import release

_IN_MEMORY: Final = 4 * 1024 * 1024
"""Bytes of an entry that is put into the archive later; more than that is in a nameless file beside it meanwhile."""


async def write_bundle(path: Path, lines: AsyncIterator[Begun | Line | Bundle]) -> Bundle:
    """Write a bundle to a new file, which is there once it is complete.

    Raises:
        UsageError: the file exists already.
        OSError: it cannot be written.
    """
    folder = str(path.parent)
    with (
        new_file(path, "--out") as new,
        Writing(new.file) as archive,
        SpooledTemporaryFile(_IN_MEMORY, dir=folder) as others,
        SpooledTemporaryFile(_IN_MEMORY, dir=folder) as batches,
        SpooledTemporaryFile(_IN_MEMORY, dir=folder) as text,
    ):
        bundle, later = None, {OTHERS: others, BATCHES: batches, PAGE: text}
        with archive.entry(DECISIONS) as decisions:
            entries = _Entries({**later, DECISIONS: decisions})
            async for line in lines:
                if isinstance(line, Bundle):
                    bundle = line
                else:
                    entries.take(line)
        if bundle is None:
            raise AssertionError("an export ends with what the bundle is")
        entries.page(page.closing(bundle.decisions, bundle.others, bundle.batches))
        for name, spooled in later.items():
            spooled.seek(0)
            with archive.entry(name) as entry:
                copyfileobj(spooled, entry)
        with archive.entry(BUNDLE) as entry:
            entry.write(encode(bundle) + b"\n")
        archive.finish()
    return bundle


class _Entries:
    """Writes lines to where their entries are: the archive, or what is put into it later."""

    def __init__(self, files: Mapping[str, IO[bytes]]) -> None:
        self._files = files
        self._subject = Subject()

    def take(self, line: Begun | Line) -> None:
        """Write a line, and what the page says of it."""
        if isinstance(line, Begun):
            self._subject = line.subject
            self.page(page.opening(line.subject, str(line.head), line.through_seq, release()))
            return
        self._files[line.entry].write(encode(line.value) + b"\n")
        if line.entry == DECISIONS and line.decision is not None:
            is_proved = line.value.index is not None
            self.page(page.decision(self._subject, line.decision, line.changes, is_proved=is_proved))

    def page(self, lines: Iterable[str]) -> None:
        """Write lines of the page."""
        for line in lines:
            self._files[PAGE].write(f"{line}\n".encode())
