"""Reading what aiokafka's iterator cannot."""

from contextlib import suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from worker.stream.fingerprints import record_hash
from worker.stream.raw_batches import DamagedBatchesError, readable_records, stored_record

TP = TopicPartition("badge-earned", 0)
STAND_IN, NO_TEXT = b"stand-in", b"\xff\xfetext\x80!"
CODECS = {0: bytes, 1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def batch(first: int, bad: set[int], count: int = 4, codec: int = 0) -> bytes:
    """A batch as a broker stores it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for n in range(count):
        headers = [("a", None), ((STAND_IN if first + n in bad else b"fine").decode(), b"v" * 200)]
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
    records, bad, position = readable_records(TP, 10, data, [])
    assert [record.offset for record in records] == list(range(10, 22))
    assert [record.value for record in records] == [b"v%d" % n for n in range(10, 22)]
    assert bad == {11, 13, 18}
    assert position == 22
    assert records[1].headers == (("a", None), ("??text?!", b"v" * 200))


def test_reading_begins_within_a_batch() -> None:
    records, _, position = readable_records(TP, 12, batch(10, {11}), [])
    assert [record.offset for record in records] == [12, 13]
    assert position == 14


def test_a_batch_that_was_cut_is_left_for_later() -> None:
    records, _, position = readable_records(TP, 10, batch(10, set()) + batch(14, {14})[:-7], [])
    assert [record.offset for record in records] == [10, 11, 12, 13]
    assert position == 14


def test_a_stored_record_is_found_whatever_its_headers() -> None:
    data = batch(10, {11})
    assert stored_record(data, 11).value == b"v11"
    assert stored_record(data, 11).timestamp == 1_001
    assert stored_record(data, 14) is None
    assert stored_record(b"", 14) is None


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damaged_batches_raise_one_kind_of_error_or_give_what_they_hold(noise: bytes, at: int) -> None:
    data = bytearray(batch(10, {11}))
    data[at : at + len(noise)] = noise
    with suppress(DamagedBatchesError):
        readable_records(TP, 10, bytes(data), [])


@given(st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3))
def test_the_hash_tells_key_and_value_apart(key: bytes | None, value: bytes | None, other: bytes | None) -> None:
    assert len(record_hash(key, value)) == 16
    assert (record_hash(key, value) == record_hash(other, value)) is (key == other)
    assert (record_hash(key, value) == record_hash(key, other)) is (value == other)
    assert (record_hash(key, value) == record_hash(value, key)) is (key == value)
