"""Reading the batches that aiokafka's record iterator cannot: those with a header key that is not UTF-8.

Its iterator decodes header keys and raises at the first that is not text, and with it go all records after it. Here
such batches are rewritten, byte by byte in the format's version 2, so that the iterator can read them: each byte of a
bad key that is not ASCII becomes `?`. Keys and values stay as they are.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT: Final = 8
_PREFIX: Final = 12  # base offset and length
_ATTRIBUTES_AT: Final = 21
_CODEC_MASK: Final = 0x07
_CONTROL_MASK: Final = 0x20
_NEW_FORMAT: Final = 2
_CODECS: Final = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}
_NOT_ASCII: Final = bytes(byte if byte < 0x80 else ord("?") for byte in range(256))  # noqa: PLR2004


class DamagedBatchesError(ValueError):
    """Bytes that are no batches of records."""


def readable_records(
    tp: KafkaPartition, offset: int, batches: bytes, aborted: Sequence[tuple[int, int]]
) -> tuple[list[ConsumerRecord], set[int], int]:
    """The committed records from `offset` on, the offsets of those with a bad header key, and where to go on reading.

    Raises:
        DamagedBatchesError: they cannot be read this way either.
    """
    bad: set[int] = set()
    records = _records(tp, offset, batches, aborted, isolation=READ_COMMITTED, bad=bad)
    return list(records), bad, int(records.next_fetch_offset)


def stored_record(batches: bytes, offset: int) -> ConsumerRecord | None:
    """The record stored at an offset, committed or not; None if there is none.

    Raises:
        DamagedBatchesError: they cannot be read.
    """
    records = _records(KafkaPartition("", 0), 0, batches, (), isolation=READ_UNCOMMITTED, bad=set())
    return next((record for record in records if record.offset == offset), None)


class _Records:
    """Iterates as aiokafka does, and raises one kind of error, whatever the bytes do to it."""

    def __init__(self, records: PartitionRecords) -> None:
        self._records = records

    @property
    def next_fetch_offset(self) -> int:
        return int(self._records.next_fetch_offset)

    def __iter__(self) -> Iterator[ConsumerRecord]:
        try:
            yield from self._records
        except Exception as error:
            raise DamagedBatchesError(f"{type(error).__name__}: {error}") from error


def _records(
    tp: KafkaPartition,
    offset: int,
    batches: bytes,
    aborted: Sequence[tuple[int, int]],
    *,
    isolation: int,
    bad: set[int],
) -> _Records:
    try:
        mended = b"".join(_mended(batch, bad) for batch in _split(batches))
    except Exception as error:
        raise DamagedBatchesError(f"{type(error).__name__}: {error}") from error
    return _Records(PartitionRecords(tp, MemoryRecords(mended), list(aborted), offset, None, None, False, isolation))


def _split(batches: bytes) -> Iterator[bytes]:
    """The whole batches; the last may have been cut."""
    at = 0
    while at + _PREFIX <= len(batches):
        end = at + _PREFIX + int(struct.unpack_from(">i", batches, at + _LENGTH_AT)[0])
        if end > len(batches):
            return
        yield batches[at:end]
        at = end


def _mended(batch: bytes, bad: set[int]) -> bytes:
    """The batch, uncompressed, with header keys that are text; offsets of records that had others go to `bad`."""
    if batch[16] < _NEW_FORMAT:
        return batch  # older formats have no headers
    base_offset, *_, count = _HEADER.unpack_from(batch)
    attributes = int(struct.unpack_from(">h", batch, _ATTRIBUTES_AT)[0])
    if attributes & _CONTROL_MASK:
        return batch
    payload = batch[_HEADER.size :]
    if codec := attributes & _CODEC_MASK:
        payload = bytes(_CODECS[codec](payload))
    records = bytearray(payload)
    at = 0
    for _ in range(count):
        at = _mend_record(records, at, base_offset, bad)
    head = bytearray(batch[: _HEADER.size])
    struct.pack_into(">i", head, _LENGTH_AT, _HEADER.size - _PREFIX + len(records))
    struct.pack_into(">h", head, _ATTRIBUTES_AT, attributes & ~_CODEC_MASK)
    return bytes(head + records)


def _mend_record(records: bytearray, at: int, base_offset: int, bad: set[int]) -> int:
    """Make the header keys of the record at `at` text; where the next record is."""
    length, at = _varint(records, at)
    end = at + length
    if not at < end <= len(records):
        raise ValueError(f"a record of {length} bytes")
    _, at = _varint(records, at + 1)  # after the attributes: the timestamp
    offset_delta, at = _varint(records, at)
    for _ in ("key", "value"):
        size, at = _varint(records, at)
        at += max(size, 0)
    header_count, at = _varint(records, at)
    for _ in range(header_count):
        size, at = _varint(records, at)
        key = bytes(records[at : at + size])
        try:
            key.decode()
        except UnicodeDecodeError:
            bad.add(base_offset + offset_delta)
            records[at : at + size] = key.translate(_NOT_ASCII)
        at += size
        size, at = _varint(records, at)
        at += max(size, 0)
    return end


def _varint(data: bytearray, at: int) -> tuple[int, int]:
    """A zigzag number, and what follows it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return (value >> 1) ^ -(value & 1), at
        shift += 7
