"""How far a compressed batch of records is expanded: up to a limit, which is checked before memory is spent on it.

A broker limits the compressed size of a batch and never expands it: 60 KB of zeros may become 600 MiB. The sizes that a
format announces are checked first. They are written by the sender, so none of them is believed: what is expanded goes
into a buffer of the announced size, or is known to fit from the sizes of the compressed blocks, or stops at the limit.
"""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Final, TypeAlias

import cramjam

from worker.errors import WorkerError

Buffer: TypeAlias = bytes | bytearray | memoryview

BATCH_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Three times what 1 MB of JSON needs at a ratio of 20."""
BATCH_LIMIT_RECORDS: Final = 1_000_000
"""A batch of valid events that is as large as the limit in bytes has fewer."""
RECORD_LIMIT_HEADERS: Final = 100_000

_UNCHECKED_BYTES: Final = 1024 * 1024
"""Up to here, where a batch without compression may come to, its records and headers are not counted.

A header of two bytes costs a hundred times that in memory.
"""
_GZIP: Final = 31  # what zlib calls a gzip member of any window
_GZIP_MEMBERS: Final = 100
"""Producers write one."""
_XERIAL: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
_ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_BLOCK_BYTES: Final = 128 * 1024
_ZSTD_REPEATED, _ZSTD_COMPRESSED = 1, 2  # kinds of blocks: one byte repeated, and compressed
_ZSTD_RATIO: Final = 32 * 1024
"""A block of four bytes makes 128 KiB."""
_SKIPPABLE: Final = 0x184D2A50  # a frame of either format that is to be skipped
_LZ4_MAGIC: Final = 0x184D2204
_LZ4_RATIO: Final = 255
_NO_ROOM: Final = "failed to write whole buffer"  # cramjam's words for an output that does not fit


class BatchTooLargeError(WorkerError):
    """A batch that is not expanded; the text says what is too large about it."""


class Meter:
    """What the decoders report: the size in bytes of the batch that was expanded last."""

    latest = 0


def limit_expansion() -> None:
    """Have all consumers of this process expand no batch beyond the limit. Calling it again changes nothing."""
    for folder in ("aiokafka.record", "aiokafka.record._crecords"):  # in Python, and compiled where it could be
        with suppress(ImportError):
            records, legacy = (import_module(f"{folder}.{name}") for name in ("default_records", "legacy_records"))
            for codec, decode in _DECODERS.items():
                setattr(records, f"{codec}_decode", _metered(decode, _count_records))
                if hasattr(legacy, f"{codec}_decode"):
                    setattr(legacy, f"{codec}_decode", _metered(decode, _count_messages))


def expanded(codec: int, payload: bytes) -> bytes:
    """The records of a batch of format 2, which the codec of that number in Kafka's protocol compressed.

    Raises:
        BatchTooLargeError: they are not expanded.
        Exception: what the decoder raises, the payload is damaged.
    """
    data = _DECODERS[_CODECS[codec]](payload)
    _count_records(data)
    return data


def _metered(decode: Callable[[Buffer], bytes], count: Callable[[bytes], None]) -> Callable[[Buffer], bytes]:
    def metered(payload: Buffer) -> bytes:
        data = decode(payload)
        Meter.latest = len(data)
        if len(data) > _UNCHECKED_BYTES:
            count(data)
        return data

    return metered


def _gzip(payload: Buffer) -> bytes:
    rest = memoryview(payload)
    _refuse(int.from_bytes(rest[-4:], "little"), announced=True)
    parts: list[bytes] = []
    left = BATCH_LIMIT_BYTES
    for _ in range(_GZIP_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        part = member.decompress(rest, left + 1)
        left -= len(part)
        if left < 0:
            _refuse(BATCH_LIMIT_BYTES + 1, announced=False)
        if not member.eof:
            raise EOFError("the gzip stream is cut")
        parts.append(part)
        rest = memoryview(member.unused_data.lstrip(b"\0"))
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise BatchTooLargeError(f"it has more than {_GZIP_MEMBERS} gzip members")


def _snappy(payload: Buffer) -> bytes:
    data = memoryview(payload)
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        _refuse(cramjam.snappy.decompress_raw_len(data), announced=True)
        return bytes(cramjam.snappy.decompress_raw(data))
    blocks, total, at = [], 0, len(_XERIAL)
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        block = data[at + 4 : at + 4 + size]
        if size < 0 or len(block) < size:
            raise ValueError(f"a snappy block of {size} bytes")
        total += cramjam.snappy.decompress_raw_len(block)
        _refuse(total, announced=True)
        blocks.append(block)
        at += 4 + size
    return b"".join([bytes(cramjam.snappy.decompress_raw(block)) for block in blocks])


def _lz4(payload: Buffer) -> bytes:
    data = memoryview(payload)
    if len(data) * _LZ4_RATIO <= BATCH_LIMIT_BYTES or _most_of_lz4(data) <= BATCH_LIMIT_BYTES:
        return bytes(cramjam.lz4.decompress(data))
    return _into(cramjam.lz4.decompress_into, data)


def _zstd(payload: Buffer) -> bytes:
    data = memoryview(payload)
    if len(data) * _ZSTD_RATIO <= BATCH_LIMIT_BYTES or _most_of_zstd(data) <= BATCH_LIMIT_BYTES:
        return bytes(cramjam.zstd.decompress(data))
    return _into(cramjam.zstd.decompress_into, data)


def _into(decompress_into: Callable[[Buffer, Buffer], int], data: Buffer) -> bytes:
    """Expand into a buffer as large as the limit: no further, whatever the data makes of it."""
    buffer = bytearray(BATCH_LIMIT_BYTES)
    try:
        length = decompress_into(data, buffer)
    except cramjam.DecompressionError as error:
        if _NO_ROOM in str(error):
            _refuse(BATCH_LIMIT_BYTES + 1, announced=False)
        raise
    with memoryview(buffer) as whole:
        return bytes(whole[:length])


def _refuse(size: int, *, announced: bool) -> None:
    if size <= BATCH_LIMIT_BYTES:
        return
    why = f"it announces {size} bytes" if announced else "it expands to more than the limit"
    raise BatchTooLargeError(why)


def _most_of_zstd(data: memoryview) -> int:
    """The most bytes that zstd frames can expand to, by the sizes of their blocks; found up to the limit.

    It stops where the frames are damaged: the decoder then says so.

    Raises:
        BatchTooLargeError: a frame announces more than the limit.
    """
    most = at = 0
    with suppress(struct.error, IndexError):
        while at + 4 <= len(data):
            (magic,) = struct.unpack_from("<I", data, at)
            if magic & ~0xF == _SKIPPABLE:
                at += 8 + struct.unpack_from("<I", data, at + 4)[0]
                continue
            if magic != _ZSTD_MAGIC:
                break
            size, at, has_checksum = _zstd_header(data, at + 4)
            _refuse(size, announced=True)
            last = False
            while not last:
                block = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                last, kind, length = bool(block & 1), block >> 1 & 3, block >> 3
                most += _ZSTD_BLOCK_BYTES if kind == _ZSTD_COMPRESSED else length
                at += 3 + (1 if kind == _ZSTD_REPEATED else length)
                if most > BATCH_LIMIT_BYTES:
                    return most
            at += 4 * has_checksum
    return most


def _zstd_header(data: memoryview, at: int) -> tuple[int, int, bool]:
    """The size that a frame's header announces (0: none), where its first block is, and whether it has a checksum."""
    described = data[at]
    single = bool(described & 0x20)
    at += 1 + (not single) + (0, 1, 2, 4)[described & 3]
    width = ((1 if single else 0), 2, 4, 8)[described >> 6]
    size = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)  # noqa: PLR2004 - the format's
    return size, at + width, bool(described & 4)


