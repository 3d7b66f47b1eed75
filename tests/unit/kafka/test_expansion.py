"""How far a batch is expanded, whatever its sender says about it."""

import gzip
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress

import cramjam
import pytest
from aiokafka import codec as aiokafka_codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.input import expansion
from worker.kafka.input.expansion import (
    BATCH_LIMIT_BYTES,
    BATCH_LIMIT_RECORDS,
    RECORD_LIMIT_HEADERS,
    BatchTooLargeError,
    expanded,
    limit_expansion,
    varint,
)

MIB = 1024 * 1024
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
ENCODE: dict[int, Callable[[bytes], bytes]] = {
    GZIP: aiokafka_codec.gzip_encode,
    SNAPPY: aiokafka_codec.snappy_encode,
    LZ4: aiokafka_codec.lz4_encode,
    ZSTD: aiokafka_codec.zstd_encode,
}


def streamed(compressor: "cramjam.zstd.Compressor | cramjam.lz4.Compressor", mebibytes: int) -> bytes:
    """Zeros, compressed as they come: such a frame announces no size."""
    for _ in range(mebibytes):
        compressor.compress(bytes(MIB))
    return bytes(compressor.finish())


def gzipped(mebibytes: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(deflate.compress(bytes(MIB)) for _ in range(mebibytes)) + deflate.flush()


BOMBS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "gzip": (GZIP, lambda: gzipped(130)),
    "gzip that says it is empty": (GZIP, lambda: gzipped(130)[:-4] + bytes(4)),
    "gzip in two members": (GZIP, lambda: gzipped(40) * 2),
    "zstd that announces nothing": (ZSTD, lambda: streamed(cramjam.zstd.Compressor(19), 130)),
    "zstd that announces it": (ZSTD, lambda: bytes(cramjam.zstd.compress(bytes(100 * MIB)))),
    "zstd in two frames": (ZSTD, lambda: bytes(cramjam.zstd.compress(bytes(40 * MIB))) * 2),
    "lz4 that announces nothing": (LZ4, lambda: streamed(cramjam.lz4.Compressor(), 100)),
    "lz4 in two frames": (LZ4, lambda: streamed(cramjam.lz4.Compressor(), 40) * 2),
    "snappy in blocks": (SNAPPY, lambda: aiokafka_codec.snappy_encode(bytes(100 * MIB))),
    "snappy in one": (SNAPPY, lambda: bytes(cramjam.snappy.compress_raw(bytes(100 * MIB)))),
    "snappy that announces 4 GiB": (SNAPPY, lambda: b"\xff\xff\xff\xff\x0f" + bytes(50)),
    "many members": (GZIP, lambda: gzip.compress(b"") * 1_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_nothing_is_expanded_beyond_the_limit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, made = BOMBS[name]
    bomb = made()
    expansions: list[int] = []
    for module in (cramjam.zstd, cramjam.lz4, cramjam.snappy):
        for function in ("decompress", "decompress_raw"):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, counted(getattr(module, function), expansions))
    with pytest.raises(BatchTooLargeError):
        expanded(codec, bomb)
    assert sum(expansions) <= BATCH_LIMIT_BYTES


def counted(decompress: Callable[..., object], sizes: list[int]) -> Callable[..., object]:
    def counting(data: bytes) -> object:
        found = decompress(data)
        sizes.append(len(found))  # type: ignore[arg-type]
        return found

    return counting


@pytest.mark.parametrize("codec", ENCODE)
@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 5 * MIB])
def test_what_is_within_the_limit_is_what_aiokafka_makes_of_it(codec: int, size: int) -> None:
    data = random.Random(size).randbytes(size).translate(b"abcdefgh" * 32)
    if size > MIB:  # then its records are counted: one of that size
        data = bytes([*zigzag(size)]) + data
    assert expanded(codec, ENCODE[codec](data)) == data


@pytest.mark.parametrize(
    ("codec", "made"),
    [
        (ZSTD, lambda: streamed(cramjam.zstd.Compressor(3), 64)),
        (LZ4, lambda: streamed(cramjam.lz4.Compressor(), 64)),
        (GZIP, lambda: gzipped(64)),
    ],
)
def test_a_batch_as_large_as_the_limit_is_expanded(codec: int, made: Callable[[], bytes]) -> None:
    assert len(expanded(codec, made())) == BATCH_LIMIT_BYTES


def test_frames_to_be_skipped_and_empty_ones_cost_nothing() -> None:
    skipped = struct.pack("<II", 0x184D2A53, 5) + b"notes"
    assert expanded(ZSTD, skipped + bytes(cramjam.zstd.compress(b"data"))) == b"data"
    assert expanded(GZIP, gzip.compress(b"da") + gzip.compress(b"ta") + bytes(8)) == b"data"


@given(st.sampled_from(sorted(ENCODE)), st.binary(max_size=300), st.integers(0, 300))
def test_damage_ends_in_an_error_or_in_some_bytes(codec: int, noise: bytes, at: int) -> None:
    data = bytearray(ENCODE[codec](b"a record of some length" * 40))
    data[at : at + len(noise)] = noise
    damaged = (BatchTooLargeError, EOFError, ValueError, struct.error, zlib.error, cramjam.DecompressionError)
    with suppress(*damaged):
        assert len(expanded(codec, bytes(data))) <= BATCH_LIMIT_BYTES


def test_a_batch_of_more_records_than_valid_events_can_be_is_refused() -> None:
    tiny = bytes([12, 0, 0, 0, 1, 1, 0])
    with pytest.raises(BatchTooLargeError, match=f"more than {BATCH_LIMIT_RECORDS} records"):
        expanded(ZSTD, bytes(cramjam.zstd.compress(tiny * (BATCH_LIMIT_RECORDS + 1))))
    assert expanded(ZSTD, bytes(cramjam.zstd.compress(tiny * BATCH_LIMIT_RECORDS)))


def test_a_record_of_countless_headers_is_refused() -> None:
    def with_headers(count: int) -> bytes:
        body = bytes([0, 0, 0, 1, 1]) + bytes(zigzag(count)) + bytes([0, 1]) * count
        return bytes(zigzag(len(body))) + body

    large = with_headers(RECORD_LIMIT_HEADERS) * 30
    assert expanded(GZIP, gzip.compress(large)) == large
    with pytest.raises(BatchTooLargeError, match="a record of it has 3000000 headers"):
        expanded(GZIP, gzip.compress(with_headers(3_000_000)))


def test_consumers_of_this_process_are_limited() -> None:
    limit_expansion()
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 1_000, None, b"", [])
    head = bytearray(bytes(builder.build())[:61])
    payload = gzipped(65)
    struct.pack_into(">i", head, 8, 49 + len(payload))
    struct.pack_into(">h", head, 21, GZIP)
    with pytest.raises(BatchTooLargeError):
        list(MemoryRecords(bytes(head) + payload).next_batch())
    assert expansion.Meter.latest <= BATCH_LIMIT_BYTES


def zigzag(value: int) -> list[int]:
    value <<= 1
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return [*out, value]


@given(st.integers(0, 2**62))
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    assert varint(bytes(zigzag(value)), 0) == (value, len(zigzag(value)))


def test_a_number_without_an_end_is_no_number() -> None:
    with pytest.raises(ValueError, match="more than ten bytes"):
        varint(b"\x80" * 1_000_000 + b"\x01", 0)
    with pytest.raises(IndexError):
        varint(b"\x80", 0)
