"""Which partition a key belongs to: the Java client's murmur2, which is what consumers of our topics may rely on."""

from functools import cache, lru_cache
from struct import Struct
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_KEYS_REMEMBERED: Final = 65_536


@cache
def _words(count: int) -> Struct:
    return Struct(f"<{count}I")


def murmur2(data: bytes) -> int:
    """MurmurHash2 as `org.apache.kafka.common.utils.Utils.murmur2` computes it, as an unsigned 32-bit number.

    aiokafka has the same function, byte by byte; this one reads words and takes a third of the time.
    """
    length = len(data)
    whole = length & ~3
    h = _SEED ^ length
    for word in _words(whole >> 2).unpack_from(data):
        k = (word * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if whole < length:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=_KEYS_REMEMBERED)
def partition_of(key: bytes, partition_count: int) -> int:
    """The partition of a keyed message, as the Java client's default partitioner chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % partition_count