def _most_of_lz4(data: memoryview) -> int:
    """The most bytes that lz4 frames can expand to, by the sizes of their blocks; found up to the limit.

    Raises:
        BatchTooLargeError: a frame announces more than the limit.
    """
    most: int = 0
    at = 0
    with suppress(struct.error, IndexError):
        while at + 4 <= len(data):
            (magic,) = struct.unpack_from("<I", data, at)
            if magic & ~0xF == _SKIPPABLE:
                at += 8 + struct.unpack_from("<I", data, at + 4)[0]
                continue
            if magic != _LZ4_MAGIC:
                return most + (len(data) - at) * _LZ4_RATIO
            flags, block_bytes = data[at + 4], 1 << (8 + 2 * (data[at + 5] >> 4 & 7))
            at += 6
            if flags & 8:
                _refuse(struct.unpack_from("<Q", data, at)[0], announced=True)
                at += 8
            at += 1 + (4 if flags & 1 else 0)
            while block := struct.unpack_from("<I", data, at)[0]:
                length = block & 0x7FFFFFFF
                most += length if block >> 31 else min(block_bytes, length * _LZ4_RATIO)
                at += 4 + length + (4 if flags & 16 else 0)
                if most > BATCH_LIMIT_BYTES:
                    return most
            at += 4 + (4 if flags & 4 else 0)
    return most


def _count_records(data: bytes) -> None:
    """See that a large batch of format 2 holds no more records and headers than memory has room for."""
    if len(data) <= _UNCHECKED_BYTES:
        return
    count = at = 0
    with suppress(IndexError, ValueError):  # damaged: the reader of the records says so
        while at < len(data) and count <= BATCH_LIMIT_RECORDS:
            length, at = varint(data, at)
            if length > 2 * RECORD_LIMIT_HEADERS:
                _refuse_headers(data, at)
            if length <= 0:
                break
            at += length
            count += 1
    _refuse_count(count)


def _count_messages(data: bytes) -> None:
    """The same of the older formats, which have no headers."""
    count = at = 0
    while at + 12 <= len(data) and count <= BATCH_LIMIT_RECORDS:
        at += 12 + max(0, struct.unpack_from(">i", data, at + 8)[0])
        count += 1
    _refuse_count(count)


def _refuse_count(count: int) -> None:
    if count > BATCH_LIMIT_RECORDS:
        raise BatchTooLargeError(f"it has more than {BATCH_LIMIT_RECORDS} records")


def _refuse_headers(data: bytes, at: int) -> None:
    """Count the headers of the record whose attributes are at `at`."""
    _, at = varint(data, at + 1)  # the timestamp
    _, at = varint(data, at)  # the offset
    for _ in ("key", "value"):
        size, at = varint(data, at)
        at += max(size, 0)
    count, _ = varint(data, at)
    if count > RECORD_LIMIT_HEADERS:
        raise BatchTooLargeError(f"a record of it has {count} headers; at most {RECORD_LIMIT_HEADERS} are read")


def varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A zigzag number, and what follows it.

    Raises:
        IndexError: the data ends before it.
        ValueError: it is longer than any number of the format.
    """
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return (value >> 1) ^ -(value & 1), at
    raise ValueError("a number of more than ten bytes")


_DECODERS: Final = {"gzip": _gzip, "snappy": _snappy, "lz4": _lz4, "zstd": _zstd}
_CODECS: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
