import asyncio
import errno
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import uvloop
from prometheus_client import CollectorRegistry, Gauge

from schemas.asyncapi import asyncapi_document
from worker.http import server
from worker.http.application import application
from worker.http.server import HttpServer


class Worker:
    def __init__(self) -> None:
        self.role = "standby"
        self.found: list[str] = []

    def problems(self) -> list[str]:
        return self.found


class Asked:
    """A server under test, and the worker and the metric that it shows."""

    def __init__(self) -> None:
        self.worker = Worker()
        registry = CollectorRegistry()
        self.gauge = Gauge("connects_parked", "Parked.", registry=registry)
        self.refreshed = 0
        pages = application(
            self.worker,
            registry,
            asyncapi=lambda: asyncapi_document(title="<Connects>", version="1", prefix="eu."),
            refresh=self.refresh,
        )
        self.server = HttpServer(pages)
        self.port = 0

    def refresh(self) -> None:
        self.refreshed += 1
        self.gauge.set(self.refreshed)

    async def send(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    async def get(self, path: str, accept: str = "*/*", method: str = "GET") -> tuple[int, str, str]:
        answer = await self.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        head, _, body = answer.decode().partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), body

    async def answers(self) -> bool:
        try:
            return (await self.get("/health/live"))[0] == 200
        except (ConnectionError, IndexError):
            return False


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    asked = Asked()
    asked.port = await asked.server.start("127.0.0.1", 0)
    yield asked
    await asked.server.stop()


async def test_a_healthy_standby_is_ready(asked: Asked) -> None:
    status, _, body = await asked.get("/health/ready")
    assert (status, json.loads(body)) == (200, {"ready": True, "role": "standby", "problems": []})


async def test_what_is_wrong_makes_it_unready_and_is_reported(asked: Asked) -> None:
    asked.worker.role = "active"
    asked.worker.found = ["PostgreSQL is away"]
    status, _, body = await asked.get("/health/ready?verbose")
    assert (status, json.loads(body)) == (
        503,
        {"ready": False, "role": "active", "problems": ["PostgreSQL is away"]},
    )


async def test_it_is_live_even_when_it_is_not_ready(asked: Asked) -> None:
    asked.worker.found = ["PostgreSQL is away"]
    assert (await asked.get("/health/live"))[0] == 200


async def test_metrics_are_refreshed_when_they_are_asked_for(asked: Asked) -> None:
    _, head, body = await asked.get("/metrics")
    assert "text/plain" in head
    assert "connects_parked 1.0" in body
    assert "connects_parked 2.0" in (await asked.get("/metrics"))[2]


async def test_the_topics_are_described_to_programs_and_to_people(asked: Asked) -> None:
    document = json.loads((await asked.get("/asyncapi"))[2])
    assert document["channels"]["job-closed"]["address"] == "eu.job-closed"
    _, head, page = await asked.get("/asyncapi", accept="text/html,*/*")
    assert "text/html" in head
    assert "<code>eu.job-closed</code>" in page
    assert "<h1>&lt;Connects&gt;</h1>" in page
    assert "src=" not in page


async def test_anything_else_is_not_there(asked: Asked) -> None:
    assert (await asked.get("/try"))[0] == 404
    assert (await asked.get("/metrics/"))[0] == 404
    assert (await asked.get("//../etc/passwd"))[0] == 404


async def test_head_gets_no_body_and_other_methods_are_refused(asked: Asked) -> None:
    status, head, body = await asked.get("/health/live", method="HEAD")
    assert (status, body) == (200, "")
    assert "content-length: 19" in head
    for method in ("POST", "PUT", "DELETE"):
        status, head, _ = await asked.get("/health/live", method=method)
        assert status == 405
        assert "allow: get, head" in head


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"\xff\xfe\x00\r\n\r\n", 400),
        (b"GET /health/live HTTP/2.0\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
    ],
)
async def test_nonsense_is_refused_and_harms_nobody(asked: Asked, request_bytes: bytes, status: int) -> None:
    assert (await asked.send(request_bytes)).split()[1] == str(status).encode()
    assert (await asked.get("/health/live"))[0] == 200


