"""The first contact with Kafka: which of the listed servers can be used, and if none, why, in one line.

aiokafka tries one server after the other, for as long as its requests may take, and says only that none was good.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from worker.errors import Transient
from worker.futures import consume_exception
from worker.kafka.connect_errors import (
    Attempt,
    Fault,
    found_fault,
    in_words,
    known_fault,
    refusal,
    unreachable_brokers,
)
from worker.kafka.servers import Server, listed_servers
from worker.listeners import PATIENCE_SECONDS, Listener, reason_of, what_listens

_OTHERS_SECONDS: Final = 1.0
"""How long the other servers may take after the first one was good; the slower ones are left out."""
_OF_CONNECTION: Final = frozenset(
    {"security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"}
)


async def reached_servers(kafka: Mapping[str, Any], seconds: float) -> str:
    """Those of the listed servers that can be used now, as KAFKA_BOOTSTRAP_SERVERS lists them.

    `kafka` are aiokafka's connection arguments. A server has `seconds` to answer, and so have the brokers it names.

    Raises:
        UsageError: none can, and a person has to change a setting.
        Transient: none can now.
    """
    listed = str(kafka["bootstrap_servers"])
    servers = listed_servers(listed)
    tries = {asyncio.create_task(_fault_of(kafka, server, seconds)): server for server in servers}
    try:
        pending: set[asyncio.Task[Fault | None]] = set(tries)
        good: set[Server] = set()
        while pending:
            limit = _OTHERS_SECONDS if good else None
            done, pending = await asyncio.wait(pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            good |= {tries[task] for task in done if task.result() is None}
    finally:
        for task in tries:
            task.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
    if good:
        return ",".join(str(server) for server in servers if server in good)
    raise refusal(listed, [fault for task in tries if (fault := task.result()) is not None])


@contextmanager
def kafka_failures(kafka: Mapping[str, Any]) -> Iterator[None]:
    """Word what fails after the first contact.

    Raises:
        Transient: with the reason, and where.
    """
    try:
        yield
    except (KafkaError, OSError) as error:
        raise Transient(
            f"Kafka at {kafka['bootstrap_servers']} (KAFKA_BOOTSTRAP_SERVERS) answered, and cannot be used: "
            f"{in_words(error)}."
        ) from error


async def _fault_of(kafka: Mapping[str, Any], server: Server, seconds: float) -> Fault | None:
    """What is wrong with a server; None when it can be used."""
    using = asyncio.create_task(_use(kafka, server, seconds))
    consume_exception(using)
    found: Listener | None = None
    try:
        done, _ = await asyncio.wait({using}, timeout=PATIENCE_SECONDS)
        if not done:
            found = await what_listens(server.host, server.port)
            if found.speaks and not found.is_kafka:
                using.cancel()
        brokers = await using
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and (current := asyncio.current_task()) and current.cancelling():
            raise
        attempt = _attempt(kafka, server, error)
        return known_fault(attempt) or found_fault(attempt, found or await what_listens(server.host, server.port))
    finally:
        using.cancel()
    return await _fault_of_brokers(server, brokers, seconds)


class _Unused(Exception):
    """A server answered as Kafka, and then failed. It never leaves this module, so it is no `WorkerError`."""


def _attempt(kafka: Mapping[str, Any], server: Server, error: BaseException) -> Attempt:
    cause = (error.__cause__ if isinstance(error, _Unused) else None) or error
    protocol = str(kafka.get("security_protocol", "PLAINTEXT"))
    return Attempt(server, protocol, cause, connected=isinstance(error, _Unused))


async def _use(kafka: Mapping[str, Any], server: Server, seconds: float) -> list[Server]:
    """Use a server as any client does; the brokers that it names."""
    options = {name: value for name, value in kafka.items() if name in _OF_CONNECTION}
    async with asyncio.timeout(seconds):
        connection = await create_conn(server.host, server.port, request_timeout_ms=int(seconds * 1000), **options)
        try:
            answer = await connection.send(MetadataRequest([]))
        except Exception as error:
            raise _Unused from error
        finally:
            connection.close()
    return [Server(broker[1], broker[2]) for broker in answer.brokers]


async def _fault_of_brokers(server: Server, brokers: Sequence[Server], seconds: float) -> Fault | None:
    """What is wrong with the addresses to which a server sends its clients; None when one of them can be reached."""
    if server in brokers:
        return None
    whys = await asyncio.gather(*(_unreachable(broker, seconds) for broker in brokers))
    if None in whys:
        return None
    return unreachable_brokers(server, brokers, "; ".join(dict.fromkeys(filter(None, whys))))


async def _unreachable(broker: Server, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(broker.host, broker.port)
    except UnicodeError:
        return "the name is no name that can be looked up"
    except OSError as error:
        return reason_of(error)
    writer.close()
    with suppress(OSError):
        async with asyncio.timeout(seconds):
            await writer.wait_closed()
    return None
