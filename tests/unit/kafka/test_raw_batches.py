"""Reading what aiokafka's iterator cannot."""

import struct
from contextlib import suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.fingerprints import record_hash
from worker.kafka.input.expansion import BATCH_LIMIT_BYTES
from worker.kafka.input.raw_batches import (
    DamagedBatchesError,
    first_producer,
    readable_records,
    stored_at,
)

TP = TopicPartition("badge-earned", 0)
STAND_IN, NO_TEXT = b"stand-in", b"\xff\xfetext\x80!"
CODECS = {0: bytes, 1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def batch(first: int, bad: set[int], count: int = 4, codec: int = 0, filling: int = 200) -> bytes:
    """A batch as a broker stores it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 27)
    for n in range(count):
        headers = [("a", None), ((STAND_IN if first + n in bad else b"fine").decode(), b"v" * filling)]
        builder.append(n, 1_000 + n, b"k%d" % n, b"v%d" % (first + n), headers)
    data = bytearray(bytes(builder.build()).replace(STAND_IN, NO_TEXT))
    payload = CODECS[codec](bytes(data[61:]))
    data[0:8] = first.to_bytes(8, "big")
    data[8:12] = (49 + len(payload)).to_bytes(4, "big")
    data[21:23] = codec.to_bytes(2, "big")
    return bytes(data[:61]) + payload


@pytest.mark.parametrize("codec", CODECS)
def test_every_record_is_read_and_the_bad_ones_are_named(codec: int) -> None:
    data = batch(10, {11, 13}, codec=codec) + batch(14, set(), codec=codec) + batch(18, {18}, codec=codec)
    records, odd, position = readable_records(TP, 10, data, [], most=100)
    assert [record.offset for record in records] == list(range(10, 22))
    assert [record.value for record in records] == [b"v%d" % n for n in range(10, 22)]
    assert (odd.unreadable, odd.unexpanded) == ({11, 13, 18}, {})
    assert position == 22
    assert records[1].headers == (("a", None), ("??text?!", b"v" * 200))


def test_reading_begins_within_a_batch() -> None:
    records, _, position = readable_records(TP, 12, batch(10, {11}), [], most=100)
    assert [record.offset for record in records] == [12, 13]
    assert position == 14


def test_a_batch_that_was_cut_is_left_for_later() -> None:
    records, _, position = readable_records(TP, 10, batch(10, set()) + batch(14, {14})[:-7], [], most=100)
    assert [record.offset for record in records] == [10, 11, 12, 13]
    assert position == 14


def test_a_stored_record_is_found_whatever_its_headers() -> None:
    data = batch(10, {11})
    assert stored_at(data, 11).record == (1_001, record_hash(b"k1", b"v11"))
    assert stored_at(data, 14).record is None
    assert stored_at(b"", 14).record is None


def bomb(first: int, count: int = 4, *, producer_id: int = -1, transactional: bool = False) -> bytes:
    """A batch that must not be expanded, of that many records by its header."""
    payload = zstd_encode(bytes(BATCH_LIMIT_BYTES + 1))
    attributes = 4 | (0x10 if transactional else 0)
    body = struct.pack(">hiqqqhii", attributes, count - 1, 5_000, 6_000, producer_id, 0, 0, count) + payload
    return struct.pack(">qiibI", first, len(body) + 9, 0, 2, 0) + body


def control(offset: int, producer_id: int, *, commit: bool) -> bytes:
    """What ends a transaction, as a broker stores it."""
    record = bytes([0, 0, 0, 8]) + struct.pack(">hh", 0, int(commit)) + bytes([1, 0])
    record = bytes([len(record) * 2]) + record
    body = struct.pack(">hiqqqhii", 0x30, 0, 0, 0, producer_id, 0, -1, 1) + record
    return struct.pack(">qiibI", offset, len(body) + 9, 0, 2, 0) + body


def test_a_batch_that_must_not_be_expanded_is_read_as_one_record_that_represents_it() -> None:
    data = batch(10, {11}) + bomb(14) + batch(18, set())
    read = readable_records(TP, 10, data, [], most=100)
    assert [record.offset for record in read.records] == [10, 11, 12, 13, 14, 18, 19, 20, 21]
    stands_in = read.records[4]
    assert (stands_in.key, stands_in.value, stands_in.headers, stands_in.timestamp) == (None, None, (), 6_000)
    found = read.odd.unexpanded[14]
    assert (found.first_offset, found.last_offset, found.records) == (14, 17, 4)
    assert (found.size_bytes, found.why) == (len(bomb(14)), "it announces 67108865 bytes")
    assert (read.odd.unreadable, read.position) == ({11}, 22)


def test_of_a_batch_that_is_entered_in_its_middle_the_rest_counts() -> None:
    read = readable_records(TP, 16, bomb(14), [], most=100)
    assert ([record.offset for record in read.records], read.position) == ([16], 18)
    found = read.odd.unexpanded[16]
    assert (found.first_offset, found.last_offset, found.records) == (16, 17, 2)


def test_a_batch_of_an_aborted_transaction_is_skipped_unexpanded() -> None:
    data = bomb(10, producer_id=7, transactional=True) + control(14, 7, commit=False) + batch(15, set())
    read = readable_records(TP, 10, data, [(7, 10)], most=100)
    assert [record.offset for record in read.records] == [15, 16, 17, 18]


def test_no_more_is_read_than_there_is_room_for() -> None:
    read = readable_records(TP, 10, batch(10, set()) + batch(14, set()), [], most=5)
    assert ([record.offset for record in read.records], read.position) == ([10, 11, 12, 13, 14], 15)


def test_of_large_batches_the_first_ones_are_read_and_the_others_left_for_later() -> None:
    size = BATCH_LIMIT_BYTES // 4
    large = b"".join(batch(first, set(), codec=4, filling=size // 4) for first in (10, 14, 18))
    read = readable_records(TP, 10, large, [], most=100)
    assert ([record.offset for record in read.records], read.position) == ([10, 11, 12, 13], 14)


def test_a_batch_is_recognised_by_what_brokers_never_change() -> None:
    data = bomb(10)
    moved = bytearray(data)
    moved[0:8], moved[12:16] = (50).to_bytes(8, "big"), (9).to_bytes(4, "big")  # its place, and the leader's epoch
    at_ten = stored_at(data, 12)
    assert at_ten.unexpanded
    assert at_ten.record is None
    assert at_ten.batch is not None
    assert at_ten.batch == stored_at(bytes(moved), 51).batch
    assert at_ten.batch != stored_at(bomb(10, count=5), 12).batch
    assert at_ten.batch == (6_000, readable_records(TP, 10, data, [], most=1).odd.unexpanded[10].fingerprint)
    assert stored_at(control(10, 7, commit=True), 10).record is None


def test_whose_transaction_hides_records_and_since_when() -> None:
    assert first_producer(bomb(10, producer_id=7, transactional=True) + batch(14, set())) == 7
    assert first_producer(b"") is None


def test_a_record_of_less_than_no_bytes_is_damage_and_no_endless_loop() -> None:
    damaged = bytearray(batch(10, set()))
    damaged[57:61] = (2**31 - 1).to_bytes(4, "big")  # the count of its records
    damaged[61] = 1  # the first one's length: -1
    for read in (lambda: stored_at(bytes(damaged), 13), lambda: readable_records(TP, 10, bytes(damaged), [], most=9)):
        with pytest.raises(DamagedBatchesError, match="a record of -1 bytes"):
            read()


def test_a_header_key_of_less_than_no_bytes_is_damage_and_no_endless_loop() -> None:
    countless = bytes([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F])  # of headers
    record = bytes([0, 0, 0, 1, 1]) + countless + bytes([3, 1])  # a key of -2 bytes, then no value: back again
    record = bytes([len(record) * 2]) + record
    body = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + record
    with pytest.raises(DamagedBatchesError):
        readable_records(TP, 10, struct.pack(">qiibI", 10, len(body) + 9, 0, 2, 0) + body, [], most=1)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damaged_batches_raise_one_kind_of_error_or_return_what_they_hold(noise: bytes, at: int) -> None:
    data = bytearray(batch(10, {11}))
    data[at : at + len(noise)] = noise
    with suppress(DamagedBatchesError):
        readable_records(TP, 10, bytes(data), [], most=100)


@given(st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3))
def test_the_hash_distinguishes_key_and_value(key: bytes | None, value: bytes | None, other: bytes | None) -> None:
    assert len(record_hash(key, value)) == 16
    assert (record_hash(key, value) == record_hash(other, value)) is (key == other)
    assert (record_hash(key, value) == record_hash(key, other)) is (value == other)
    assert (record_hash(key, value) == record_hash(value, key)) is (key == value)
