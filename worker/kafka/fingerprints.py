"""How a record is recognised again."""

from hashlib import blake2b


def record_hash(key: bytes | memoryview | None, value: bytes | memoryview | None) -> bytes:
    """The 16-byte BLAKE2b of a record's key and value; no key, an empty one and another split of the bytes differ.

    They are not put together for it: a value may be large.
    """
    digest = blake2b(b"-" if key is None else b"%d:" % len(key), digest_size=16)
    digest.update(key or b"")
    digest.update(b"-" if value is None else b"+")
    digest.update(value or b"")
    return digest.digest()
