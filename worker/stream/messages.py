"""Messages on their way out, and how a batch of them is packed into one outbox row."""

from collections.abc import Sequence

import cramjam
import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One message of an output topic (named without prefix). Times are RFC 3339; `ce_id` identifies it."""

    topic: str
    key: bytes
    value: bytes
    ce_id: str
    ce_time: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Message])


def pack(messages: Sequence[Message]) -> bytes:
    """Pack a batch's messages, in order, for its outbox row (MessagePack, then LZ4 block)."""
    return bytes(cramjam.lz4.compress_block(_encoder.encode(messages)))


def unpack(packed: bytes) -> list[Message]:
    """Give back what `pack` packed, in order."""
    return _decoder.decode(bytes(cramjam.lz4.decompress_block(packed)))
