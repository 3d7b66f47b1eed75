"""What answers on a port, for the words of an error: PostgreSQL, Kafka, TLS, HTTP, something else, or nothing at all.

Queried only after a client has failed there, on connections of its own. Nothing secret is sent.
"""

import asyncio
import errno
import ssl
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

PATIENCE_SECONDS: Final = 2.0
"""A client that has heard nothing for this long may find out what it is that does not answer."""

_REPLY_BYTES: Final = 64
_SECONDS: Final = 2.0
_SSL_REQUEST: Final = struct.pack(">ii", 8, 80_877_103)
_CORRELATION: Final = 0x434E4354
_API_VERSIONS: Final = struct.pack(">hhihs", 18, 0, _CORRELATION, 1, b"c")
_HTTP_REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"
_LEAST_KAFKA_REPLY: Final = 8
_TLS_SPOKEN: Final = b"TLS "
_CERTAIN: Final = frozenset({"PostgreSQL", "Kafka", "HTTP"})
"""What leaves nothing open: further replies would add nothing."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a port answered to one question of each kind."""

    postgresql: bool
    kafka: bool
    tls: bool
    kafka_over_tls: bool
    http: bool
    speaks: bool
    """Whether it said anything at all."""

    @property
    def is_kafka(self) -> bool:
        """Whether Kafka is spoken, with or without TLS."""
        return self.kafka or self.kafka_over_tls

    @property
    def name(self) -> str | None:
        """Its protocol, for people; None when it is not known."""
        for known, name in (
            (self.postgresql, "PostgreSQL"),
            (self.is_kafka, "Kafka"),
            (self.http, "HTTP"),
            (self.tls, "TLS"),
        ):
            if known:
                return name
        return None


async def what_listens(host: str, port: int, seconds: float = _SECONDS) -> Listener:
    """Query a port in each protocol, concurrently, until one is known; takes about `seconds`. Raises nothing."""
    queries = {
        "postgresql": asyncio.create_task(_reply(host, port, _SSL_REQUEST, seconds)),
        "kafka": asyncio.create_task(_reply(host, port, _framed(_API_VERSIONS), seconds)),
        "http": asyncio.create_task(_reply(host, port, _HTTP_REQUEST, seconds)),
        "tls": asyncio.create_task(_tls(host, port, seconds)),
    }
    try:
        pending: set[asyncio.Task[bytes]] = set(queries.values())
        while pending:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            found = _listener({name: task.result() for name, task in queries.items() if task.done()})
            if found.name in _CERTAIN:
                break
        return found
    finally:
        for task in queries.values():
            task.cancel()
        await asyncio.gather(*queries.values(), return_exceptions=True)


def _listener(replies: Mapping[str, bytes]) -> Listener:
    over_tls = replies.get("tls", b"")
    return Listener(
        postgresql=replies.get("postgresql") in {b"S", b"N"},
        kafka=_is_kafka(replies.get("kafka", b"")),
        tls=bool(over_tls),
        kafka_over_tls=_is_kafka(over_tls.removeprefix(_TLS_SPOKEN)),
        http=replies.get("http", b"").startswith(b"HTTP/"),
        speaks=any(replies.values()),
    )


def reason_of(error: OSError) -> str:
    """Why a connection could not be made, for people: no class, no number, and never empty."""
    text = str(error)  # several addresses of one name: the system's errors are in the text alone
    for number, words in _REASONS.items():
        if error.errno == number or f"Errno {number}]" in text:
            return words
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {(error.reason or 'the connection was closed').lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "the connection was closed without a word" if error.strerror is None else error.strerror


_REASONS: Final = {
    errno.ECONNREFUSED: "the connection is refused",
    errno.ECONNRESET: "the connection is reset",
    errno.EPIPE: "the connection is closed",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ETIMEDOUT: "no answer in time",
    errno.EACCES: "this system does not permit the connection",
    errno.EPERM: "this system does not permit the connection",
}


def _framed(message: bytes) -> bytes:
    return struct.pack(">i", len(message)) + message


def _is_kafka(reply: bytes) -> bool:
    return len(reply) >= _LEAST_KAFKA_REPLY and struct.unpack(">i", reply[4:8])[0] == _CORRELATION


async def _tls(host: str, port: int, seconds: float) -> bytes:
    """After a TLS handshake, with any certificate: that it succeeded, and what is then said to Kafka's question."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, UnicodeError, EOFError):
        return b""
    return _TLS_SPOKEN + await _exchange(reader, writer, _framed(_API_VERSIONS), seconds)


async def _reply(host: str, port: int, question: bytes, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, UnicodeError):
        return b""
    return await _exchange(reader, writer, question, seconds)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: bytes, seconds: float
) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            writer.write(question)
            return await reader.read(_REPLY_BYTES)
    except (OSError, EOFError):
        return b""
    finally:
        writer.close()
        with suppress(OSError, EOFError):
            async with asyncio.timeout(seconds):
                await writer.wait_closed()
