"""The words about a failed contact with Kafka. Real listeners are in tests/integration/test_secured_kafka.py."""

import errno
import socket
import ssl

import pytest
from aiokafka import errors

from worker.errors import Transient, UsageError
from worker.kafka.connect_errors import Attempt, Fault, found_fault, in_words, known_fault, refusal
from worker.kafka.servers import Server
from worker.listeners import Listener

SERVER = Server("k", 9092)
NOTHING = Listener(postgresql=False, kafka=False, tls=False, kafka_over_tls=False, http=False, speaks=False)
KAFKA = Listener(postgresql=False, kafka=True, tls=False, kafka_over_tls=False, http=False, speaks=True)
KAFKA_OVER_TLS = Listener(postgresql=False, kafka=False, tls=True, kafka_over_tls=True, http=False, speaks=True)
HTTP = Listener(postgresql=False, kafka=False, tls=False, kafka_over_tls=False, http=True, speaks=True)
POSTGRESQL = Listener(postgresql=True, kafka=False, tls=False, kafka_over_tls=False, http=False, speaks=True)
SOMETHING = Listener(postgresql=False, kafka=False, tls=False, kafka_over_tls=False, http=False, speaks=True)
CLOSED = errors.KafkaConnectionError("Connection at k:9092 closed")
NEVER = ("Error", "()", "AddressFamily", "Errno")


def attempt(error: BaseException, protocol: str = "PLAINTEXT", *, connected: bool = False) -> Attempt:
    return Attempt(SERVER, protocol, error, connected)


@pytest.mark.parametrize(
    ("error", "what", "by_user"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name k does not resolve", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('k', 9092)"), "refused", False),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9092, 0, 0), [Errno 111]"),
            "refused",
            0,
        ),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "the host cannot be reached", False),
        (errors.IllegalSaslStateError(), "asks for no SASL", True),
        (errors.UnsupportedSaslMechanismError("... Enabled mechanisms are: ['PLAIN']"), "mechanism, but PLAIN", True),
        (errors.SaslAuthenticationFailed("Authentication failed"), "refuses the user or the password", True),
    ],
)
def test_an_error_that_says_enough(error: BaseException, what: str, by_user: bool) -> None:  # noqa: FBT001
    fault = known_fault(attempt(error, "SASL_PLAINTEXT"))
    assert fault is not None
    assert what in fault.what
    assert fault.by_user == by_user
    assert not any(word in fault.what for word in NEVER)


@pytest.mark.parametrize(
    "error", [TimeoutError(), CLOSED, ConnectionResetError(104, "x"), ssl.SSLError(1, "x"), EOFError()]
)
def test_an_error_that_leaves_it_open_is_followed_by_a_look(error: BaseException) -> None:
    assert known_fault(attempt(error)) is None


@pytest.mark.parametrize(
    ("tried", "found", "what", "remedy", "by_user"),
    [
        (attempt(CLOSED), HTTP, "what answers at k:9092 is no Kafka, but HTTP", "KAFKA_BOOTSTRAP_SERVERS", True),
        (attempt(CLOSED), POSTGRESQL, "is no Kafka, but PostgreSQL", "KAFKA_BOOTSTRAP_SERVERS", True),
        (attempt(CLOSED, "SSL"), SOMETHING, "is no Kafka", "KAFKA_BOOTSTRAP_SERVERS", True),
        (attempt(TimeoutError()), NOTHING, "no answer in time", "KAFKA_BOOTSTRAP_SERVERS", False),
        (attempt(CLOSED), NOTHING, "closed without a word", "KAFKA_BOOTSTRAP_SERVERS", False),
        (attempt(CLOSED, "SSL"), KAFKA, "speaks no TLS, which KAFKA_SECURITY_PROTOCOL=SSL", "PLAINTEXT may be", True),
        (attempt(CLOSED, "SASL_SSL"), KAFKA, "speaks no TLS", "SASL_PLAINTEXT may be right", True),
        (attempt(CLOSED), KAFKA_OVER_TLS, "speaks TLS, and KAFKA_SECURITY_PROTOCOL=PLAINTEXT does not", "SSL", True),
        (attempt(CLOSED, "SASL_PLAINTEXT"), KAFKA_OVER_TLS, "speaks TLS", "SASL_SSL", True),
        (attempt(CLOSED, connected=True), KAFKA, "asks for SASL", "SASL_PLAINTEXT may be right", True),
        (attempt(CLOSED, "SSL", connected=True), KAFKA_OVER_TLS, "asks for SASL", "SASL_SSL may be right", True),
        (attempt(TimeoutError(), connected=True), KAFKA, "no answer in time", "KAFKA_BOOTSTRAP_SERVERS", False),
        (attempt(CLOSED), KAFKA, "closed without a word", "KAFKA_BOOTSTRAP_SERVERS", False),
    ],
)
def test_a_look_at_the_port_says_the_rest(
    tried: Attempt,
    found: Listener,
    what: str,
    remedy: str,
    by_user: bool,  # noqa: FBT001
) -> None:
    fault = found_fault(tried, found)
    assert what in fault.what
    assert remedy in fault.remedy
    assert fault.by_user is by_user


def test_all_servers_are_shown_in_one_line_and_a_persons_fault_is_distinguished_from_one_that_passes() -> None:
    gone = Fault(
        "a:1: the connection is refused", "Is it running? Otherwise correct KAFKA_BOOTSTRAP_SERVERS.", by_user=False
    )
    other = Fault("what answers at b:2 is no Kafka", "Correct KAFKA_BOOTSTRAP_SERVERS.", by_user=True)
    plain = Fault("the listener at c:3 speaks no TLS", "PLAINTEXT may be right.", by_user=True, of_all=True)
    said = refusal("a:1,b:2", [gone, other, gone])
    assert isinstance(said, Transient)
    assert str(said) == (
        "Kafka at a:1,b:2 cannot be used: a:1: the connection is refused; what answers at b:2 is no Kafka. "
        "Is it running? Otherwise correct KAFKA_BOOTSTRAP_SERVERS."
    )
    assert isinstance(refusal("b:2", [other]), UsageError)
    assert isinstance(refusal("a:1,c:3", [gone, plain]), UsageError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.TopicAuthorizationFailedError("t"), "not authorized to access"),
        (
            errors.KafkaConnectionError("Unable to bootstrap from [('h', 9, <AddressFamily.AF_INET: 2>)]"),
            "no connection",
        ),
        (TimeoutError(), "no answer in time"),
        (errors.KafkaError("the producer was abandoned"), "the producer was abandoned"),
        (errors.NodeNotReadyError(), "a broker did not do as asked"),
        (Transient("the topic t does not exist"), "the topic t does not exist"),
    ],
)
def test_later_failures_are_words_too(error: BaseException, words: str) -> None:
    assert words in in_words(error)
    assert not any(word in in_words(error) for word in NEVER)
