"""How a record is recognised again."""

from hashlib import blake2b


def record_hash(key: bytes | None, value: bytes | None) -> bytes:
    """The 16-byte BLAKE2b of a record's key and value; no key, an empty one and another split of the bytes differ."""
    head = b"-" if key is None else b"%d:%b" % (len(key), key)
    tail = b"-" if value is None else b"+" + value
    return blake2b(head + tail, digest_size=16).digest()
