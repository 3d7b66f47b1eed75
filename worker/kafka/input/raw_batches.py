"""Reading the batches that aiokafka's record iterator cannot, and those that must not be expanded.

Its iterator decodes header keys and raises at the first that is not text, and with it go all records after it. Here
such batches are rewritten, byte by byte in the format's version 2, so that the iterator can read them: each byte of a
bad key that is not ASCII becomes `?`. Keys and values stay as they are. A batch that is too large to be expanded is
replaced by one record without key and value, which stands for it.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

from worker.errors import WorkerError
from worker.kafka.fingerprints import record_hash
from worker.kafka.input.expansion import BATCH_LIMIT_BYTES, BatchTooLargeError, expanded, varint
from worker.kafka.records import UnexpandedBatch

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT: Final = 8
_PREFIX: Final = 12  # base offset and length
_MAGIC_AT: Final = 16
_ATTRIBUTES_AT: Final = 21
_LAST_DELTA_AT: Final = 23
_COUNT_AT: Final = 57
_CODEC_MASK: Final = 0x07
_BROKER_TIME_MASK: Final = 0x08
_CONTROL_MASK: Final = 0x20
_NEW_FORMAT: Final = 2
_NOT_ASCII: Final = bytes(byte if byte < 0x80 else ord("?") for byte in range(256))  # noqa: PLR2004
_TOGETHER_BYTES: Final = BATCH_LIMIT_BYTES // 4
"""How much of batches is read in one step, beyond the first of them."""


class DamagedBatchesError(WorkerError):
    """Bytes that are no batches of records."""


@dataclass(slots=True)
class OddRecords:
    """What is odd about records that were read raw: offsets of those with a header key that is no text, and batches.

    The batches that were not expanded are found by the offset of the record that stands for them.
    """

    unreadable: set[int] = field(default_factory=set)
    unexpanded: dict[int, UnexpandedBatch] = field(default_factory=dict)


class RawRead(NamedTuple):
    """Committed records, what is odd about them, and where reading goes on."""

    records: list[ConsumerRecord]
    odd: OddRecords
    position: int


class Stored(NamedTuple):
    """What a log holds at an offset: timestamp and hash of the record, and of the batch, if it is compressed.

    `unexpanded`: nobody knows whether there is a record, for the batch is too large.
    """

    record: tuple[int, bytes] | None
    batch: tuple[int, bytes] | None
    unexpanded: bool = False


class BatchHead(NamedTuple):
    """Whose a batch is, whether it holds the end of a transaction and no records, and its last offset.

    Formats before transactions have no `producer_id`.
    """

    producer_id: int | None
    is_control: bool
    last_offset: int


def readable_records(
    tp: KafkaPartition, offset: int, batches: bytes, aborted: Sequence[tuple[int, int]], *, most: int
) -> RawRead:
    """The committed records from `offset` on, at most so many. Of large batches the first ones are read.

    Raises:
        DamagedBatchesError: they cannot be read this way either.
    """
    odd = OddRecords()
    readable: list[bytes] = []
    size = 0
    try:
        for batch in _split(batches):
            readable.append(_readable(batch, offset, odd))
            size += len(readable[-1])
            if size > _TOGETHER_BYTES:
                break
        records = PartitionRecords(
            tp, MemoryRecords(b"".join(readable)), list(aborted), offset, None, None, False, READ_COMMITTED
        )
        del readable
        return RawRead(list(islice(records, most)), odd, int(records.next_fetch_offset))
    except Exception as error:
        raise DamagedBatchesError(f"{type(error).__name__}: {error}") from error


def stored_at(batches: bytes, offset: int) -> Stored:
    """What is stored at an offset, committed or not. A batch that must not be expanded has no record there.

    Raises:
        DamagedBatchesError: they cannot be read.
    """
    try:
        for batch in _split(batches):
            if _last_offset(batch) < offset:
                continue
            if batch[_MAGIC_AT] >= _NEW_FORMAT and _attributes(batch) & _CONTROL_MASK:
                return Stored(None, None)
            if batch[_MAGIC_AT] < _NEW_FORMAT or not _codec(batch):
                return Stored(_record_in(batch, offset), None)
            whole = (int(_HEADER.unpack_from(batch)[8]), _fingerprint(batch))
            try:
                return Stored(_record_in(batch, offset), whole)
            except BatchTooLargeError:
                return Stored(None, whole, unexpanded=True)
    except Exception as error:
        raise DamagedBatchesError(f"{type(error).__name__}: {error}") from error
    return Stored(None, None)


def heads(batches: bytes) -> Iterator[tuple[BatchHead, bytes]]:
    """The batches, each with what its head says."""
    for batch in _split(batches):
        if batch[_MAGIC_AT] < _NEW_FORMAT:
            yield BatchHead(None, False, _last_offset(batch)), batch
        else:
            producer_id = int(_HEADER.unpack_from(batch)[9])
            yield BatchHead(producer_id, bool(_attributes(batch) & _CONTROL_MASK), _last_offset(batch)), batch


def first_producer(batches: bytes) -> int | None:
    """The producer id of the first batch: of a transaction that hides what is behind it."""
    return next((head.producer_id for head, _ in heads(batches)), None)


def first_written_at(batches: bytes) -> int | None:
    """What its producer gave as the time of the first record, in ms: anything."""
    batch = next(_split(batches), None)
    if batch is None or batch[_MAGIC_AT] < _NEW_FORMAT:
        return None
    return int(_HEADER.unpack_from(batch)[7])


def _split(batches: bytes) -> Iterator[bytes]:
    """The whole batches; the last may have been cut."""
    at = 0
    while at + _PREFIX <= len(batches):
        end = at + _PREFIX + int(struct.unpack_from(">i", batches, at + _LENGTH_AT)[0])
        if not at + _MAGIC_AT < end <= len(batches):
            return
        yield batches[at:end]
        at = end


def _attributes(batch: bytes) -> int:
    return int(struct.unpack_from(">h", batch, _ATTRIBUTES_AT)[0])


def _codec(batch: bytes) -> int:
    return _attributes(batch) & _CODEC_MASK


def _last_offset(batch: bytes) -> int:
    (base_offset,) = struct.unpack_from(">q", batch)
    if batch[_MAGIC_AT] < _NEW_FORMAT:
        return int(base_offset)  # of a compressed message it is that of the last one in it
    return int(base_offset + struct.unpack_from(">i", batch, _LAST_DELTA_AT)[0])


def _fingerprint(batch: bytes) -> bytes:
    """A hash of what a broker never changes in a stored batch."""
    return record_hash(b"batch", batch[_ATTRIBUTES_AT:])


def _readable(batch: bytes, offset: int, odd: OddRecords) -> bytes:
    """The batch as aiokafka can read it: uncompressed, with header keys that are text; or one that stands for it."""
    if batch[_MAGIC_AT] < _NEW_FORMAT or _attributes(batch) & _CONTROL_MASK:
        return batch  # older formats have no headers; brokers since 3.0 store none
    try:
        records = bytearray(_records_of(batch))
    except BatchTooLargeError as error:
        return _stand_in(batch, max(offset, struct.unpack_from(">q", batch)[0]), str(error), odd)
    (base_offset,) = struct.unpack_from(">q", batch)
    at = 0
    for _ in range(struct.unpack_from(">i", batch, _COUNT_AT)[0]):
        at = _mend_record(records, at, base_offset, odd.unreadable)
    return _with_records(batch, records)


def _records_of(batch: bytes) -> bytes:
    payload = batch[_HEADER.size :]
    codec = _codec(batch)
    return expanded(codec, payload) if codec else payload


def _with_records(batch: bytes, records: bytes | bytearray) -> bytes:
    """The batch with these records, uncompressed."""
    head = bytearray(batch[: _HEADER.size])
    struct.pack_into(">i", head, _LENGTH_AT, _HEADER.size - _PREFIX + len(records))
    struct.pack_into(">h", head, _ATTRIBUTES_AT, _attributes(batch) & ~_CODEC_MASK)
    return b"".join((head, records))


def _stand_in(batch: bytes, first_offset: int, why: str, odd: OddRecords) -> bytes:
    """A batch over the same offsets, of the same transaction, with one record: it has neither key nor value."""
    base_offset, *_, first_timestamp, latest, _, _, _, count = _HEADER.unpack_from(batch)
    last_offset = _last_offset(batch)
    unread = min(count, last_offset - first_offset + 1)
    odd.unexpanded[first_offset] = UnexpandedBatch(
        first_offset, last_offset, unread, len(batch), why, _fingerprint(batch)
    )
    fields = b"".join(map(_number, (latest - first_timestamp, first_offset - base_offset, -1, -1, 0)))
    stand_in = bytearray(_with_records(batch, _number(len(fields) + 1) + b"\0" + fields))
    struct.pack_into(">i", stand_in, _COUNT_AT, 1)
    return bytes(stand_in)


def _record_in(batch: bytes, offset: int) -> tuple[int, bytes] | None:
    """Timestamp and hash of the record with that offset. Of a large batch no more is copied than must be."""
    if batch[_MAGIC_AT] < _NEW_FORMAT:
        for record in MemoryRecords(batch).next_batch():
            if record.offset == offset:
                return int(record.timestamp), record_hash(record.key, record.value)
        return None
    base_offset, *_, first_timestamp, latest, _, _, _, count = _HEADER.unpack_from(batch)
    records = _records_of(batch)
    at = 0
    for _ in range(count):
        at, end = _record_at(records, at)
        delta_ms, at = varint(records, at + 1)  # after the attributes
        offset_delta, at = varint(records, at)
        if base_offset + offset_delta == offset:
            key, at = _bytes_at(records, at)
            value, at = _bytes_at(records, at)
            by_broker = _attributes(batch) & _BROKER_TIME_MASK
            return int(latest if by_broker else first_timestamp + delta_ms), record_hash(key, value)
        at = end
    return None


def _record_at(records: bytes | bytearray, at: int) -> tuple[int, int]:
    """Where the record whose length is at `at` begins and ends."""
    length, begin = varint(records, at)
    end = begin + length
    if not begin < end <= len(records):  # going back, reading would never come to an end
        raise ValueError(f"a record of {length} bytes")
    return begin, end


def _bytes_at(records: bytes, at: int) -> tuple[memoryview | None, int]:
    """A key or value, and what follows it."""
    size, at = varint(records, at)
    if size < 0:
        return None, at
    return memoryview(records)[at : at + size], at + size


def _mend_record(records: bytearray, at: int, base_offset: int, bad: set[int]) -> int:
    """Make the header keys of the record at `at` text; where the next record is."""
    at, end = _record_at(records, at)
    _, at = varint(records, at + 1)  # after the attributes: the timestamp
    offset_delta, at = varint(records, at)
    for _ in ("key", "value"):
        size, at = varint(records, at)
        at += max(size, 0)
    header_count, at = varint(records, at)
    for _ in range(header_count):
        size, at = varint(records, at)
        if size < 0 or at + size > end:  # going back, it would never come to an end
            raise ValueError(f"a header key of {size} bytes")
        key = bytes(records[at : at + size])
        try:
            key.decode()
        except UnicodeDecodeError:
            bad.add(base_offset + offset_delta)
            records[at : at + size] = key.translate(_NOT_ASCII)
        at += size
        size, at = varint(records, at)
        at += max(size, 0)
    return end


def _number(value: int) -> bytes:
    """A zigzag number, as records hold it."""
    value = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - what fits into a byte that is not the last
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
