"""Asking a worker over HTTP, as a monitoring system does."""

import asyncio
import socket


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def ask(port: int, path: str) -> tuple[int, str]:
    """Status and body (HTTP/1.0, so that no server sends it in chunks); status 0 while nobody answers."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            await writer.drain()
            answer = (await reader.read()).decode()
            writer.close()
    except (OSError, TimeoutError):
        return 0, ""
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


def metric(body: str, name: str) -> float:
    """The value of a metric without labels; 0 when it is not shown."""
    return next((float(line.split()[-1]) for line in body.splitlines() if line.split()[:1] == [name]), 0.0)
