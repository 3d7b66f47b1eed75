import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry, Gauge

from schemas.asyncapi import asyncapi_document
from worker import http
from worker.http import HttpServer


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
        self.server = HttpServer(
            self.worker,
            registry,
            asyncapi=lambda: asyncapi_document(title="<Connects>", version="1", prefix="eu."),
            refresh=self.refresh,
        )
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
        return int(head.split()[1]), head, body

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


async def test_what_is_wrong_makes_it_unready_and_is_told(asked: Asked) -> None:
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
    assert (await asked.get("//../etc/passwd"))[0] == 404


async def test_head_gets_no_body_and_other_methods_are_refused(asked: Asked) -> None:
    status, head, body = await asked.get("/health/live", method="HEAD")
    assert (status, body) == (200, "")
    assert "Content-Length: 19" in head
    for method in ("POST", "PUT", "DELETE"):
        status, head, _ = await asked.get("/health/live", method=method)
        assert status == 405
        assert "Allow: GET, HEAD" in head


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"\xff\xfe\x00\r\n\r\n", 400),
        (b"GET /health/live HTTP/2.0\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
    ],
)
async def test_nonsense_is_refused_and_harms_nobody(asked: Asked, request_bytes: bytes, status: int) -> None:
    assert (await asked.send(request_bytes)).split()[1] == str(status).encode()
    assert (await asked.get("/health/live"))[0] == 200


async def test_who_sends_nothing_is_let_go(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_REQUEST_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
    writer.write(b"GET /health")
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert (await asked.get("/health/live"))[0] == 200


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
