"""Small batches that expand to very much, made as they are compressed, so that nobody here needs the memory."""

import struct
import time
import zlib
from typing import Any

import cramjam
from aiokafka.record.util import calc_crc32c

_HEADER = ">hiqqqhii"
_MIB = 1024 * 1024
_CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_SMALL_RECORD_BYTES = 128 * 1024
"""Each is of a size that the contract allows."""


def _lz4() -> Any:  # noqa: ANN401
    return cramjam.lz4.Compressor(level=9, content_checksum=False, block_linked=False)  # brokers take no linked blocks


class _Compressor:
    """Takes pieces, and returns their compressed form."""

    def __init__(self, codec: str) -> None:
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
        self._other = {"zstd": lambda: cramjam.zstd.Compressor(19), "lz4": _lz4}.get(codec)
        self._stream: Any = None if self._other is None else self._other()
        self._codec = codec
        self._parts: list[bytes] = []

    def add(self, piece: bytes) -> None:
        if self._stream is not None:
            self._stream.compress(piece)
        elif self._codec == "gzip":
            self._parts.append(self._deflate.compress(piece))
        else:
            self._parts.append(piece)

    def finish(self) -> bytes:
        if self._stream is not None:
            return bytes(self._stream.finish())
        if self._codec == "gzip":
            return b"".join(self._parts) + self._deflate.flush()
        return bytes(cramjam.snappy.compress_raw(b"".join(self._parts)))


def bomb(mebibytes: int, codec: str, *, records: int | None = None) -> tuple[bytes, int]:
    """One batch of zeros, and how many records it has: of 128 KiB each, by default."""
    count = records or mebibytes * _MIB // _SMALL_RECORD_BYTES
    size = mebibytes * _MIB // count
    compressor = _Compressor(codec)
    for place in range(count):
        head = b"\0" + _number(0) + _number(place) + _number(-1) + _number(size)
        compressor.add(_number(len(head) + size + 1) + head)
        for start in range(0, size, _MIB):
            compressor.add(bytes(min(_MIB, size - start)))
        compressor.add(_number(0))
    return _batch(compressor.finish(), _CODECS[codec], count), count


def of_headers(count: int) -> bytes:
    """One batch of one record with that many headers, each of two bytes."""
    fields = b"\0" + _number(0) + _number(0) + _number(-1) + _number(-1) + _number(count)
    compressor = _Compressor("gzip")
    compressor.add(_number(len(fields) + 2 * count) + fields)
    compressor.add(b"\0\1" * count)
    return _batch(compressor.finish(), _CODECS["gzip"], 1)


def _batch(payload: bytes, codec: int, count: int) -> bytes:
    now = time.time_ns() // 10**6
    body = struct.pack(_HEADER, codec, count - 1, now, now, -1, -1, -1, count) + payload
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, calc_crc32c(body)) + body


def _number(value: int) -> bytes:
    value, out = value << 1 if value >= 0 else (-value << 1) - 1, bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
