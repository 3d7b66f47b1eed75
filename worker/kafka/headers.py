"""Kafka headers, packed for a column of the ledger."""

from collections.abc import Sequence

import msgspec

Headers = tuple[tuple[str, bytes | None], ...]

# Keys are packed as bytes: a key that is not UTF-8 comes with surrogate escapes, which a MessagePack string refuses.
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes | None]])


def pack_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Pack a record's headers, in order, repeated keys and null values included."""
    return _encoder.encode([(key.encode("utf-8", "surrogateescape"), value) for key, value in headers])


def unpack_headers(packed: bytes) -> Headers:
    """Give back what `pack_headers` packed."""
    return tuple((key.decode("utf-8", "surrogateescape"), value) for key, value in _decoder.decode(packed))
