"""The file: a ZIP archive of plain entries, with a checksum over all of it as the archive's comment.

Nothing is compressed: the same content is the same bytes wherever it is written, and no entry can expand. The comment
is BLAKE2b-256, in hexadecimal, over every byte before it, so that a change of any byte is noticed, also where ZIP would
not mind. It is there to find accidents: what proves something are the hashes that lead to the head.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from errno import EINVAL
from hashlib import blake2b
from pathlib import Path
from struct import error as StructError  # noqa: N812 - it is a class
from typing import IO, BinaryIO, Final, Self
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from worker.bundle.format import ENTRIES
from worker.errors import UsageError, WorkerError
from worker.places import shortened

LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes of a line. A decision has 256 KiB of payload at most, but there is no end to the changes of a hire."""
_CHECKSUM_BYTES: Final = 64
_BLOCK: Final = 1024 * 1024
_MOST_DIRECTORY: Final = 4096
"""Bytes of the archive's list of entries: five of them take some 300."""
_MOST_WITHOUT_ZIP64: Final = 2**32 - 1
_LOCAL, _END, _END_OF_ZIP64 = b"PK\3\4", b"PK\5\6", b"PK\6\7"
_END_BYTES: Final = 22
_BROKEN: Final = (BadZipFile, EOFError, StructError, ValueError, RuntimeError, OverflowError)
"""What the library raises about an archive that is not as it should be."""
_OF_UNIX: Final = 3
_READABLE: Final = 0o100644 << 16


class Damaged(WorkerError):
    """The file, or one of its entries, is not as it was written: a finding of the check."""

    def __init__(self, entry: str | None, words: str) -> None:
        super().__init__(words)
        self.entry = entry


class Writing:
    """Writes an archive, entry after entry; `finish` makes it whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stack = ExitStack()
        self._archive = self._stack.enter_context(ZipFile(file, "w", ZIP_STORED))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def entry(self, name: str) -> Iterator[IO[bytes]]:
        """Write the next entry."""
        described = ZipInfo(name)  # of 1 January 1980
        described.create_system, described.external_attr = _OF_UNIX, _READABLE
        with self._archive.open(described, "w", force_zip64=True) as opened:
            yield opened

    def finish(self) -> None:
        """Write the list of entries, and the checksum."""
        self._archive.comment = bytes(_CHECKSUM_BYTES)
        self._stack.close()
        self._file.flush()
        end = self._file.seek(-_CHECKSUM_BYTES, 2)
        checksum = _checksum(self._file, end)
        self._file.seek(end)
        self._file.write(checksum)


def _checksum(file: IO[bytes], end: int) -> bytes:
    """The checksum of all bytes before `end`, as it is written."""
    hashed, left = blake2b(digest_size=_CHECKSUM_BYTES // 2), end
    file.seek(0)
    while left and (block := file.read(min(_BLOCK, left))):
        hashed.update(block)
        left -= len(block)
    return hashed.hexdigest().encode()


class Archive:
    """An archive that is read; `is_whole`: its checksum is that of its bytes."""

    def __init__(self, archive: ZipFile, *, is_whole: bool) -> None:
        self._archive = archive
        self.is_whole = is_whole

    def lines(self, entry: str) -> Iterator[bytes]:
        """The lines of an entry, without their ends.

        Raises:
            Damaged: its bytes are not those that were written, or a line is longer than any can be.
        """
        with _damage(entry, "its bytes are not those that were written"), self._archive.open(entry) as opened:
            while line := opened.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    raise Damaged(entry, "a line has no end, or is longer than a line of a bundle can be")
                yield line[:-1]


@contextmanager
def _damage(entry: str | None, words: str) -> Iterator[None]:
    """Say that the file is damaged where the library cannot read it; that the disk cannot be read is another matter."""
    try:
        yield
    except _BROKEN as error:
        raise Damaged(entry, f"{words} ({error})") from None
    except OSError as error:
        if error.errno != EINVAL:  # a place before the file's beginning
            raise
        raise Damaged(entry, f"{words} (it points outside of the file)") from None


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a bundle to read it.

    Raises:
        UsageError: it is not a bundle.
        Damaged: it was one, but is cut short, or has other entries than a bundle has.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not file.seekable():
            raise UsageError(f"{shortened(path)} is a pipe, and a bundle is read twice. Save it in a file first")
        size = file.seek(0, 2)
        is_whole = _is_whole(file, size, path)
        with _damage(None, "its list of entries cannot be read"):
            archive = ZipFile(file)
        with archive:
            _require_entries(archive, size)
            yield Archive(archive, is_whole=is_whole)


def _is_whole(file: IO[bytes], size: int, path: Path) -> bool:
    """Whether the checksum is right. What cannot be a bundle is refused before it is opened as an archive."""
    begins = _read(file, 0, len(_LOCAL)) == _LOCAL
    end = _read(file, max(0, size - _CHECKSUM_BYTES - _END_BYTES), _END_BYTES)
    ends = end.startswith(_END) and int.from_bytes(end[20:22], "little") == _CHECKSUM_BYTES
    if not begins and not ends:
        raise UsageError(f"{shortened(path)} is not a bundle. `connects bundle export` writes one")
    if not ends:
        raise Damaged(
            None, "its end is not that of a bundle: it was cut short, or something was added or changed there"
        )
    entries, directory = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    large = _read(file, max(0, size - _CHECKSUM_BYTES - _END_BYTES - 20), 4) == _END_OF_ZIP64
    if entries != len(ENTRIES) or directory > _MOST_DIRECTORY or (large and size <= _MOST_WITHOUT_ZIP64):
        raise Damaged(None, f"its list of entries is not that of a bundle, which has {len(ENTRIES)}")
    return _checksum(file, size - _CHECKSUM_BYTES) == _read(file, size - _CHECKSUM_BYTES, _CHECKSUM_BYTES)


def _read(file: IO[bytes], place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _require_entries(archive: ZipFile, size: int) -> None:
    listed = archive.infolist()
    names = [entry.filename for entry in listed]
    if names != list(ENTRIES):
        raise Damaged(None, f"its entries are not those of a bundle: {', '.join(ENTRIES)}, in this order")
    for entry in listed:
        if entry.compress_type != ZIP_STORED or entry.file_size != entry.compress_size:
            raise Damaged(entry.filename, "it is compressed, which no entry of a bundle is")
    if sum(entry.file_size for entry in listed) > size:
        raise Damaged(None, "its entries are said to be larger than the file is")
