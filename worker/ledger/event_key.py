"""How an event id is remembered: under a key that all topics' ids have in common."""

from hashlib import blake2b


def seen_key(topic: str, event_id: str) -> str:
    """How an event id of a topic is remembered: a hash of both, 16 bytes written in hexadecimal."""
    return blake2b(f"{topic}\0{event_id}".encode(), digest_size=16).hexdigest()
