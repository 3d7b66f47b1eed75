"""Messages on their way out, and how a batch of them is packed into one outbox row."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

import cramjam
import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One message of an output topic (named without prefix). Times are RFC 3339; `ce_id` identifies it."""

    topic: str
    key: bytes
    value: bytes
    ce_id: str
    ce_time: str


class TracedMessage(Message, frozen=True, array_like=True):
    """A message with its W3C trace context, for the headers of the same names; both empty: it has none.

    It is packed behind what every message has, so that whoever reads messages as `Message` does not see it.
    """

    traceparent: str = ""
    tracestate: str = ""


class RepublishedMessage(TracedMessage, frozen=True, array_like=True):
    """A message with the command by which it is published once more (docs/decisions/0041); empty: it is the first time.

    It is packed behind the trace context, which such a message does not have.
    """

    republished: str = ""


def published_id(ce_id: str, republished: str) -> str:
    """How one publication of a message is known: the message's id, and each time after the first the command, too."""
    return f"{ce_id} {republished}" if republished else ce_id


_encoder = msgspec.msgpack.Encoder()
_written = msgspec.json.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Message])
_whole_decoder = msgspec.msgpack.Decoder(list[RepublishedMessage])
_raw_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_message_decoder = msgspec.msgpack.Decoder(Message)
_traced_decoder = msgspec.msgpack.Decoder(list[TracedMessage])


@lru_cache(maxsize=1024)
def time_text(instant: datetime) -> str:
    """An instant, in UTC, as messages tell it. Clock work tells the same one again and again."""
    return _written.encode(instant)[1:-1].decode()


def pack(messages: Sequence[Message]) -> bytes:
    """Pack a batch's messages, in order, for its outbox row (MessagePack, then LZ4 block)."""
    return bytes(cramjam.lz4.compress_block(_encoder.encode(messages)))


def unpack(packed: bytes) -> list[Message]:
    """Give back what `pack` packed, in order."""
    return _decoder.decode(bytes(cramjam.lz4.decompress_block(packed)))


def unpack_traced(packed: bytes) -> list[TracedMessage]:
    """Give back what `pack` packed, in order, with the trace context of each that has one."""
    return _traced_decoder.decode(bytes(cramjam.lz4.decompress_block(packed)))


def unpack_whole(packed: bytes) -> list[RepublishedMessage]:
    """Give back what `pack` packed, in order, with all that a message may have."""
    return _whole_decoder.decode(bytes(cramjam.lz4.decompress_block(packed)))


def without(packed: bytes, is_left_out: Callable[[Message], bool]) -> bytes:
    """Pack again what `pack` packed, without some messages; the others stay as they are, their trace context too."""
    raws = _raw_decoder.decode(bytes(cramjam.lz4.decompress_block(packed)))
    left = [raw for raw in raws if not is_left_out(_message_decoder.decode(raw))]
    return bytes(cramjam.lz4.compress_block(_encoder.encode(left)))
