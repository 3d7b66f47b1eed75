import os
from random import Random

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka

from worker.kafka.headers import pack_headers, unpack_headers
from worker.kafka.output.partitioner import murmur2, partition_of

# From the Java client's own test, UtilsTest.testMurmur2.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA)
def test_a_key_is_hashed_as_the_java_client_hashes_it(key: bytes) -> None:
    assert murmur2(key) == JAVA[key] % 2**32


def test_a_key_goes_where_aiokafka_would_send_it() -> None:
    seed = int.from_bytes(os.urandom(4))
    random = Random(seed)
    partitioner = DefaultPartitioner()
    for _ in range(2_000):
        key = random.randbytes(random.randint(0, 64))
        count = random.randint(1, 50)
        assert murmur2(key) == murmur2_of_aiokafka(key), (seed, key)
        assert partition_of(key, count) == partitioner(key, list(range(count)), []), (seed, key, count)


def test_headers_come_back_as_they_were_read() -> None:
    odd = (("trace", b"1"), ("trace", None), ("\udcff\udcfe", b"\xff"), ("", b""))
    assert unpack_headers(pack_headers(odd)) == odd