async def test_who_sends_nothing_is_let_go(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_REQUEST_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
    writer.write(b"GET /health")
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert (await asked.get("/health/live"))[0] == 200


async def test_a_request_that_comes_bit_by_bit_is_let_go_all_the_same(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_REQUEST_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
    writer.write(b"GET /health/live HTTP/1.1\r\n")
    ended = asyncio.ensure_future(reader.read())
    async with asyncio.timeout(5):
        while not ended.done():
            writer.write(b"X: a\r\n")
            await asyncio.wait([ended], timeout=0.01)
    assert ended.exception() or ended.result() == b""
    writer.close()
    assert await asked.answers()


async def test_a_head_that_never_ends_is_refused_before_it_is_large(asked: Asked) -> None:
    assert b" 400 " in await asked.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000)
    assert await asked.answers()


async def test_a_head_is_too_large_in_however_many_parts_it_comes(asked: Asked) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
    for part in (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", *[b"a" * 3_000] * 3, b"\r\n\r\n"):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    assert b" 431 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


async def test_a_connection_ends_with_its_request(asked: Asked) -> None:
    twice = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" * 2
    assert (await asked.send(twice)).count(b"HTTP/1.1 200") == 1


async def test_a_large_body_is_not_read(asked: Asked) -> None:
    head = b"POST /health/ready HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    assert b" 405 " in await asked.send(head + b"a" * 1_000)


async def test_a_response_is_what_it_says_to_the_byte(asked: Asked) -> None:
    first, *headers = (await asked.send(b"GET /health/live HTTP/1.0\r\n\r\n")).split(b"\r\n")
    assert first == b"HTTP/1.1 200 OK"
    assert headers[-2:] == [b"", b'{\n  "live": true\n}\n']
    assert sorted(line.lower() for line in headers[:-2]) == [
        b"cache-control: no-store",
        b"connection: close",
        b"content-length: 19",
        b"content-security-policy: default-src 'none'; style-src 'unsafe-inline'",
        b"content-type: application/json",
        b"x-content-type-options: nosniff",
    ]
    ready = await asked.send(b"GET /health/ready HTTP/1.0\r\n\r\n")
    assert ready.endswith(b'{\n  "ready": true,\n  "role": "standby",\n  "problems": []\n}\n')


async def test_signals_stay_with_the_worker() -> None:
    asked, kept = Asked(), [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)]
    asked.port = await asked.server.start("127.0.0.1", 0)
    assert await asked.answers()
    assert [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)] == kept
    await asked.server.stop()
    assert not await asked.answers()


async def test_it_stops_soon_whatever_is_connected() -> None:
    asked = Asked()
    asked.port = await asked.server.start("127.0.0.1", 0)
    idle = [await asyncio.open_connection("127.0.0.1", asked.port) for _ in range(3)]
    idle[0][1].write(b"GET /health")
    assert await asked.answers()
    await asyncio.wait_for(asked.server.stop(), 2)
    for reader, writer in idle:
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


async def test_a_server_that_never_began_can_be_stopped() -> None:
    await Asked().server.stop()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_address_that_cannot_be_had_is_an_error_of_the_system(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def refused() -> None:
        first = Asked()
        port = await first.server.start("127.0.0.1", 0)
        with pytest.raises(OSError, match="Address already in use") as taken:
            await Asked().server.start("127.0.0.1", port)
        assert (taken.value.errno, taken.value.strerror) == (errno.EADDRINUSE, "Address already in use")
        with pytest.raises(OSError, match="Cannot assign requested address"):
            await Asked().server.start("192.0.2.1", 0)
        with pytest.raises(OSError, match=r"not known|No address|resolution"):
            await Asked().server.start("no-such-host.invalid", 0)
        await first.server.stop()
        second = Asked()
        assert await second.server.start("localhost", port) == port
        await second.server.stop()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(refused())


async def test_a_crowd_is_turned_away_and_then_served_again(asked: Asked) -> None:
    crowd = [await asyncio.open_connection("127.0.0.1", asked.port) for _ in range(64)]
    assert not await asked.answers()
    for _, writer in crowd:
        writer.close()
    async with asyncio.timeout(5):
        while not await asked.answers():
            pass


async def test_a_failure_while_answering_is_an_answer(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(asked.worker, "problems", fail)
    status, _, body = await asked.get("/health/ready")
    assert status == 500
    assert "secret detail" not in body
