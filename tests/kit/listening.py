"""Ports on which something else listens than what was meant: threads, for commands in this process and in others."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_TLS_WANTED = 80_877_103
_CLEARTEXT_PASSWORD = struct.pack(">cii", b"R", 8, 3)


@contextmanager
def closed_port() -> Iterator[str]:
    """A port that is taken, and on which nobody listens: connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield _address(taken)


@contextmanager
def silent_port() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield _address(listening)


@contextmanager
def http_server() -> Iterator[str]:
    """A port on which HTTP is spoken."""
    quiet = type("Quiet", (BaseHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def postgres_that_refuses(sqlstate: str, message: str, received: list[str] | None = None) -> Iterator[str]:
    """As much of PostgreSQL as asks for a password, notes it, and refuses."""

    def answer(client: socket.socket) -> None:
        while struct.unpack(">i", client.recv(1024)[4:8])[0] == _TLS_WANTED:
            client.sendall(b"N")
        client.sendall(_CLEARTEXT_PASSWORD)
        password = client.recv(1024)[5:].rstrip(b"\0").decode()
        if received is not None:
            received.append(password)
        refusal = f"SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0".encode()
        client.sendall(struct.pack(">ci", b"E", len(refusal) + 4) + refusal)

    with _serving(answer) as address:
        yield address


@contextmanager
def closing_port() -> Iterator[str]:
    """A port that ends each connection without a word, as a proxy does whose server is gone."""
    with _serving(lambda _client: None) as address:
        yield address


@contextmanager
def speaking_port(greeting: bytes) -> Iterator[str]:
    """A port that speaks first, as mail servers and SSH do, whatever it is asked."""

    def answer(client: socket.socket) -> None:
        client.sendall(greeting)
        client.recv(1024)

    with _serving(answer) as address:
        yield address


@contextmanager
def _serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    def one(client: socket.socket) -> None:
        try:
            with client:
                answer(client)
        except (OSError, struct.error, IndexError):
            pass  # a client that does not speak so

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return  # closed: the test is over
            threading.Thread(target=one, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield _address(listening)


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{host}:{port}"
