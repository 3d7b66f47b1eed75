"""Why Kafka cannot be used, in words: the setting, what is wrong with it, and what would be right. Pure.

`UsageError` is what a person has to change, `Transient` what may pass by itself. No sentence holds the name of a class,
or a part of a password.
"""

import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import errors

from worker.errors import Transient, UsageError, WorkerError
from worker.kafka.servers import Server
from worker.listeners import Listener, reason_of

_SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"
_PROTOCOL: Final = "KAFKA_SECURITY_PROTOCOL"
_OTHER_HOST: Final = 62
"""OpenSSL's number for a certificate of another name; 64 is the same for an address."""
_OTHER_ADDRESS: Final = 64


_SEVERAL: Final = "Multiple exceptions"
"""How asyncio begins its words when each of a name's addresses failed."""
_AMBIGUOUS: Final = (ssl.SSLError, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
"""What a listener does to a client that speaks otherwise, and a dying server to any."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one server: `what` it is, and the `remedy`, a sentence that names the setting."""

    what: str
    remedy: str
    by_user: bool
    of_all: bool = False
    """Whether it is a setting that counts for every server, so that no other server can be well."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt to use a server failed: the security it was made with, the error, and how far it had come."""

    server: Server
    protocol: str
    error: BaseException
    connected: bool
    """Whether the server had answered as Kafka before."""

    @property
    def wants_tls(self) -> bool:
        """Whether TLS was spoken."""
        return self.protocol.endswith("SSL")

    @property
    def wants_sasl(self) -> bool:
        """Whether the client was to authenticate."""
        return self.protocol.startswith("SASL_")


def refusal(servers: str, faults: Sequence[Fault]) -> UsageError | Transient:
    """One line for all that is wrong."""
    by_user = any(fault.of_all for fault in faults) or all(fault.by_user for fault in faults)
    what = "; ".join(dict.fromkeys(fault.what for fault in faults))
    remedies = dict.fromkeys(fault.remedy for fault in faults)
    remedy = " ".join(
        one for one in remedies if not any(one.lower() in other.lower() for other in remedies if other != one)
    )
    words = f"Kafka at {servers} cannot be used: {what}. {remedy}"
    return UsageError(words) if by_user else Transient(words)


def known_fault(attempt: Attempt) -> Fault | None:
    """What the error alone shows; None if it is not clear what answers there."""
    server, error = attempt.server, attempt.error
    match error:
        case socket.gaierror():
            return Fault(
                f"the name {server.host} does not resolve",
                f"Correct {_SERVERS}, or the name service of this host.",
                by_user=False,
            )
        case ssl.SSLCertVerificationError():
            return _certificate(server, error)
        case errors.BrokerResponseError():
            return _refused_sasl(attempt)
        case OSError() if (error.errno is not None or _SEVERAL in str(error)) and not isinstance(error, _AMBIGUOUS):
            return away(server, reason_of(error))
    return None


def found_fault(attempt: Attempt, found: Listener) -> Fault:
    """What the queries to the port show, after an error that left it open."""
    if found.is_kafka:
        return _other_security(attempt, found)
    if found.tls and not attempt.wants_tls and not found.http:
        return _other_security(attempt, found)
    if attempt.wants_tls and found.tls and not found.http:
        return Fault(
            f"the listener at {attempt.server} ends the TLS connection",
            f"If it asks for a client's certificate: a worker has none. Otherwise correct {_SERVERS}.",
            by_user=True,
        )
    if found.speaks:
        what = f"what answers at {attempt.server} is no Kafka"
        return Fault(f"{what}, but {found.name}" if found.name else what, f"Correct {_SERVERS}.", by_user=True)
    silent = isinstance(attempt.error, TimeoutError)
    return away(attempt.server, "no answer in time" if silent else "the connection was closed without a word")


def away(server: Server, why: str) -> Fault:
    """A server that may be back soon."""
    return Fault(f"{server}: {why}", f"Is it running? Otherwise correct {_SERVERS}.", by_user=False)


def unreachable_brokers(server: Server, brokers: Sequence[Server], why: str) -> Fault:
    """A server that answers, and leads to addresses that do not."""
    if not brokers:
        return away(server, "it answers, and knows no broker yet")
    return Fault(
        f"{server} answers, and sends clients to {', '.join(map(str, brokers))}, where nobody can be reached ({why})",
        f"Correct the brokers' advertised.listeners, or name a listener in {_SERVERS} that is meant for this host.",
        by_user=True,
    )


def in_words(error: BaseException) -> str:
    """A failure after the first contact, for people: no class, never empty."""
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return "a message is larger than the topic's max.message.bytes. `connects topics create --fix` raises it"
    if isinstance(error, errors.BrokerResponseError):
        about = ", ".join(str(argument) for argument in error.args)
        return f"{error.description.rstrip('.')}{f' ({about})' if about else ''}"
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(cause, OSError) and isinstance(error, errors.KafkaError | OSError):
        return reason_of(cause)
    if isinstance(error, errors.KafkaConnectionError):
        return "no connection to a broker"
    if isinstance(error, errors.KafkaError | WorkerError):
        return "; ".join(map(str, error.args)) or "a broker did not do as asked"
    return repr(error)  # a bug of ours, or of a library


def _other_security(attempt: Attempt, found: Listener) -> Fault:
    """Kafka answers, but not as it was spoken to."""
    server, protocol = attempt.server, attempt.protocol
    right = ("SASL_" if attempt.wants_sasl else "") + ("PLAINTEXT" if found.kafka else "SSL")
    if attempt.wants_tls and found.kafka:
        what = f"the listener at {server} speaks no TLS, which {_PROTOCOL}={protocol} asks for"
    elif not attempt.wants_tls and not found.kafka:
        what = f"the listener at {server} speaks TLS, and {_PROTOCOL}={protocol} does not"
        right = f"{right} (or {'SSL' if attempt.wants_sasl else 'SASL_SSL'})"
    elif isinstance(attempt.error, TimeoutError):
        return away(server, "no answer in time")
    elif attempt.connected and not attempt.wants_sasl:
        what = f"the listener at {server} asks for SASL, which {_PROTOCOL}={protocol} does not use"
        right = f"SASL_{protocol if protocol == 'SSL' else 'PLAINTEXT'}"
    else:
        return away(server, "the connection was closed without a word")
    return Fault(what, f"{right} may be right, or another port.", by_user=True, of_all=True)


def _refused_sasl(attempt: Attempt) -> Fault | None:
    """What the listener says of the way in which the client authenticates."""
    listener = f"the listener at {attempt.server}"
    match attempt.error:
        case errors.IllegalSaslStateError():
            what = f"{listener} asks for no SASL, which {_PROTOCOL}={attempt.protocol} would use"
            remedy = f"{'SSL' if attempt.wants_tls else 'PLAINTEXT'} may be right, or another port."
        case errors.UnsupportedSaslMechanismError():
            offered = ", ".join(re.findall(r"'([\w-]+)'", str(attempt.error)))
            what = f"{listener} does not take this SASL mechanism{f', but {offered}' if offered else ''}"
            remedy = "Set KAFKA_SASL_MECHANISM to one that it takes: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
        case errors.SaslAuthenticationFailed():
            what = f"{listener} refuses the user or the password"
            remedy = "Correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD."
        case _:
            return None
    return Fault(what, remedy, by_user=True, of_all=True)


def _certificate(server: Server, error: ssl.SSLCertVerificationError) -> Fault:
    what = f"the certificate of {server} is not accepted: {error.verify_message.rstrip('.')}"
    if error.verify_code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return Fault(what, f"Write the name that it is for into {_SERVERS}.", by_user=True)
    return Fault(what, "Name the file of the authority that signed it in KAFKA_SSL_CAFILE.", by_user=True)
